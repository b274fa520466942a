#!/usr/bin/env bash
# An audited request is on the disk before the upstream sees it, and a crash loses no answer's record.
#
# First the order of system calls, seen from outside by strace; then twenty crashes under load.
. "$(dirname "$0")/lib.sh"

read -r node_port listen admin < <(free_ports 3)
audit=$RUN/audit
launch_server node "$node_port" node "$PARTS/server.js" "$node_port"

# audited_config DIRECTORY: the route of the load is audited there.
audited_config() {
  write_config "$RUN/sidecar.toml" "$listen" "$admin" "$node_port"
  cat >>"$RUN/sidecar.toml" <<TOML
[otlp]
endpoint = ""
[audit]
directory = "$1"
deadline = "5s"
[[routes]]
name = "orchestrate"
match = "POST /api/orchestrate"
audit = "ORCHESTRATION_REQUEST"
TOML
}

audited_config "$RUN/traced-audit"
launch strace strace -f -y -s 8192 -o "$RUN/trace" \
  -e trace=fdatasync,fsync,write,pwrite64,writev,sendto,sendmsg \
  "$SIDECAR" run --config "$RUN/sidecar.toml"
strace_pid=$PID
eventually 30 curl -sf -o /dev/null "http://127.0.0.1:$admin/livez" ||
  abandon "the sidecar did not start under strace"
curl -sf -o /dev/null -X POST -d '{"mode":"rag_query"}' "http://127.0.0.1:$listen/api/orchestrate"
# The sidecar is strace's only child; strace ends with it.
kill -TERM "$(cat "/proc/$strace_pid/task/$strace_pid/children")"
eventually 20 is_gone "$strace_pid"
verify "the audit record's fdatasync precedes the upstream write" \
  "$PYTHON" "$PARTS/trace_order.py" "$RUN/trace" "$RUN/traced-audit"

audited_config "$audit"
restarted=0
for round in $(seq 20); do
  run_sidecar "$RUN/sidecar.toml" "$admin"
  launch "load-$round" "$PYTHON" "$PARTS/drive.py" posts "$listen" 10 "$RUN/answers"
  load=$PID
  # Later and later within the load, so that crashes meet every state; a busy machine begins it late.
  eventually 10 grep -qx 'the first answer' "$RUN/load-$round.log"
  sleep "0.$((25 + round * 3))"
  crash "$SIDECAR_PID"
  # A load that got no answer at all has tested nothing.
  wait "$load" && ! grep -qx '0 answers' "$RUN/load-$round.log" && restarted=$((restarted + 1))
done
run_sidecar "$RUN/sidecar.toml" "$admin"   # repairs the last torn line, closes open records
stop "$SIDECAR_PID"

came_back() { echo "$restarted of 20 rounds"; [ "$restarted" = 20 ]; }
verify "it starts again after each of 20 kill -9" came_back
verify "every 2xx that a client got has its record" \
  "$PYTHON" "$PARTS/audit_has.py" "$audit" "$RUN/answers"
verify "the chain verifies" "$SIDECAR" audit verify "$audit"

# The judge itself is judged: one flipped byte must not pass.
cp -r "$audit" "$RUN/forged" && "$PYTHON" - "$RUN/forged" <<'PY'
import pathlib, sys
file = max(pathlib.Path(sys.argv[1]).glob("audit-*.jsonl"), key=lambda f: f.stat().st_size)
data = bytearray(file.read_bytes())
spot = data.index(b"ORCHESTRATION_REQUEST", len(data) // 2)
data[spot] ^= 1
file.write_bytes(data)
PY
refuses_forgery() {
  [ -d "$RUN/forged" ] || return 1
  "$SIDECAR" audit verify "$RUN/forged"
  [ $? = 1 ]
}
verify "a forged record does not verify" refuses_forgery
finish
