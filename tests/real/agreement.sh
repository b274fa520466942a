#!/usr/bin/env bash
# Whoever has Prometheus and whoever has not is told the same: the five alerts of the rules, in a real
# Prometheus, and the sidecar's own five, which nobody configured, fire on the same traffic.
. "$(dirname "$0")/lib.sh"

ALERTS="critical_errors database_errors high_error_rate performance_degradation security_rate_limited"
config=$ROOT/config/prometheus
read -r listen admin upstream_port prometheus_port told_port < <(free_ports 5)

launch_server upstream "$upstream_port" "$PYTHON" "$PARTS/ailing.py" "$upstream_port"
told=$RUN/told
touch "$told"
launch_server hook "$told_port" "$PYTHON" "$PARTS/hook.py" "$told_port" "$told"
sed -e 's/_interval: 15s/_interval: 1s/' -e '/^alerting:/,/^$/d' \
  -e "s/127.0.0.1:9901/127.0.0.1:$admin/" "$config/prometheus.yml" >"$RUN/prometheus.yml"
cp "$config"/{recording,alerts,burn_rate}.yml "$RUN"
launch_server prometheus "$prometheus_port" prometheus --config.file="$RUN/prometheus.yml" \
  --storage.tsdb.path="$RUN/tsdb" --web.listen-address="127.0.0.1:$prometheus_port"

cat >"$RUN/sidecar.toml" <<TOML
[service]
environment = "production"
[server]
listen = "127.0.0.1:$listen"
[admin]
listen = "127.0.0.1:$admin"
[upstream]
url = "http://127.0.0.1:$upstream_port"
[otlp]
endpoint = ""
[[routes]]
name = "limited"
match = "GET /fine"
rate_limits = ["few"]
[rate_limits.few]
key = ["ip"]
rate = "1/min"
burst = 20
[[errors.classify]]
type = "db_pool_exhausted"
status = [500]
body = "(?i)too many clients"
TOML
ALERT_WEBHOOK="http://127.0.0.1:$told_port/" launch sidecar "$SIDECAR" run --config "$RUN/sidecar.toml"
sidecar=$PID
eventually 20 curl -sf -o /dev/null "http://127.0.0.1:$admin/livez" || abandon "the sidecar did not start"

# get N PATH: so many requests, all at once.
get() { seq "$1" | xargs -P "$1" -I{} curl -s -o /dev/null -m 20 "http://127.0.0.1:$listen$2"; }
# in_prometheus and in_process: the alerts that fire there, of the five.
in_prometheus() {
  curl -sf "http://127.0.0.1:$prometheus_port/api/v1/alerts" |
    jq -r '.data.alerts[] | select(.state == "firing").labels.alertname' | five
}
in_process() { jq -r 'select(.status == "firing").alert' "$told" | five; }
five() { sort -u | grep -xF "$(tr ' ' '\n' <<<"$ALERTS")" | paste -sd' ' -; }
is_scraped() {
  curl -sfG "http://127.0.0.1:$prometheus_port/api/v1/query" --data-urlencode "query=$1" |
    jq -e '.data.result | length > 0' >/dev/null
}

# A percentile needs two looks at a series, so one request comes before the slow ones.
get 1 /other
eventually 30 is_scraped 'http_server_request_duration_seconds_count' || abandon "Prometheus does not scrape"
verify "without cause nothing fires: in the process" test -z "$(in_process)"
verify "without cause nothing fires: in Prometheus" test -z "$(in_prometheus)"
get 60 /slow &
slow=$!
get 30 /fail
get 140 /fine
wait "$slow"

all() { [ "$("$1")" = "$ALERTS" ] || { "$1"; return 1; }; }
verify "the five fire in the process, and the webhook says so" eventually 40 all in_process
verify "the same five fire in Prometheus" eventually 40 all in_prometheus
once() { [ "$(jq -r 'select(.status == "firing").alert' "$told" | sort | uniq -d)" = "" ]; }
verify "each was told once" once
stop "$sidecar"
finish
