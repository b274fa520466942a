#!/usr/bin/env bash
# An upstream killed under load is reported to Sentry: at least once, and not once per request.
#
# Every event names its request and its trace, and Sentry's own Relay finds nothing wrong with it.
. "$(dirname "$0")/lib.sh"

# The reporter's bucket holds ten events of one kind (error type and route), and takes one more
# every six seconds; the load and its end are shorter than two of those.
bucketful=12

read -r inbox_port node_port listen admin < <(free_ports 4)
launch_server inbox "$inbox_port" "$PYTHON" "$PARTS/inbox.py" "$inbox_port" "$RUN/events"
launch_server node "$node_port" node "$PARTS/server.js" "$node_port"
node_pid=$PID
write_config "$RUN/sidecar.toml" "$listen" "$admin" "$node_port"
cat >>"$RUN/sidecar.toml" <<TOML
[otlp]
endpoint = ""
[sentry]
dsn = "http://0123456789abcdef0123456789abcdef@127.0.0.1:$inbox_port/1"
TOML
run_sidecar "$RUN/sidecar.toml" "$admin"

"$PYTHON" "$PARTS/drive.py" gets "$listen" /blob/17 500 >"$RUN/healthy"
verify "while the upstream lives, every answer is 200" grep -qx '200:500' "$RUN/healthy"
quiet() { [ ! -s "$RUN/events" ]; }
verify "while the upstream lives, there is no event" quiet

launch load "$PYTHON" "$PARTS/drive.py" gets "$listen" /blob/17 3000
load=$PID
sleep 0.3
crash "$node_pid"
wait "$load"
load_status=$?
answered() { cat "$RUN/load.log"; [ "$load_status" = 0 ] && grep -q '502:' "$RUN/load.log"; }
verify "once it is dead, every request still gets an answer, 502" answered

has_events() { [ -s "$RUN/events" ]; }
eventually 10 has_events
stop "$SIDECAR_PID"
touch "$RUN/events"
judged() { "$PYTHON" "$PARTS/event_check.py" "$bucketful" <"$RUN/events"; }
verify "at least one event, of no kind more than $bucketful, each sound and traceable" judged
finish
