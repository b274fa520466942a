#!/usr/bin/env bash
# What goes wrong is said clearly, with the right exit code; missing telemetry refuses nobody.
#
# Exit codes: 0 fine, 1 failed while running, 2 usage, 78 invalid configuration.
. "$(dirname "$0")/lib.sh"

read -r node_port listen admin nobody < <(free_ports 4)
launch_server node "$node_port" node "$PARTS/server.js" "$node_port"
config=$RUN/sidecar.toml

# refuses CODE PATTERN ARGUMENTS…: the command ends with that code within 10 s and says why.
refuses() {
  local code=$1 pattern=$2 status
  shift 2
  timeout 10 "$SIDECAR" "$@" >"$RUN/said" 2>&1 </dev/null
  status=$?
  cat "$RUN/said"
  echo "exit code $status, expected $code"
  [[ $status =~ ^$code$ ]] && grep -qiE "$pattern" "$RUN/said"
}

printf '[upstream]\nurl = "http://127.0.0.1:1"\n[serverr]\nlisten = "127.0.0.1:0"\n' >"$RUN/key.toml"
verify "an unknown key is named, with its line and a hint (check)" \
  refuses 78 'serverr' check --config "$RUN/key.toml"
verify "the hint names the key that was meant" \
  refuses 78 'did you mean.*server|`server`' check --config "$RUN/key.toml"
verify "run refuses the same file with the same code" \
  refuses 78 'serverr' run --config "$RUN/key.toml"

printf '[upstream]\nurl = "http://127.0.0.1:1"\n[server]\nmax_connections = "many"\n[admin]\nlisten = 7\n' \
  >"$RUN/type.toml"
verify "a wrong type is named with file and line" \
  refuses 78 'type\.toml:[46]' check --config "$RUN/type.toml"
both_errors() { refuses 78 max_connections check --config "$RUN/type.toml" && grep -q listen "$RUN/said"; }
verify "both errors of one file are told at once" both_errors
verify "a missing file is named" refuses 78 'nowhere\.toml' run --config "$RUN/nowhere.toml"
mkdir -p "$RUN/directory.toml"
verify "an unreadable file is named" refuses 78 'directory\.toml' run --config "$RUN/directory.toml"
verify "an unknown command is a usage error" refuses 2 'usage' nonsense

write_config "$config" "$node_port" "$admin" "$nobody"
verify "a port in use is named" \
  refuses 1 "127\.0\.0\.1:$node_port.*server\.listen.*in use" run --config "$config"
write_config "$config" "$listen" "$node_port" "$nobody"
verify "an admin port in use is named" \
  refuses 1 "127\.0\.0\.1:$node_port.*admin\.listen.*in use" run --config "$config"
write_config "$config" "$listen" "$admin" "$listen"
verify "an upstream that is the sidecar itself is refused" \
  refuses 78 'upstream\.url.*sidecar itself' run --config "$config"

# A configured place that cannot be written refuses the start, and says which.
touch "$RUN/file"
write_config "$config" "$listen" "$admin" "$nobody"
cat >>"$config" <<TOML
[audit]
directory = "$RUN/file/audit"
[[routes]]
name = "all"
match = "* /{*rest}"
audit = "DATA_ACCESS"
TOML
verify "an audit directory that cannot be is named" \
  refuses '(1|78)' "$RUN/file/audit" run --config "$config"
write_config "$config" "$listen" "$admin" "$nobody"
sed -i "s|^console = .*|&\ndirectory = \"$RUN/file/logs\"|" "$config"
verify "a log directory that cannot be is named" \
  refuses '(1|78)' "$RUN/file/logs" run --config "$config"

# An upstream that is not there.
write_config "$config" "$listen" "$admin" "$nobody"
printf '[otlp]\nendpoint = ""\n' >>"$config"
run_sidecar "$config" "$admin"
problem_502() {
  curl -s -D "$RUN/head" -o "$RUN/problem" "http://127.0.0.1:$listen/blob/1"
  cat "$RUN/head" "$RUN/problem"
  grep -q '^HTTP/1.1 502' "$RUN/head" && grep -qi '^x-request-id: ' "$RUN/head" &&
    grep -qi '^content-type: application/problem+json' "$RUN/head" &&
    jq -e '.status == 502 and .error_type == "upstream_connect" and (.request_id | length == 36)' \
      "$RUN/problem"
}
verify "an unreachable upstream is a 502 problem document with a request id" problem_502
not_ready() {
  curl -s -w '%{http_code}\n' "http://127.0.0.1:$admin/readyz" >"$RUN/readyz"
  cat "$RUN/readyz"
  grep -q upstream "$RUN/readyz" && tail -n 1 "$RUN/readyz" | grep -qx 503
}
verify "readyz then says 503 and names the upstream" eventually 10 not_ready
verify "livez stays 200" curl -sf "http://127.0.0.1:$admin/livez"
stop "$SIDECAR_PID"

# A collector that is not there, and a configured one at that.
write_config "$config" "$listen" "$admin" "$node_port"
printf '[otlp]\nendpoint = "http://127.0.0.1:%s"\ntimeout = "1s"\n' "$nobody" >>"$config"
run_sidecar "$config" "$admin"
traffic_flows() { [ "$("$PYTHON" "$PARTS/drive.py" gets "$listen" /blob/17 300)" = 200:300 ]; }
verify "without its collector, every request is served" traffic_flows
ready_again() { curl -sf "http://127.0.0.1:$admin/readyz"; }
verify "without its collector, it is ready" eventually 5 ready_again
of_spans() { sed -n "s/^sidecar_telemetry_$1{signal=\"traces\",sink=\"otlp\"${2-}} //p" "$RUN/metrics"; }
counts_waiting() {
  curl -sf "http://127.0.0.1:$admin/metrics" >"$RUN/metrics"
  [ "$(of_spans accepted_total)" -ge 1 ] && [ "$(of_spans in_flight)" = "$(of_spans accepted_total)" ] &&
    [ "$(of_spans export_attempts_total ',result="failure"')" -ge 1 ]
}
verify "the spans wait for it, and are counted" eventually 15 counts_waiting
stop "$SIDECAR_PID"

# The two-line config: the default collector is not there either, and nobody notices.
cat >"$config" <<TOML
upstream.url = "http://127.0.0.1:$node_port"
server.listen = "127.0.0.1:$listen"
admin.listen = "127.0.0.1:$admin"
TOML
run_sidecar "$config" "$admin"
verify "the shortest config serves as well" traffic_flows
stop "$SIDECAR_PID"

# SIGTERM: first not ready but accepting, then the running request is finished, then the ledger.
write_config "$config" "$listen" "$admin" "$node_port"
sed -i 's/^delay = .*/delay = "2s"/' "$config"
printf '[otlp]\nendpoint = ""\n' >>"$config"
run_sidecar "$config" "$admin"
launch slow curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$listen/slow/3000"
slow=$PID
is_asked() { curl -sf "http://127.0.0.1:$admin/metrics" | grep -q '^http_server_active_requests{.*} 1'; }
eventually 5 is_asked
kill -TERM "$SIDECAR_PID"
draining() { curl -s "http://127.0.0.1:$admin/readyz" | grep -q drain; }
verify "after SIGTERM readyz names the drain" eventually 2 draining
verify "during the delay new requests are served" \
  curl -sf -o /dev/null "http://127.0.0.1:$listen/blob/17"
wait "$slow"
finished_slowly() { cat "$RUN/slow.log"; [ "$(cat "$RUN/slow.log")" = 200 ]; }
verify "the running request is finished" finished_slowly
eventually 10 is_gone "$SIDECAR_PID"
wait "$SIDECAR_PID"
term_status=$?
ended_well() { echo "exit code $term_status"; [ "$term_status" = 0 ]; }
verify "it ends with 0" ended_well
printed_ledger() { cat "$RUN/sidecar.log" "$RUN/sidecar.err" | grep 'Tracing terminated'; }
verify "it prints its ledger" printed_ledger
verify "its ledger balances, with nothing left in flight" \
  "$PYTHON" "$PARTS/ledger_check.py" "$RUN/sidecar.log" "$RUN/sidecar.err"

# SIGINT: the same, without the delay.
sed -i 's/^delay = .*/delay = "9s"/' "$config"
run_sidecar "$config" "$admin"
kill -INT "$SIDECAR_PID"
verify "SIGINT does not wait for the delay" eventually 5 is_gone "$SIDECAR_PID"

# A second signal does not wait for the running request either, and says so by its exit code.
run_sidecar "$config" "$admin"
launch cut curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$listen/slow/15000"
eventually 5 is_asked
kill -TERM "$SIDECAR_PID"
eventually 5 draining
kill -TERM "$SIDECAR_PID"
verify "a second signal ends it at once" eventually 4 is_gone "$SIDECAR_PID"
wait "$SIDECAR_PID"
cut_status=$?
cut_short() { echo "exit code $cut_status"; [ "$cut_status" = 1 ]; }
verify "having cut a request, it ends with 1" cut_short
verify "its ledger balances all the same" \
  "$PYTHON" "$PARTS/ledger_check.py" "$RUN/sidecar.log" "$RUN/sidecar.err"
finish
