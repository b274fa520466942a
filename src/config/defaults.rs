//! Every default, once. The file, the environment and flags are laid over this.
//!
//! A two-line config is transparent: it observes, and breaks nothing that worked without it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::check::usual_alerts;
use super::model::Notify;
use super::model::{
    Admin, Alert, Audit, AuditMode, Breaker, Cache, Config, Console, Drain, Gates, Health,
    HostHeader, Identity, IdentitySource, Inspect, Keep, Log, LogFiles, LogLevel, Metrics, Mode,
    Need, Otlp, OtlpProtocol, OtlpTarget, Overload, PathForm, Pool, Propagators, RateLimitHeaders,
    RateLimitStore, Retry, Schema, Scheme, Server, ServerLimits, Service, Share, Signal, Spool,
    TelemetryUser, Timeouts, Tracing, Trust, Upstream,
};
use super::model::{Preset, Security, Unmatched};
use crate::record::ConfigName;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Tokens a bucket holds where a limit names no burst.
pub const BURST: NonZeroU32 = NonZeroU32::new(20).expect("20 is not zero");
/// Buckets a limit keeps where it names no `max_keys`.
pub const MAX_KEYS: usize = 100_000;
/// Series of a family of metrics.
pub const MAX_SERIES: usize = 5000;
/// Header fields that tell of caches.
const CACHE_HEADERS: [&str; 4] = ["cache-status", "x-cache", "x-nextjs-cache", "x-vercel-cache"];
/// What is watched for where nothing is named: the name, when it fires, and in which environments.
pub(crate) const ALERTS: [(&str, &str, &[&str]); 5] = [
    ("high_error_rate", "errors > 10/min", &[]),
    ("critical_errors", "status_5xx > 0/min", &["production"]),
    ("performance_degradation", "p95(duration, stream=false) > 5s over 5m", &[]),
    ("security_rate_limited", "rate_limit_blocked > 100/min", &[]),
    ("database_errors", "errors{type=db_pool_exhausted} > 0/min", &[]),
];
/// The base URL of the collector that is tried where none is named.
pub(crate) const COLLECTOR: &str = "http://localhost:4318";
/// The same, for gRPC.
pub(crate) const GRPC_COLLECTOR: &str = "http://localhost:4317";

impl Config {
    /// The configuration of a file that names nothing but the upstream.
    pub fn for_upstream(upstream: SocketAddr) -> Self {
        Self {
            service: Service {
                name: "vital-orchestrator".to_owned(),
                version: "1.0.0".to_owned(),
                environment: "development".to_owned(),
                attributes: Vec::new(),
            },
            server: server(),
            admin: admin(),
            upstream: Upstream {
                scheme: Scheme::Http,
                host: ConfigName::configured(&upstream.ip().to_string()),
                port: upstream.port(),
                authority: upstream.to_string(),
                socket: None,
                ca_file: None,
                host_header: HostHeader::Preserve,
                timeouts: timeouts(),
                pool: pool(),
                retry: Retry { max_retries: 1, budget: 0.1 },
                health: Health { path: None, interval: Duration::from_secs(5) },
                breaker: Breaker {
                    mode: Mode::Enforce,
                    failures: 5,
                    open_for: Duration::from_secs(5),
                },
            },
            request_id_header: "x-request-id".into(),
            otlp: otlp(),
            tracing: tracing(),
            metrics_listen: None,
            metrics: metrics(),
            cache: Cache { headers: CACHE_HEADERS.map(Into::into).into() },
            log: log(),
            spool: Spool { directory: None, max_size: 256 << 20 },
            identity: identity(),
            security: security(),
            openapi: None,
            default_rate_limits: Vec::new(),
            default_gates: gates(),
            routes: Vec::new(),
            captures: Vec::new(),
            inspect: Inspect { max_body: 64 * KIB, max_memory: 64 * MIB },
            rate_limits: Vec::new(),
            rate_limit_store: rate_limit_store(),
            rate_limit_headers: RateLimitHeaders::Ietf,
            overload: overload(),
            audit: audit(),
            datadog: None,
            sentry: None,
            errors_type_base: String::new(),
            error_classes: Vec::new(),
            genai: false,
            alerts: alerts(),
            pseudonym_key: None,
        }
    }
}

pub(crate) fn admin() -> Admin {
    Admin { listen: SocketAddr::new(LOOPBACK, 9901), token: None }
}

fn log() -> Log {
    let files = LogFiles { max_size: Some(10 * MIB as u64), max_files: 5, compress: true };
    Log {
        level: LogLevel::Info,
        schema: Schema::Winston,
        console: Console::Auto,
        directory: None,
        request_start: false,
        headers: Vec::new(),
        files,
    }
}

fn alerts() -> Vec<Alert> {
    usual_alerts(&Notify { log: true, sentry: true, webhook: None })
}

pub(crate) fn audit() -> Audit {
    Audit {
        directory: PathBuf::from("audit"),
        mode: AuditMode::Strict,
        deadline: Duration::from_millis(250),
    }
}

fn server() -> Server {
    Server {
        listen: SocketAddr::new(LOOPBACK, 8080).into(),
        workers: std::thread::available_parallelism().map_or(1, usize::from),
        trusted_proxies: Vec::new(),
        max_connections: 10_000,
        path: PathForm::Strict,
        server_timing: false,
        limits: ServerLimits {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_idle_timeout: Duration::from_secs(30),
            min_body_rate: 0,
            write_timeout: Duration::from_secs(30),
            max_header_bytes: 32 * KIB,
            max_headers: 100,
            max_uri_bytes: 8 * KIB,
            max_request_body: MIB as u64,
        },
        tls: None,
        drain: Drain { delay: Duration::from_secs(5), timeout: Duration::from_secs(25) },
    }
}

/// `[identity]` where nothing is written.
pub(crate) fn identity() -> Identity {
    let claim = |(field, claim): (&str, &str)| (field.into(), claim.into());
    Identity {
        source: IdentitySource::None,
        telemetry_user: TelemetryUser::Hmac,
        tenant_header: Some("x-tenant-id".into()),
        tenant_path_param: Some("tenant".into()),
        tenant_body: None,
        user_claim: "sub".into(),
        tenant_claim: "tenant_id".into(),
        forward: [("x-tenant-id", "tenant_id"), ("x-user-id", "sub")].map(claim).into(),
        signing_key: None,
    }
}

fn rate_limit_store() -> RateLimitStore {
    RateLimitStore {
        url: None,
        timeout: Duration::from_millis(20),
        replicas: NonZeroU32::MIN,
        ca_file: None,
    }
}

fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(2),
        response_header: Some(Duration::from_secs(30)),
        request: None,
        idle: Some(Duration::from_mins(1)),
        stream_idle: Some(Duration::from_mins(5)),
        stream_max: None,
        upgrade_idle: Some(Duration::from_mins(5)),
    }
}

fn pool() -> Pool {
    Pool {
        max_connections: 256,
        queue_timeout: Duration::from_secs(1),
        max_idle: 128,
        // Node closes idle connections after 5 s; being first avoids the race.
        idle_timeout: Duration::from_secs(4),
    }
}

fn gates() -> Gates {
    Gates {
        identity: Need::Optional,
        csrf: Mode::Shadow,
        validation: Mode::Enforce,
        rate_limits: Mode::Enforce,
    }
}

fn security() -> Security {
    Security {
        headers: Preset::Basic,
        overrides: Vec::new(),
        remove_request_headers: Vec::new(),
        csrf_trusted_origins: Vec::new(),
        unmatched: Unmatched::Forward,
    }
}

fn overload() -> Overload {
    Overload {
        max_in_flight: 1024,
        max_streams: 512,
        queue_timeout: Duration::from_secs(1),
        tenant_share: Share(500),
    }
}

fn metrics() -> Metrics {
    Metrics {
        push: false,
        interval: Duration::from_mins(1),
        max_series: MAX_SERIES,
        has_exemplars: true,
    }
}

fn tracing() -> Tracing {
    Tracing {
        propagators: Propagators { tracecontext: true, ..Propagators::default() },
        trust: Trust::TrustedProxies,
        ratio: 1.0,
        keep: Keep {
            errors: true,
            slow: Some(Duration::from_secs(5)),
            statuses: Vec::new(),
            per_second: 50,
        },
    }
}

fn otlp() -> Otlp {
    let target = |signal: Signal| {
        let url = format!("{COLLECTOR}{}", signal.path());
        OtlpTarget { is_configured: false, ..OtlpTarget::new(url, OtlpProtocol::Http) }
    };
    Otlp {
        traces: Some(target(Signal::Traces)),
        metrics: Some(target(Signal::Metrics)),
        logs: None,
    }
}
