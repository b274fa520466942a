//! What those who are told of an alert answer: the head says whether they took it, whatever comes of the
//! body.

use vital_sidecar::telemetry::ledger::Account;

use crate::support::eventually;
use crate::support::house::{self, config};
use crate::support::upstream::{self, Upstream, Wire, content_length};

/// A receiver that closes after this answer to each post.
async fn receiver(answer: Vec<u8>) -> Upstream {
    upstream::scripted(move |mut wire: Wire| {
        let answer = answer.clone();
        async move {
            if let Some(head) = wire.head().await {
                wire.body(content_length(&head)).await;
                wire.say(answer).await;
            }
        }
    })
    .await
}

/// The account of this outlet, and how often it was told, after an alert has fired once.
async fn told(sink: &str, receiver: &Upstream) -> (Account, usize) {
    let address = receiver.address;
    let word = match sink {
        "sentry" => "sentry".to_owned(),
        _ => format!("webhook:http://{address}/hook"),
    };
    let text = format!(
        "[sentry]\ndsn = \"http://public@{address}/42\"\ndisabled_environments = []\n\
         [[alerts]]\nname = \"refused\"\nwhen = \"status_4xx > 0/min\"\nnotify = [\"{word}\"]\n\
         [[alerts]]\nname = \"often\"\nwhen = \"ratio(errors, requests) > 100% over 2s\"\nnotify = []\n"
    );
    let service = upstream::answering("HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n").await;
    let house = house::open(&config(service.address, &text)).await;
    house.client().await.get("/").await;
    eventually("it is told", || !receiver.heads().is_empty()).await;
    let accounts = house.close().await.ledger.snapshot();
    let mut found = accounts.into_iter().filter(|account| account.signal == "alerts");
    (found.find(|account| account.sink == sink).expect("an account"), receiver.heads().len())
}

#[tokio::test]
async fn what_takes_an_alert_with_2xx_is_not_told_again_whatever_becomes_of_the_body() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok".to_vec();
    let broken = b"HTTP/1.1 202 X\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec();
    let mut long = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 2 << 20).into_bytes();
    long.resize(long.len() + (2 << 20), b'x');
    for (case, answer) in [("cut", cut), ("broken", broken), ("long", long)] {
        for sink in ["webhook", "sentry"] {
            let (account, times) = told(sink, &receiver(answer.clone()).await).await;
            assert_eq!((account.accepted, account.exported), (1, 1), "{sink}, {case}: {account}");
            assert_eq!(times, 1, "{sink}, {case}");
        }
    }
}

#[tokio::test]
async fn a_refusal_whose_body_is_cut_is_a_refusal() {
    let answer = b"HTTP/1.1 404 X\r\ncontent-length: 10\r\n\r\nno".to_vec();
    for sink in ["webhook", "sentry"] {
        let (account, times) = told(sink, &receiver(answer.clone()).await).await;
        assert_eq!(account.dropped.get("rejected"), Some(&1), "{sink}: {account}");
        assert_eq!(times, 1, "{sink}");
    }
}
