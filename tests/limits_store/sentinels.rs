//! A store that is found by asking sentinels.

use super::*;

#[tokio::test]
async fn sentinels_are_asked_for_the_master() {
    let (recorder, store) = (recording().await, Store::start().await);
    // The first is away, the second does not know, the third does.
    let (away, unknowing, knowing) = (nobody(), sentinel(None).await, sentinel(Some(&store)).await);
    let url = format!("redis+sentinel://{away},{unknowing},{knowing}/main");
    let house = house::open(&shared(&recorder, &url, LIMIT)).await;
    house.until_metric(DEGRADED, 0.0).await;
    assert_eq!(status(&house).await, 200);
    assert_eq!(store.asked().len(), 1);
    house.close().await;
}

/// A sentinel that knows one master, or none.
async fn sentinel(master: Option<&Store>) -> SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let answer = master.map_or("*-1\r\n".to_owned(), |store| {
        let port = store.address.port().to_string();
        format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len())
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    let _serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut bytes, mut introduced) = (Vec::new(), false);
            let mut more = [0; 1024];
            while let Ok(n @ 1..) = stream.read(&mut more).await {
                bytes.extend_from_slice(&more[..n]);
                if !introduced && memchr::memmem::find(&bytes, b"LIB-VER").is_some() {
                    introduced = true;
                    stream.write_all(b"+OK\r\n+OK\r\n").await.expect("a write");
                }
                if memchr::memmem::find(&bytes, b"main\r\n").is_some() {
                    stream.write_all(answer.as_bytes()).await.expect("a write");
                    bytes.clear();
                }
            }
        }
    });
    address
}
