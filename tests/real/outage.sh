#!/usr/bin/env bash
# A collector that goes away under load costs no span and no data point, with the spool on.
#
# The collector is rotel, asked by http/protobuf and by gRPC. It is ended while requests run, stays away while
# the sidecar is killed with -9 in the middle of more of them, and comes back to the sidecar's next run. Then
# it must have every span that either run accepted, each counted once, but for what the crash had not yet
# brought to disk: that is not in the second ledger, so nobody is told that it would come.
. "$(dirname "$0")/lib.sh"

read -r node_port grpc_port otlp_port < <(free_ports 3)
launch_server node "$node_port" node "$PARTS/server.js" "$node_port"

# collect NAME: a collector, what it takes in NAME.log.
collect() {
  launch_server "$1" "$otlp_port" "$ROTEL" start --pid-file "$RUN/rotel.pid" \
    --otlp-grpc-endpoint "127.0.0.1:$grpc_port" --otlp-http-endpoint "127.0.0.1:$otlp_port" \
    --exporter blackhole --debug-log traces --debug-log metrics --debug-log-verbosity detailed
  COLLECTOR_PID=$PID
}

# spooled_config PROTOCOL PORT: both signals go to that port, and wait in a spool of their own.
spooled_config() {
  write_config "$RUN/$name.toml" "$listen" "$admin" "$node_port"
  cat >>"$RUN/$name.toml" <<TOML
[otlp]
endpoint = "http://127.0.0.1:$2"
protocol = "$1"
[tracing.sampling]
ratio = 1.0
[metrics]
push = true
interval = "1s"
[spool]
directory = "$RUN/$name-spool"
TOML
}

ask() { [ "$("$PYTHON" "$PARTS/drive.py" gets "$listen" /blob/17 "$1")" = "200:$1" ]; }

# account SIGNAL KEY: a number of that signal's account, from the running sidecar.
account() {
  curl -sf "http://127.0.0.1:$admin/status" |
    jq -e --arg signal "$1" ".ledger[] | select(.signal == \$signal and .sink == \"otlp\") | $2"
}
is() { [ "$(account "$1" "$2")" = true ]; }
arrived() { "$PYTHON" "$PARTS/arrived.py" "$RUN/$name"-*.log; }
# The ledger in the last words of the last run: SIGNAL, of which nothing may be missing.
ended() { jq -eRr 'fromjson? | .ledger // empty | split("; ")[]' "$RUN/sidecar.err" | grep -E "^$1 to otlp: .* \+ 0 dropped \+ 0 in flight\$"; }

# outage PROTOCOL PORT
outage() {
  local protocol=$1 port=$2 load exported before spooled
  name=${protocol%%/*}
  read -r listen admin < <(free_ports 2)
  spooled_config "$protocol" "$port"
  collect "$name-before"
  run_sidecar "$RUN/$name.toml" "$admin"
  ask 300 || abandon "$name: 300 requests were not answered"

  launch load "$PYTHON" "$PARTS/drive.py" gets "$listen" /blob/17 2000
  load=$PID
  sleep 0.3
  stop "$COLLECTOR_PID"
  served() { wait "$load"; [ "$(cat "$RUN/load.log")" = 200:2000 ]; }
  verify "$name: every request is answered while the collector goes away" served
  waits_on_disk() { is traces '.dropped == {} and .spooled > 0 and .accepted == .exported + .in_flight'; }
  verify "$name: nothing is dropped; what waits goes to disk" eventually 10 waits_on_disk
  all_on_disk() { is traces '.spooled == .in_flight and .accepted == 4600'; }
  verify "$name: 4,600 spans are accepted, and all that have not arrived are on disk" eventually 10 all_on_disk
  verify "$name: data points wait there, too" eventually 10 is metrics '.dropped == {} and .spooled > 0'

  exported=$(account traces .exported)
  before=$(account traces .spooled)
  launch load "$PYTHON" "$PARTS/drive.py" gets "$listen" /blob/17 20000
  load=$PID
  grows() { spooled=$(account traces .spooled) && [ "$spooled" -gt $((before + 200)) ]; }
  eventually 10 grows
  verify "$name: more goes to disk while more requests run" [ "$spooled" -gt $((before + 200)) ]
  crash "$SIDECAR_PID"
  wait "$load"   # It ends with its connections.
  run_sidecar "$RUN/$name.toml" "$admin"
  grep -q 'Recovered from the spool of an earlier run' "$RUN/sidecar.err"
  verify "$name: after a kill -9 in the middle, the next run says that it recovered something" [ $? = 0 ]
  recovers() {
    local recovered
    recovered=$(account traces .recovered)
    echo "$recovered of at least $spooled"
    [ "$recovered" -ge "$spooled" ] && is metrics '.recovered > 0'
  }
  verify "$name: its ledger has all that was on disk a moment before" recovers
  ask 300
  collect "$name-after"
  delivers() { is traces '.in_flight == 0 and .dropped == {} and .accepted == .exported'; }
  verify "$name: once the collector is back, it gets everything" eventually 60 delivers
  all_arrived() {
    local accepted
    accepted=$(account traces .accepted)
    arrived
    echo "$exported by the first run and $accepted by the second"
    [[ "$(arrived)" = "$((exported + accepted)) spans, "* ]]
  }
  verify "$name: the spans that arrived are those of both ledgers" eventually 10 all_arrived
  points_after() { grep -q 'http.server.request.duration' "$RUN/$name-after.log"; }
  verify "$name: data points arrive, too" eventually 10 points_after
  stop "$SIDECAR_PID"
  both_ended() { ended traces && ended metrics; }
  verify "$name: the last ledger balances for both signals, with nothing dropped" both_ended
  stop "$COLLECTOR_PID"
}

outage http/protobuf "$otlp_port"
outage grpc "$grpc_port"
finish
