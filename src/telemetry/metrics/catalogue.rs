//! Every instrument there is, declared once.
//!
//! Names of OpenTelemetry's semantic conventions stand here only for what these define; the plan's six
//! keep the names the plan gave them; all else is `sidecar.*` and `process.*`. `docs/metrics.md` lists
//! the same, and a test compares the two.

use super::instrument::Instrument;
use super::instrument::Kind::{Counter, Gauge, Histogram, UpDownCounter};
use super::labels::key;

/// `NAME: Kind "opentelemetry.name" in "unit" by [KEYS], "help";`
macro_rules! declare {
    ($($constant:ident: $kind:ident $name:literal in $unit:literal by [$($key:ident),*], $help:literal;)*) => {
        $(
            pub(super) static $constant: Instrument = Instrument {
                name: $name,
                unit: $unit,
                help: $help,
                kind: $kind,
                keys: &[$(key::$key),*],
            };
        )*

        /// All of them.
        #[cfg(test)]
        pub(super) static ALL: &[&Instrument] = &[$(&$constant),*];
    };
}

declare! {
    // OpenTelemetry's HTTP semantic conventions.
    REQUEST_DURATION: Histogram "http.server.request.duration" in "s"
        by [METHOD, ROUTE, STATUS_CODE, ERROR_TYPE, STREAM],
        "Duration of HTTP server requests";
    ACTIVE_REQUESTS: UpDownCounter "http.server.active_requests" in "{request}" by [METHOD],
        "Number of active HTTP server requests";
    REQUEST_BODY: Histogram "http.server.request.body.size" in "By" by [METHOD, ROUTE],
        "Size of HTTP server request bodies";
    RESPONSE_BODY: Histogram "http.server.response.body.size" in "By" by [METHOD, ROUTE],
        "Size of HTTP server response bodies";
    CLIENT_DURATION: Histogram "http.client.request.duration" in "s"
        by [METHOD, STATUS_CODE, ERROR_TYPE, SERVER_ADDRESS, SERVER_PORT],
        "Duration of requests to the upstream, to the last byte of the answer";

    // OpenTelemetry's GenAI semantic conventions.
    TOKEN_USAGE: Histogram "gen_ai.client.token.usage" in "{token}"
        by [OPERATION_NAME, PROVIDER_NAME, REQUEST_MODEL, RESPONSE_MODEL, TOKEN_TYPE],
        "Number of input and output tokens used";
    FIRST_CHUNK: Histogram "gen_ai.client.operation.time_to_first_chunk" in "s"
        by [OPERATION_NAME, PROVIDER_NAME, REQUEST_MODEL, RESPONSE_MODEL],
        "Time from the request to the upstream to the first chunk of its stream";
    PER_CHUNK: Histogram "gen_ai.client.operation.time_per_output_chunk" in "s"
        by [OPERATION_NAME, PROVIDER_NAME, REQUEST_MODEL, RESPONSE_MODEL],
        "Time from one chunk of a stream to the next";

    // The six that the service's own plan named.
    ORCHESTRATIONS: Counter "orchestration.requests" in "" by [STATUS, MODE],
        "Number of orchestration requests";
    ORCHESTRATION_DURATION: Histogram "orchestration.duration" in "ms" by [MODE],
        "Orchestration request duration in milliseconds";
    CACHE_HITS: Counter "cache.hits" in "" by [ROUTE],
        "Number of cache hits";
    CACHE_MISSES: Counter "cache.misses" in "" by [ROUTE],
        "Number of cache misses";
    BLOCKED: Counter "rate_limit.blocked" in "" by [RULE, ROUTE],
        "Number of rate limited requests";
    ERRORS: Counter "errors" in "errors" by [TYPE],
        "Number of errors by type";

    // Answers.
    FIRST_BYTE: Histogram "sidecar.response.time_to_first_byte" in "s" by [ROUTE],
        "Time from the request's head to the first byte of the answer's body";
    STREAM_DURATION: Histogram "sidecar.stream.duration" in "s" by [ROUTE],
        "Duration of streamed answers";
    STREAM_EVENTS: Counter "sidecar.stream.events" in "{event}" by [ROUTE],
        "Events passed on";
    STREAM_GAP: Histogram "sidecar.stream.gap" in "s" by [ROUTE],
        "Time from one message of a stream to the next, counted at its end";
    OVERHEAD: Histogram "sidecar.overhead" in "s" by [PHASE],
        "Time spent in the sidecar, not in the upstream";

    // Connections.
    CONNECTIONS: UpDownCounter "sidecar.connections" in "{connection}" by [],
        "Open client connections";
    CONNECTION_ERRORS: Counter "sidecar.connection.errors" in "{connection}" by [REASON],
        "Client connections that ended in an error, by reason";
    UPSTREAM_CONNECTIONS: UpDownCounter "sidecar.upstream.connections" in "{connection}" by [STATE],
        "Connections to the upstream, by state";
    UPSTREAM_CONNECT: Histogram "sidecar.upstream.connect.duration" in "s" by [],
        "Time to connect to the upstream";
    BREAKER_STATE: Gauge "sidecar.breaker.state" in "" by [STATE],
        "1 for the state the breaker is in";

    // What was found in requests.
    IDENTITY_HEADERS: Counter "sidecar.identity_headers.removed" in "{header}" by [],
        "Identity headers taken out of client requests";
    UNREADABLE: Counter "sidecar.capture.unreadable" in "{body}" by [],
        "Bodies whose configured facts could not be read";

    // Gates.
    GATE_DECISIONS: Counter "sidecar.gate.decisions" in "{request}" by [GATE, DECISION, ROUTE],
        "Requests that a gate refused, or in shadow mode would have";
    IDENTITY_REJECTIONS: Counter "sidecar.identity.rejections" in "{request}" by [REASON],
        "Requests refused for who sent them, by the check that failed";

    // Rate limits.
    DECISIONS: Counter "sidecar.rate_limit.decisions" in "{request}" by [RULE, DECISION],
        "Decisions of a rate limit";
    LIMIT_KEYS: UpDownCounter "sidecar.rate_limit.keys" in "{bucket}" by [RULE],
        "Buckets a rate limit holds";
    LIMITS_DEGRADED: Gauge "sidecar.rate_limit.degraded" in "" by [],
        "1 while the shared store is away and each replica grants its share";
    LIMIT_STORE: Histogram "sidecar.rate_limit.store" in "s" by [RESULT],
        "Time requests waited for the shared store, by call";

    // The audit.
    AUDIT_RECORDS: Counter "sidecar.audit.records" in "{record}" by [EVENT, RESULT],
        "Audit records, by event and result";
    AUDIT_FAILURES: Counter "sidecar.audit.failures" in "{record}" by [],
        "Audit records that could not be made durable";
    AUDIT_SEQUENCE: Gauge "sidecar.audit.sequence" in "" by [],
        "Last durable sequence number of the audit chain";
    AUDIT_COMMIT: Histogram "sidecar.audit.commit" in "s" by [],
        "Time to make a group of records durable";

    // The ledger.
    ACCEPTED: Counter "sidecar.telemetry.accepted" in "{item}" by [SIGNAL, SINK],
        "Items handed to a sink, or recovered from the spool";
    EXPORTED: Counter "sidecar.telemetry.exported" in "{item}" by [SIGNAL, SINK],
        "Items that arrived";
    DROPPED: Counter "sidecar.telemetry.dropped" in "{item}" by [SIGNAL, SINK, REASON],
        "Items lost, by reason";
    IN_FLIGHT: UpDownCounter "sidecar.telemetry.in_flight" in "{item}" by [SIGNAL, SINK],
        "Items on their way";
    QUEUE_CAPACITY: UpDownCounter "sidecar.telemetry.queue_capacity" in "{item}" by [SIGNAL, SINK],
        "Items a sink's queue can hold";
    SPOOL_BYTES: UpDownCounter "sidecar.telemetry.spool" in "By" by [SIGNAL, SINK],
        "Size of the files in the spool";
    ATTEMPTS: Counter "sidecar.telemetry.export_attempts" in "{request}" by [SIGNAL, SINK, RESULT],
        "Export requests, by result";
    LAST_SUCCESS: Gauge "sidecar.telemetry.last_success_timestamp" in "s" by [SIGNAL, SINK],
        "When a batch last arrived";

    // What is watched for.
    ALERT_FIRING: Gauge "sidecar.alert.firing" in "" by [ALERT],
        "1 while the alert fires";

    // The sidecar itself.
    OVERFLOW: Counter "sidecar.metrics.overflow" in "" by [],
        "Series that found no room in their family";
    RELOAD_SUCCESSFUL: Gauge "sidecar.config.last_reload_successful" in "" by [],
        "Whether the last attempt to load the configuration succeeded";
    RELOAD_SUCCESS_TIME: Gauge "sidecar.config.last_reload_success_timestamp" in "s" by [],
        "When the configuration in force was loaded";
    BUILD_INFO: Gauge "sidecar.build.info" in "" by [VERSION],
        "Version of the sidecar";

    // The process, by the names that dashboards know.
    PROCESS_CPU: Counter "process.cpu" in "s" by [],
        "User and system CPU time spent";
    PROCESS_RESIDENT: Gauge "process.resident_memory" in "By" by [],
        "Resident memory size";
    PROCESS_VIRTUAL: Gauge "process.virtual_memory" in "By" by [],
        "Virtual memory size";
    PROCESS_OPEN_FDS: Gauge "process.open_fds" in "{descriptor}" by [],
        "Open file descriptors";
    PROCESS_MAX_FDS: Gauge "process.max_fds" in "{descriptor}" by [],
        "Limit of open file descriptors";
    PROCESS_START: Gauge "process.start_time" in "s" by [],
        "Start time since the Unix epoch";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_attributes_of_the_conventions_are_theirs() {
        use opentelemetry_semantic_conventions::{attribute, metric};
        for (instrument, name) in [
            (&REQUEST_DURATION, metric::HTTP_SERVER_REQUEST_DURATION),
            (&ACTIVE_REQUESTS, metric::HTTP_SERVER_ACTIVE_REQUESTS),
            (&REQUEST_BODY, metric::HTTP_SERVER_REQUEST_BODY_SIZE),
            (&RESPONSE_BODY, metric::HTTP_SERVER_RESPONSE_BODY_SIZE),
            (&CLIENT_DURATION, metric::HTTP_CLIENT_REQUEST_DURATION),
        ] {
            assert_eq!(instrument.name, name);
        }
        for (key, name) in [
            (key::METHOD, attribute::HTTP_REQUEST_METHOD),
            (key::ROUTE, attribute::HTTP_ROUTE),
            (key::STATUS_CODE, attribute::HTTP_RESPONSE_STATUS_CODE),
            (key::ERROR_TYPE, attribute::ERROR_TYPE),
            (key::SERVER_ADDRESS, attribute::SERVER_ADDRESS),
            (key::SERVER_PORT, attribute::SERVER_PORT),
        ] {
            assert_eq!(key, name);
        }
        let theirs = ALL.iter().filter(|instrument| instrument.name.starts_with("http."));
        assert_eq!(theirs.count(), 5, "no other name is borrowed");
    }

    #[test]
    fn the_six_of_the_plan_keep_their_names_and_units() {
        let plan: Vec<_> = ALL
            .iter()
            .filter(|instrument| {
                !["http.", "gen_ai.", "sidecar.", "process."]
                    .iter()
                    .any(|own| instrument.name.starts_with(own))
            })
            .map(|instrument| (instrument.name, instrument.unit))
            .collect();
        assert_eq!(
            plan,
            [
                ("orchestration.requests", ""),
                ("orchestration.duration", "ms"),
                ("cache.hits", ""),
                ("cache.misses", ""),
                ("rate_limit.blocked", ""),
                ("errors", "errors"),
            ]
        );
    }

    #[test]
    fn no_two_instruments_share_a_name() {
        let mut names: Vec<_> = ALL.iter().map(|one| one.prometheus_name()).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
