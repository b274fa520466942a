#!/usr/bin/env bash
# slowhttptest's attacks leave other clients served, and the attackers do not stay.
#
# Heads that never end, bodies that drip, and answers that nobody reads, from 100 connections each.
. "$(dirname "$0")/lib.sh"

attackers=100
patience=3   # seconds that the sidecar has for each of them
read -r node_port listen admin < <(free_ports 3)
launch_server node "$node_port" node "$PARTS/server.js" "$node_port"
write_config "$RUN/sidecar.toml" "$listen" "$admin" "$node_port"
printf '[otlp]\nendpoint = ""\n' >>"$RUN/sidecar.toml"
printf '[[routes]]\nmatch = "* %s"\n' /digest '/blob/{size}' >>"$RUN/sidecar.toml"
for limit in header_timeout body_idle_timeout write_timeout; do
  sed -i "s/^\[server.limits\]$/&\n$limit = \"${patience}s\"/" "$RUN/sidecar.toml"
done
run_sidecar "$RUN/sidecar.toml" "$admin"

# attacked NAME ARGUMENTS…: for 12 s at most; while it lasts, another client asks 500 times.
attacked() {
  local name=$1 attack
  shift
  (cd "$RUN" && exec slowhttptest -c "$attackers" -r "$attackers" -x 10 -p 2 -l 12 -g -o "$name" "$@") \
    >"$RUN/$name.txt" 2>&1 </dev/null &
  attack=$!
  STARTED+=("$attack")
  eventually 5 are_connected || { echo "the attack did not begin"; return 1; }
  served_meanwhile || return
  wait "$attack"
  sed 's/\x1b\[[0-9;]*[A-Za-z]//g' "$RUN/$name.txt" | tail -n 20
  # The attack's own probe asked every second of it; where attacker and attacked share two cores, one
  # answer may be late.
  awk -F , 'NR > 1 { asked += 1; missed += $5 == 0 } END { exit asked < 3 || missed > 1 }' "$RUN/$name.csv"
}
are_connected() { [ "$(metric "$admin" sidecar_connections)" -ge "$attackers" ]; }
served_meanwhile() {
  local began=$SECONDS answers
  answers=$("$PYTHON" "$PARTS/drive.py" gets "$listen" /blob/1024 500)
  echo "$answers in about $((SECONDS - began)) s"
  [ "$answers" = 200:500 ] && [ $((SECONDS - began)) -le 5 ]
}
are_gone() { [ "$(metric "$admin" sidecar_connections)" -le 1 ]; }

verify "$attackers heads that never end leave another client served" \
  attacked heads -H -i 2 -u "http://127.0.0.1:$listen/blob/17"
ended_early() { grep -q 'No open connections left' "$RUN/$1.txt"; }
verify "they are closed in time" ended_early heads

verify "$attackers bodies that stand still leave another client served" \
  attacked bodies -B -i 8 -s 8192 -t PUT -u "http://127.0.0.1:$listen/digest"
verify "they are closed in time" ended_early bodies
verify "and each has its record" has_records "$attackers" '.url == "/digest" and .errorType == "request_body_timeout"'

# Each asks for more than the kernel holds for it, and takes 16 bytes of it every other second.
verify "$attackers answers that nobody reads leave another client served" \
  attacked answers -X -i 2 -w 512 -y 1024 -n 2 -z 16 -k 3 -u "http://127.0.0.1:$listen/blob/8000000"
# The kernel may hold what was written to them for longer; the sidecar does not.
let_go() {
  has_records "$attackers" \
    '.url == "/blob/{size}" and .outcome == "gone" and .bytesOut > 17 and .duration > 2900 and .duration < 7000'
}
verify "each answer was given up in time" let_go
verify "no connection of theirs is left" eventually 5 are_gone
quiet() { [ "$(metric "$admin" http_server_active_requests)" = 0 ] && served_meanwhile; }
verify "afterwards it is as before" quiet
stop "$SIDECAR_PID"
finish
