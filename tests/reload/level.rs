//! The level of the log, of lines and of diagnostics, while the sidecar runs.

use crate::support::client::Client;
use crate::support::process::{Process, command, output};
use crate::support::upstream;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const MALFORMED: &str = "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n";

async fn reload(process: &Process, text: &str) {
    std::fs::write(process.path("sidecar.toml"), text).expect("a file");
    let admin = process.admin.to_string();
    let asked = ["reload", "-c", "sidecar.toml", "--admin", &admin];
    let (code, out, err) = output(command(&process.path(""), &asked)).await;
    assert_eq!((code, &*out), (0, "reloaded; changed: log.level\n"), "{err}");
}

async fn ask_wrongly(process: &Process) {
    let mut client = Client::connect(process.data).await;
    client.say(MALFORMED).await;
    assert_eq!(client.answer().await.status, 400);
}

#[tokio::test]
async fn it_follows_the_file() {
    let upstream = upstream::answering(OK).await;
    let url = upstream.address;
    let text = |level| {
        format!(
            "upstream.url = \"http://{url}\"\notlp.endpoint = \"\"\nlog.console = \"json\"\n\
             server.drain.delay = \"0s\"\nlog.level = \"{level}\"\n"
        )
    };
    let process = Process::start(&text("info")).await;
    ask_wrongly(&process).await;
    reload(&process, &text("debug")).await;
    ask_wrongly(&process).await;
    reload(&process, &text("error")).await;
    ask_wrongly(&process).await;
    assert_eq!(process.client().await.get("/").await.status, 200);
    process.signal("TERM").await;
    let remains = process.remains().await;
    assert_eq!(remains.code, Some(0), "{remains:?}");
    let told = remains.stderr.matches("A request was refused by its bytes.").count();
    assert_eq!(told, 1, "while it was \"debug\": {}", remains.stderr);
    let lines = remains.stdout.matches("Request completed").count();
    assert_eq!(lines, 2, "a refusal is a warning, and not an error: {}", remains.stdout);
    remains.assert_balanced();
}
