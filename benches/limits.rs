//! What one limit costs a request: a token from its bucket, and what the answer says about it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use divan::{Bencher, black_box};
use http::HeaderMap;
use vital_sidecar::config::Config;
use vital_sidecar::config::model::{LimitKey, Mode, RateLimit};
use vital_sidecar::proxy::limits::{self, Keys, Limits, Stage, Verdict};
use vital_sidecar::units::Rate;

const MANY: NonZeroU32 = NonZeroU32::new(1_000_000).unwrap();

fn main() {
    divan::main();
}

fn limits() -> Limits {
    let mut config = Config::for_upstream(SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)));
    let rate = Rate { count: MANY, per: Duration::from_secs(1) };
    let mut per_ip = RateLimit::new("per-ip".into(), vec![LimitKey::Ip], rate, MANY);
    per_ip.max_keys = 1000;
    config.rate_limits = vec![per_ip];
    Limits::compile(&config, None, None)
}

fn keys(headers: &HeaderMap) -> Keys<'_> {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Keys { ip, route: "/", headers, identity: None, facts: &[], unfit: &[] }
}

#[divan::bench]
fn admit(bencher: Bencher<'_, '_>) {
    let staged = limits().resolve(&["per-ip".into()], Mode::Enforce);
    let (slots, headers) = (staged.at(Stage::Door), HeaderMap::new());
    let keys = keys(&headers);
    bencher.bench_local(|| {
        let mut verdict = Verdict::default();
        limits::admit(black_box(slots), black_box(&keys), &mut verdict);
        verdict
    });
}

#[divan::bench]
fn dress(bencher: Bencher<'_, '_>) {
    let staged = limits().resolve(&["per-ip".into()], Mode::Enforce);
    let (mut verdict, headers) = (Verdict::default(), HeaderMap::new());
    limits::admit(staged.at(Stage::Door), &keys(&headers), &mut verdict);
    bencher.with_inputs(|| HeaderMap::with_capacity(8)).bench_local_values(|mut headers| {
        limits::dress(&mut headers, black_box(&verdict));
        headers
    });
}
