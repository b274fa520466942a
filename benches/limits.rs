//! What one limit costs a request: a token from its bucket, and what the answer says about it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use divan::{Bencher, black_box};
use http::HeaderMap;
use vital_sidecar::config::Config;
use vital_sidecar::config::model::{LimitKey, Mode, RateLimit};
use vital_sidecar::proxy::limits::{self, Keys, Limits};
use vital_sidecar::units::Rate;

const MANY: NonZeroU32 = NonZeroU32::new(1_000_000).unwrap();

fn main() {
    divan::main();
}

fn limits() -> Limits {
    let mut config = Config::for_upstream(SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)));
    config.rate_limits = vec![RateLimit {
        name: "per-ip".into(),
        key: vec![LimitKey::Ip],
        rate: Rate { count: MANY, per: Duration::from_secs(1) },
        burst: MANY,
        mode: Mode::Enforce,
        max_keys: 1000,
    }];
    Limits::compile(&config, None)
}

#[divan::bench]
fn admit(bencher: Bencher<'_, '_>) {
    let limiters = limits().resolve(&["per-ip".into()]);
    let headers = HeaderMap::new();
    let keys = Keys { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), route: "/", headers: &headers };
    bencher.bench_local(|| limits::admit(black_box(&limiters), black_box(&keys)));
}

#[divan::bench]
fn dress(bencher: Bencher<'_, '_>) {
    let limiters = limits().resolve(&["per-ip".into()]);
    let headers = HeaderMap::new();
    let keys = Keys { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), route: "/", headers: &headers };
    let verdict = limits::admit(&limiters, &keys);
    bencher.with_inputs(|| HeaderMap::with_capacity(8)).bench_local_values(|mut headers| {
        limits::dress(&mut headers, black_box(&verdict));
        headers
    });
}
