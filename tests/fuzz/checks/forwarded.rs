//! Whatever stands in the forwarding fields, the client is the peer or an address from the chain, and
//! what goes on is a valid field.

use std::net::{IpAddr, Ipv4Addr};

use http::header::{HeaderMap, HeaderValue};
use ipnet::IpNet;
use vital_sidecar::http::forwarded::{self, Hop};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// Checks any bytes: lines of `X-Forwarded-For`; the last line is also the host and the scheme.
pub(crate) fn check(bytes: &[u8]) {
    let trusted: [IpNet; 2] =
        ["10.0.0.0/8", "2001:db8::/32"].map(|net| net.parse().expect("a network"));
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(8) {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(forwarded::FOR, value.clone());
        headers.insert(forwarded::HOST, value.clone());
        headers.insert(forwarded::PROTO, value);
    }
    let client = forwarded::client_ip(PEER, &headers, &trusted);
    assert_eq!(client, client.to_canonical());
    assert_eq!(forwarded::client_ip(PEER, &headers, &[]), PEER, "nobody is believed");

    for is_trusted in [true, false] {
        let mut sent = headers.clone();
        let address = forwarded::address_value(PEER);
        let host = headers.get(forwarded::HOST).cloned();
        forwarded::append(
            &mut sent,
            Hop { peer: Some(&address), is_trusted, scheme: "http", host },
        );
        let line = sent.get_all(forwarded::FOR).iter().next_back().expect("our own line");
        assert!(line.as_bytes().ends_with(b"10.0.0.1"), "our peer is the last: {line:?}");
        assert!(is_trusted || sent.get_all(forwarded::FOR).iter().count() == 1);
    }
}
