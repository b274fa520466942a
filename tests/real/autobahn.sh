#!/usr/bin/env bash
# The Autobahn test suite finds a WebSocket server no worse through the sidecar than directly.
#
# 251 cases of frames, fragments, UTF-8, closes and compression, on Node's `ws`. Left out are the cases that
# measure time (6.4) and most of those that measure throughput (9, 12, 13). Python's `websockets` would not
# do here: it forgets an echo when a broken frame came with the same read, and how many bytes come with one
# read is any proxy's affair.
. "$(dirname "$0")/lib.sh"
export NODE_PATH=/usr/share/nodejs

autobahn=$ROOT/target/real/autobahn
read -r node_port listen admin < <(free_ports 3)
launch_server node "$node_port" node "$PARTS/ws_server.js" "$node_port"
write_config "$RUN/sidecar.toml" "$listen" "$admin" "$node_port"
printf '[otlp]\nendpoint = ""\n' >>"$RUN/sidecar.toml"
run_sidecar "$RUN/sidecar.toml" "$admin"

cat >"$RUN/cases.json" <<JSON
{
  "outdir": "$RUN/reports",
  "servers": [
    { "agent": "direct", "url": "ws://127.0.0.1:$node_port/" },
    { "agent": "through", "url": "ws://127.0.0.1:$listen/" }
  ],
  "cases": ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.1.1", "9.1.2", "9.2.1", "9.7.1", "10.*",
            "12.1.1", "12.1.2", "12.5.1", "13.1.1"],
  "exclude-cases": ["6.4.*"],
  "exclude-agent-cases": {}
}
JSON
wstest() {
  timeout 120 "$(cat "$autobahn/python")" -c \
    'import site, sys; site.addsitedir(sys.argv.pop(1)); from autobahntestsuite.wstest import run; run()' \
    "$autobahn/packages" "$@" </dev/null
}
suite_runs() { wstest -m fuzzingclient -s "$RUN/cases.json" && [ -s "$RUN/reports/index.json" ]; }
verify "the suite runs to its end" suite_runs
verify "no case is worse through the sidecar" \
  "$PYTHON" "$PARTS/autobahn_check.py" "$RUN/reports/index.json" direct through
cases=$(jq '.through | length' "$RUN/reports/index.json")
verify "each of its $cases connections has a record" has_records "$cases" '.status == 101'
nothing_open() { [ "$(metric "$admin" http_server_active_requests)" = 0 ]; }
verify "nothing is left open" eventually 5 nothing_open
stop "$SIDECAR_PID"
finish
