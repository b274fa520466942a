#!/usr/bin/env bash
# A real OTLP receiver takes spans and log records, by http/protobuf and by gRPC, and the app behind adds its own
# spans at the right place.
#
# Batches may arrive in any order; the chain is judged once all four spans are in rotel's log.
. "$(dirname "$0")/lib.sh"

read -r grpc_port otlp_port app_port listen admin < <(free_ports 5)
launch_server rotel "$otlp_port" "$ROTEL" start --pid-file "$RUN/rotel.pid" \
  --otlp-grpc-endpoint "127.0.0.1:$grpc_port" --otlp-http-endpoint "127.0.0.1:$otlp_port" \
  --exporter blackhole --debug-log traces --debug-log logs --debug-log-verbosity detailed
collector=http://127.0.0.1:$otlp_port
launch_server app "$app_port" env OTLP_ENDPOINT="$collector" \
  "$PYTHON" -m uvicorn --app-dir "$PARTS" --port "$app_port" --log-level warning asgi_app:app

write_config "$RUN/sidecar.toml" "$listen" "$admin" "$app_port"
cat >>"$RUN/sidecar.toml" <<TOML
[otlp]
endpoint = "$collector"
[tracing.sampling]
ratio = 1.0
[[routes]]
name = "traced"
match = "GET /traced"
span = "orchestration.execute"
TOML
run_sidecar "$RUN/sidecar.toml" "$admin"

curl -sf "http://127.0.0.1:$listen/traced" >"$RUN/app.json" ||
  abandon "the app behind could not be asked"
chain_is_right() { "$PYTHON" "$PARTS/spans.py" "$RUN/rotel.log" "$RUN/app.json"; }
eventually 15 chain_is_right
verify "SERVER, INTERNAL, CLIENT and the app's own span are one chain" chain_is_right

for _ in 1 2 3 4 5; do curl -sf -o /dev/null "http://127.0.0.1:$listen/blob/1"; done
curl -sf -o /dev/null -H 'traceparent: 00-11111111111111111111111111111111-2222222222222222-01' \
  "http://127.0.0.1:$listen/blob/2"
stop "$SIDECAR_PID"

# 3 spans of /traced, 2 of each other request, 1 of the app itself.
all_arrived() { [ "$(grep -c '^Span #' "$RUN/rotel.log")" = 16 ]; }
eventually 10 all_arrived
verify "what was in flight at the end was delivered by the drain: 16 spans, none twice" all_arrived
lines_arrived() { [ "$(grep -c '^EventName: sidecar.request.completed' "$RUN/rotel.log")" = "$1" ]; }
eventually 10 lines_arrived 7
verify "each of the 7 requests left one log record" lines_arrived 7
# A log record's span is printed as "Span ID", a span's own as "ID".
each_names_its_span() {
  local id
  for id in $(sed -n 's/^ *Span ID *: //p' "$RUN/rotel.log"); do
    grep -qE "^ *ID *: $id" "$RUN/rotel.log" || return 1
  done
}
verify "each names a span that arrived" each_names_its_span
# rotel prints a span's own ids indented by four, and those of its links by five and an arrow.
foreign=11111111111111111111111111111111
not_believed() { ! grep -E "^    (Trace ID|Parent ID) *: ($foreign|2{16})" "$RUN/rotel.log"; }
verify "an untrusted client's traceparent does not name our trace" not_believed
is_linked() { [ "$(grep -cE "^ +-> Trace ID: $foreign" "$RUN/rotel.log")" = 1 ]; }
verify "it is kept as a link of one span" is_linked

write_config "$RUN/grpc.toml" "$listen" "$admin" "$app_port"
cat >>"$RUN/grpc.toml" <<TOML
[otlp]
endpoint = "http://127.0.0.1:$grpc_port"
protocol = "grpc"
compression = "gzip"
[tracing.sampling]
ratio = 1.0
TOML
run_sidecar "$RUN/grpc.toml" "$admin"
for _ in 1 2 3 4 5; do curl -sf -o /dev/null "http://127.0.0.1:$listen/blob/1"; done
stop "$SIDECAR_PID"
# 2 spans of each request beside the 16 from before.
more_arrived() { [ "$(grep -c '^Span #' "$RUN/rotel.log")" = 26 ]; }
eventually 10 more_arrived
verify "by gRPC, compressed, 10 more spans are delivered by the drain, none twice" more_arrived
eventually 10 lines_arrived 12
verify "and 5 more log records" lines_arrived 12
finish
