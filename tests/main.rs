//! One test binary; a file per behaviour. `support` holds the scenes: a scripted upstream, a sidecar
//! in front of it, a client that may misbehave.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail where it stands")]

mod support;

// What those who are told of an alert answer.
mod alert_answers;
// Alerts in the process.
mod alerts;
// Who asks twice for the end.
mod asked_again;
// What answers say of caches and of time.
mod answer_notes;
// Random answers: what is understood of them does not depend on cuts, nor on who reads.
mod answers;
// Facts out of answers.
mod answer_captures;
// Facts out of request bodies.
mod captures;
// What a request would meet, asked of the command line.
mod explain;
// What gates decided about a request, asked of a running sidecar.
mod explained;
// Facts out of paths and answer heads, and pseudonyms.
mod captures_beside;
// Marked texts in every place a client can write to, and every sink searched for them.
mod canary;
// The operators' door of a whole sidecar.
mod admin;
// The commands that speak with a running sidecar, whatever its file says by now.
mod admin_commands;
// The commit protocol through the whole proxy, on a disk that forgets.
mod audit;
// Attacks that once worked.
mod attacks;
// The audit trail through a real directory.
mod audit_writer;
// The command line as a shell sees it.
mod cli;
// What a wrong configuration says, word by word and column by column.
mod config_errors;
// What can be a configuration file, and what cannot.
mod config_files;
// The demo as a shell starts it.
mod demo;
// The embedded orchestrator and the demo's traffic.
mod demo_orchestrator;
// What lies under examples/ is what its comments say.
mod examples;
// How an exchange can end: one test per row of the table in docs/ARCHITECTURE.md.
mod endings;
// Names for errors of the upstream.
mod error_classes;
// Error events of whole requests.
mod error_reporting;
// The dashboard and the Prometheus rules ask only for what is there.
mod dashboard;
// The rules of the house: imports, lengths, module docs.
mod floors;
// What is left when file descriptors or memory run short.
mod exhaustion;
// What becomes of spans, and of requests, while the collector is in trouble.
mod export;
// Collectors that never stop talking, or never read.
mod export_stalled;
// Random messages: what the guard lets through, the parser behind reads in the same way.
mod framing;
// The fuzz targets over their corpus.
mod fuzz_corpus;
// Methods, header fields, bodies: what reaches the upstream, and what comes back.
mod forwarding;
// HTTP/2 from clients: what works, what is refused, what is bounded.
mod http2;
// B3 and baggage: who may say what of a trace, in which form it goes on.
mod propagation;
// The metrics of the GenAI conventions.
mod genai;
// Who calls: tokens, keys, tenants, and what the upstream is told.
mod identity;
// Rate limits as a client meets them.
mod limits;
// Limits that replicas share in a store, and the store in trouble.
mod limits_store;
// Requests judged by the API's document.
mod openapi;
// Ports: Unix sockets and inherited sockets.
mod listening;
// The log's files: rotation, moves, kills.
mod log_files;
// The access log of a whole sidecar.
mod logging;
// The numbers at their doors.
mod metrics;
// The numbers and their document.
mod metrics_documented;
// The numbers by OTLP.
mod metrics_pushed;
// A thousand random misbehaviours of clients and upstreams.
mod misbehaviour;
// The log at Datadog: an intake of our own that enforces its limits.
mod datadog;
// Log records at a collector: what is in them, and what becomes of them when it is in trouble.
mod otlp_logs;
// Spans on the wire: their shape, and what becomes of them when the collector misbehaves.
mod otlp;
// OTLP over gRPC: what a collector gets, and what becomes of a parcel when it is odd.
mod otlp_grpc;
// OTLP over http/protobuf: answers that no collector should give.
mod otlp_http;
// What forgers write, and the lines it leaves.
mod log_forging;
// Lines of the log that are not of an ended exchange.
mod log_lines;
// One resource, every spelling: what arrives upstream as it has met its gates.
mod path_forms;
// Connections whose client is silent between two messages.
mod parking;
// Permits: who waits, who is refused, what a stream holds.
mod overload;
// What holds under pressure: back-pressure, full pools, dying connections, old dialects.
mod pressure;
// What the pool keeps of its connections, and for how long.
mod pool;
// The files under `config/`, and that they name every key at its default.
mod reference;
// Another configuration for a sidecar that runs.
mod reload;
// Bugs that were found once.
mod regression;
// Pages of other origins, preflights, security headers, unknown paths.
mod security;
// How the real process ends.
mod shutdown;
// Requests that two readers could read differently, as raw bytes.
mod smuggling;
// TLS from clients: versions, certificates, their replacement, the redirect to it.
mod tls;
// The rules of W3C Trace Context, one case per rule.
mod trace_context;
// Traces of whole requests.
mod tracing;
// Upstreams that are not there, break, stall or talk nonsense: one test per fault and protocol.
mod upstream_faults;
// Why the upstream cannot be reached, in readiness, `status` and the log.
mod upstream_reasons;
// What RFC 9110 and 9112 ask of an intermediary.
mod intermediary;
// Which spans leave: decided at the start, or for a reason at the end.
mod sampling;
// Streams: their flushing, their clocks, their last words.
mod streams;
// What is measured of a stream: each kind with each ending.
mod streams_measured;
// Connections that switch protocols.
mod upgrades;
// What is spoken towards the upstream: TLS, HTTP/2, Unix sockets.
mod upstream_protocols;
