#!/usr/bin/env bash
# The rules and the dashboard under config/, judged by promtool and Grafana's schema; and the demo's
# failures on their way from a real Prometheus through a real Alertmanager to a webhook.
#
# The rules are loaded as they are. Of prometheus.yml a copy is made: other ports, and a second
# between scrapes and evaluations, so that nobody has to wait.
. "$(dirname "$0")/lib.sh"

config=$ROOT/config
verify "promtool accepts the configuration and its rules" promtool check config "$config/prometheus/prometheus.yml"
verify "promtool's tests of the rules pass" promtool test rules "$config"/prometheus/tests/*.yml
verify "Grafana's schema and promtool accept the dashboard" \
  "$PYTHON" "$PARTS/dashboard_check.py" "$config/grafana/vital-sidecar.json"

read -r listen admin prometheus_port alertmanager_port hook_port < <(free_ports 5)
hooked=$RUN/hooked
touch "$hooked"
launch_server hook "$hook_port" "$PYTHON" "$PARTS/hook.py" "$hook_port" "$hooked"

cat >"$RUN/alertmanager.yml" <<YAML
route: { receiver: hook, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h }
receivers:
  - name: hook
    webhook_configs: [{ url: "http://127.0.0.1:$hook_port/", send_resolved: true }]
YAML
launch_server alertmanager "$alertmanager_port" prometheus-alertmanager --config.file="$RUN/alertmanager.yml" \
  --storage.path="$RUN/alertmanager" --web.listen-address="127.0.0.1:$alertmanager_port" --cluster.listen-address=

sed -e 's/_interval: 15s/_interval: 1s/' -e "s/127.0.0.1:9093/127.0.0.1:$alertmanager_port/" \
  -e "s/127.0.0.1:9901/127.0.0.1:$admin/" "$config/prometheus/prometheus.yml" >"$RUN/prometheus.yml"
cp "$config"/prometheus/{recording,alerts,burn_rate}.yml "$RUN"
launch_server prometheus "$prometheus_port" prometheus --config.file="$RUN/prometheus.yml" \
  --storage.tsdb.path="$RUN/tsdb" --web.listen-address="127.0.0.1:$prometheus_port"

# The demo's service fails on purpose, about once in three seconds.
TMPDIR=$RUN launch sidecar "$SIDECAR" demo --listen "127.0.0.1:$listen" --admin "127.0.0.1:$admin"
demo=$PID
eventually 20 curl -sf -o /dev/null "http://127.0.0.1:$admin/livez" || abandon "the demo did not start"

# ask PATH FILTER: whether jq finds it in what Prometheus says.
ask() { curl -sfG "http://127.0.0.1:$prometheus_port/api/v1/$1" | jq -e "$2" >/dev/null; }
is_firing() { ask alerts "any(.data.alerts[]; .labels.alertname == \"$1\" and .state == \"firing\")"; }
not_firing() { ! is_firing "$1"; }
has_arrived() { jq -es "any(.[]; .alertname == \"$1\" and .status == \"$2\")" "$hooked"; }

verify "the demo's failures fire high_error_rate" eventually 75 is_firing high_error_rate
# One answer in a hundred says that the database has no connection left.
verify "they fire database_errors" eventually 60 is_firing database_errors
verify "the webhook of high_error_rate arrives" eventually 15 has_arrived high_error_rate firing
# In agreement.sh it fires.
verify "the demo is no production, so critical_errors is silent" not_firing critical_errors
says_what_to_do() {
  jq -es 'any(.[]; .alertname == "high_error_rate" and .severity == "page" and .job == "vital-sidecar"
                   and (.summary | test("^vital-sidecar: [0-9.]+ errors in the last minute$"))
                   and .runbook_url == "docs/runbooks.md#high_error_rate")' "$hooked"
}
verify "it says what is wrong, where, and what to do" eventually 5 says_what_to_do

# Rules that Prometheus could not evaluate would show here: two series where one is needed, say.
is_healthy() { ask rules '[.data.groups[].rules[]] | length > 50 and all(.health == "ok")'; }
verify "Prometheus evaluates every rule" eventually 10 is_healthy

# A demo has neither a rate-limit store nor a spool, no client breaks off in the middle of a head, and nothing is lost.
unseen=("Client connections that broke" "Rate-limit store" "Waiting for the store" "Dropped" "Spool" "Restarts")
has_answers() {
  "$PYTHON" "$PARTS/dashboard_check.py" "$config/grafana/vital-sidecar.json" \
    "http://127.0.0.1:$prometheus_port" >"$RUN/dashboard" || { cat "$RUN/dashboard"; return 1; }
  grep '^empty: ' "$RUN/dashboard" | sort >"$RUN/empty"
  # Which of the others are empty; grep is content where there is one.
  ! comm -23 "$RUN/empty" <(printf 'empty: %s\n' "${unseen[@]}" | sort) | grep .
}
verify "the dashboard's panels have data" eventually 20 has_answers

quiet() {
  curl -sf "http://127.0.0.1:$prometheus_port/api/v1/alerts" |
    jq -r '.data.alerts[] | select(.state == "firing").labels.alertname' | sort -u >"$RUN/firing" || return 1
  grep -q '^high_error_rate$' "$RUN/firing" && ! grep -E '^(sidecar_down|telemetry_lost|exporter_failing|audit_.*|config_reload_failed|panicked|metrics_overflow)$' \
    "$RUN/firing"
}
verify "no alert on the sidecar itself fires" quiet

stop "$demo"
# Its errors are those of the last minute until the minute is over.
verify "once it has ended, high_error_rate is resolved" eventually 75 has_arrived high_error_rate resolved
finish
