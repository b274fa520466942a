//! Collectors that never stop talking, and collectors that never read: neither may cost more than the
//! attempt.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Uri};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::Instant;
use vital_sidecar::telemetry::export_client::ExportClient;

/// More than all buffers between two processes hold.
const LARGE: usize = 24 << 20;
/// SETTINGS and `WINDOW_UPDATE`: as much as the other side wants to send.
const WIDE: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff\
                      \0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0";

fn at(address: SocketAddr) -> Uri {
    format!("http://{address}/").parse().unwrap()
}

/// How many connections to this address are open at our end, by the kernel.
fn open_to(address: SocketAddr) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!(":{:04X}", address.port());
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields[2].ends_with(&remote) && fields[3] == "01").count()
}

/// One thread serves everybody here: what it is kept from would be requests.
#[tokio::test]
async fn interim_answers_without_end_keep_nobody_else_waiting() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let flooding = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
        while stream.write_all(&interim).is_ok() {}
    });
    let client = ExportClient::new(None).unwrap();
    let began = Instant::now();
    let limit = Duration::from_millis(500);
    let asked = client.exchange(at(address), HeaderMap::new(), Bytes::new(), limit).await;
    assert!(asked.is_err());
    assert!(began.elapsed() < 5 * limit, "{:?}", began.elapsed());
    drop(client);
    tokio::task::spawn_blocking(|| flooding.join()).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_never_reads_is_left_in_the_end() {
    for (client, greeting) in
        [(ExportClient::new(None).unwrap(), &b""[..]), (ExportClient::http2(None).unwrap(), WIDE)]
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (count, mut serving) = (Arc::clone(&accepted), JoinSet::new());
        serving.spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                stream.write_all(greeting).await.unwrap();
                held.push(stream);
            }
        });
        let (body, limit) = (Bytes::from(vec![0; LARGE]), Duration::from_secs(10));
        let asked = client.exchange(at(address), HeaderMap::new(), body, limit).await;
        assert_eq!(asked.unwrap_err().reason, "timeout");
        drop(client);
        tokio::time::sleep(Duration::from_secs(40)).await;
        assert_eq!(accepted.load(Ordering::Relaxed), 1);
        assert_eq!(open_to(address), 0);
    }
}
