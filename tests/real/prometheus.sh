#!/usr/bin/env bash
# A real Prometheus scrapes the sidecar, and two judges read its expositions.
#
# promtool may complain of one thing: the milliseconds of `orchestration_duration_milliseconds`,
# whose name and unit are a promise to existing dashboards.
. "$(dirname "$0")/lib.sh"

read -r node_port listen admin metrics prometheus_port nobody < <(free_ports 6)
launch_server node "$node_port" node "$PARTS/server.js" "$node_port"
write_config "$RUN/sidecar.toml" "$listen" "$admin" "$node_port"
cat >>"$RUN/sidecar.toml" <<TOML
# Exemplars name traces that somebody is to have: here a collector that is away.
[otlp]
endpoint = "http://127.0.0.1:$nobody"
[metrics]
listen = "127.0.0.1:$metrics"
[[routes]]
name = "orchestrate"
match = "POST /api/orchestrate"
captures = ["orchestration.mode"]
[captures."orchestration.mode"]
from = "request.body:/mode"
values = ["rag_query", "multi_agent"]
metric = true
TOML
run_sidecar "$RUN/sidecar.toml" "$admin"
"$PYTHON" "$PARTS/drive.py" posts "$listen" 1 "$RUN/answers" >/dev/null
"$PYTHON" "$PARTS/drive.py" gets "$listen" /blob/1024 200 >/dev/null

cat >"$RUN/prometheus.yml" <<YAML
global: { scrape_interval: 1s }
scrape_configs:
  - job_name: sidecar
    static_configs: [{ targets: ["127.0.0.1:$metrics"] }]
YAML
launch_server prometheus "$prometheus_port" prometheus --config.file="$RUN/prometheus.yml" \
  --storage.tsdb.path="$RUN/tsdb" --web.listen-address="127.0.0.1:$prometheus_port" \
  --enable-feature=exemplar-storage

# query EXPRESSION: the first value, or nothing.
query() {
  curl -sfG "http://127.0.0.1:$prometheus_port/api/v1/query" --data-urlencode "query=$1" |
    jq -er '.data.result[0].value[1]'
}
is_scraped() { [ "$(query 'up{job="sidecar"}')" = 1 ]; }
counted() { [ "$(query "sum($1)")" -ge "$2" ]; }

# The first scrape comes some five seconds after the start, whatever the interval.
verify "Prometheus scrapes it" eventually 20 is_scraped
verify "the durations of all answers are there" \
  eventually 10 counted http_server_request_duration_seconds_count 200
verify "the orchestration counter is there, with its mode" \
  eventually 10 counted 'orchestration_requests_total{mode="rag_query"}' 1

# A kept trace is found from the duration it had.
leads_to_a_trace() {
  curl -sfG "http://127.0.0.1:$prometheus_port/api/v1/query_exemplars" \
    --data-urlencode 'query=http_server_request_duration_seconds_bucket' \
    --data-urlencode "start=$(($(date +%s) - 600))" --data-urlencode "end=$(($(date +%s) + 60))" |
    jq -e '[.data[].exemplars[].labels | select((.trace_id | length) == 32 and
            (.span_id | length) == 16)] | length > 0' >/dev/null
}
verify "its exemplars lead to traces" eventually 10 leads_to_a_trace

exposition() { curl -sf -H "accept: $1" "http://127.0.0.1:$metrics/metrics"; }
exposition 'text/plain;version=0.0.4' >"$RUN/text"
exposition 'application/openmetrics-text;version=1.0.0' >"$RUN/openmetrics"

promtool_accepts() {
  [ -s "$RUN/text" ] || return 1
  # 3 is its status for complaints of style, which the next line judges.
  promtool check metrics <"$RUN/text" >"$RUN/promtool" 2>&1 || [ $? = 3 ] || cat "$RUN/promtool"
  ! grep -v '^orchestration_duration_milliseconds .*base unit' "$RUN/promtool"
}
verify "promtool complains of nothing but the milliseconds" promtool_accepts
verify "the text form is sound" "$PYTHON" "$PARTS/om_check.py" text <"$RUN/text"
verify "the OpenMetrics form is sound" \
  "$PYTHON" "$PARTS/om_check.py" openmetrics <"$RUN/openmetrics"

status_of() { curl -s -o /dev/null -w '%{http_code}' "$@"; }
only_four_paths() {
  local path
  for path in /metrics /livez /readyz /startupz; do
    [ "$(status_of "http://127.0.0.1:$metrics$path")" = 200 ] || { echo "$path"; return 1; }
  done
  for path in / /status /drain /config /reload; do
    [ "$(status_of "http://127.0.0.1:$metrics$path")" = 404 ] || { echo "$path"; return 1; }
  done
}
verify "the metrics port answers its four paths and nothing else" only_four_paths
finish
