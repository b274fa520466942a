//! One exchange through the whole pipeline, over loopback, with no sink: the time that a client waits.
//!
//! Most of it is the kernel's. It is here to tell a change of a tenth, not to compare proxies; that
//! is `make bench`.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use divan::Bencher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use vital_sidecar::config::Config;
use vital_sidecar::proxy::Proxy;
use vital_sidecar::server::entrance::Entrance;
use vital_sidecar::server::listener::{self, Signals};
use vital_sidecar::telemetry::Telemetry;
use vital_sidecar::telemetry::metrics::Metrics;

const REQUEST: &[u8] = b"GET /api/items HTTP/1.1\r\nhost: bench\r\nuser-agent: bench/1\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";

fn main() {
    divan::main();
}

#[divan::bench]
fn one_exchange(bencher: Bencher<'_, '_>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let Ok(runtime) = runtime else { return };
    let _inside = runtime.enter();
    let mut tasks = JoinSet::new();
    let Ok(address) = start(&mut tasks) else { return };
    let Ok(mut client) = TcpStream::connect(address) else { return };
    let mut answer = vec![0; 4096];
    bencher.bench_local(|| ask(&mut client, &mut answer).is_ok());
}

fn ask(client: &mut TcpStream, answer: &mut [u8]) -> std::io::Result<()> {
    client.write_all(REQUEST)?;
    let mut got = 0;
    while !answer[..got].ends_with(b"\r\n\r\nok") {
        match client.read(&mut answer[got..])? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            more => got += more,
        }
    }
    Ok(())
}

/// A sidecar in front of an origin that always says the same.
fn start(tasks: &mut JoinSet<()>) -> Result<SocketAddr, Box<dyn Error>> {
    let origin = listener::bind("127.0.0.1:0".parse()?)?;
    let config = Config::for_upstream(origin.local_addr()?);
    tasks.spawn(async move {
        let mut peers = JoinSet::new();
        while let Ok((mut stream, _)) = origin.accept().await {
            peers.spawn(async move {
                let mut head = [0; 4096];
                // A request of ours fits into one segment.
                while let Ok(1..) = stream.read(&mut head).await {
                    if stream.write_all(ANSWER).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    let telemetry = Telemetry::silent(Metrics::new(&config.service));
    let proxy = Arc::new(Proxy::new(&config, Arc::new(telemetry), None));
    let door = listener::bind("127.0.0.1:0".parse()?)?;
    let address = door.local_addr()?;
    tasks.spawn(listener::accept_loop(door, Entrance::plain(proxy, 100), Signals::default()));
    Ok(address)
}
