#!/usr/bin/env bash
# Every line of every log file is whole, and written + dropped = accepted.
#
# On a tmpfs that fills up, under load: files rotate every few dozen lines, are moved and reopened by SIGHUP, and
# the reader of standard output is stopped. Then crashes under load. Needs root for the tmpfs.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || abandon "root is needed to mount a tmpfs"
read -r node_port listen admin < <(free_ports 3)
disk=$RUN/disk
logs=$disk/logs
mkdir -p "$disk"
mount -t tmpfs -o size=16m tmpfs "$disk" || abandon "no tmpfs can be mounted"
trap 'end_all; umount "$disk"' EXIT
launch_server node "$node_port" node "$PARTS/server.js" "$node_port"

write_config "$RUN/sidecar.toml" "$listen" "$admin" "$node_port"
cat >>"$RUN/sidecar.toml" <<TOML
directory = "$logs"
max_size = "32KiB"
max_files = 1000
[otlp]
endpoint = ""
[[routes]]
match = "POST /api/orchestrate"
action = "deny"
TOML

refused() { "$PYTHON" "$PARTS/drive.py" refused "$listen" "$1"; }
# io_drops: lines that the files did not take.
io_drops() {
  curl -sf "http://127.0.0.1:$admin/metrics" |
    awk '/^sidecar_telemetry_dropped_total.*sink="file"/ && /reason="io"/ { sum += $NF } END { print sum + 0 }'
}
has_io_drops() { [ "$(io_drops)" -gt "$1" ]; }
# plain_files: rotated files that wait for their compression.
has_no_plain() { ! compgen -G "$logs/combined.log.*[0-9]"; }

mkfifo "$RUN/pipe"
launch reader cat "$RUN/pipe"
reader=$PID
launch sidecar bash -c 'exec "$0" run --config "$1" >"$2"' "$SIDECAR" "$RUN/sidecar.toml" "$RUN/pipe"
SIDECAR_PID=$PID
eventually 20 curl -sf -o /dev/null "http://127.0.0.1:$admin/livez" || abandon "the sidecar did not start"

# Moves under load.
launch load refused 4000
load=$PID
moved=0
while is_running "$load" && [ "$moved" -lt 20 ]; do
  mv "$logs/combined.log" "$disk/moved.$moved" && kill -HUP "$SIDECAR_PID" && moved=$((moved + 1))
  eventually 5 test -e "$logs/combined.log" || break
done
wait "$load"
verify "SIGHUP opens moved files again under load ($moved times)" [ "$moved" -ge 5 ]

# A disk that is full.
verify "old files are compressed" eventually 20 has_no_plain
head -c 15m /dev/zero >"$disk/ballast" 2>/dev/null
head -c 16m /dev/zero >>"$disk/ballast" 2>/dev/null
verify "a full disk stops no request" refused 2000
verify "lines that find no room are counted" eventually 10 has_io_drops 100
rm "$disk/ballast"
verify "requests go on" refused 500

# A reader that is stopped.
kill -STOP "$reader"
verify "a stopped reader of standard output stops no request" refused 20000
verify "what it misses is counted" \
  [ "$(curl -sf "http://127.0.0.1:$admin/metrics" |
    awk '/^sidecar_telemetry_dropped_total.*sink="console"/ { sum += $NF } END { print sum > 1000 }')" = 1 ]
kill -CONT "$reader"
drained() {
  [ "$(curl -sf "http://127.0.0.1:$admin/metrics" |
    awk '/^sidecar_telemetry_in_flight.*sink="console"/ { print $NF }')" = 0 ]
}
eventually 20 drained
verify "it is told what it missed" refused 100
eventually 20 has_no_plain
stop "$SIDECAR_PID"
eventually 10 is_gone "$reader"

shopt -s nullglob
verify "the files: every line is whole, written + dropped = accepted" \
  "$PYTHON" "$PARTS/log_check.py" --ledger "$RUN/sidecar.err" file "$logs"/combined.log* "$disk"/moved.*
verify "standard output: every line is whole, written + dropped = accepted" \
  "$PYTHON" "$PARTS/log_check.py" --ledger "$RUN/sidecar.err" console "$RUN/reader.log"

# Crashes under load, on a disk that is full now and then.
rm -rf "$logs" "$disk"/moved.*
rounds=0
for round in $(seq 10); do
  run_sidecar "$RUN/sidecar.toml" "$admin"
  [ $((round % 3)) != 0 ] || head -c 16m /dev/zero >"$disk/ballast" 2>/dev/null
  launch "load-$round" "$PYTHON" "$PARTS/drive.py" posts "$listen" 10 "$RUN/answers"
  load=$PID
  eventually 10 grep -qx 'the first answer' "$RUN/load-$round.log"
  sleep "0.$((11 + round * 7))"
  crash "$SIDECAR_PID"
  wait "$load" && rounds=$((rounds + 1))
  rm -f "$disk/ballast"
done
run_sidecar "$RUN/sidecar.toml" "$admin"
eventually 20 has_no_plain
stop "$SIDECAR_PID"
verify "it was killed under load in 10 of 10 rounds" [ "$rounds" = 10 ]
verify "after ten kill -9 every line of every file is whole and there once" \
  "$PYTHON" "$PARTS/log_check.py" "$logs"/combined.log*
finish
