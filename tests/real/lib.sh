# Shared by the scenarios; each sources it first. Start, watch and end processes by their own id.
#
# A scenario prints one line per promise, `PASS name: …` or `FAIL name: …`, and goes on after a
# failure where it can. Everything it started ends with it; its files live under target/real/run.

set -uo pipefail
REAL=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$REAL/../.." && pwd)
PARTS=$REAL/parts
VENV=$ROOT/target/real/venv
PYTHON=$VENV/bin/python
ROTEL=$(echo "$VENV"/lib/python3*/site-packages/rotel/rotel-agent)
SIDECAR=${SIDECAR:-${CARGO_TARGET_DIR:-$ROOT/target}/debug/vital-sidecar}
PATH=$PATH:/usr/sbin:/sbin
# What the caller has set up for itself must not configure the sidecar under test.
unset "${!OTEL_@}" "${!VITAL_SIDECAR_@}" NODE_ENV APP_VERSION LOG_LEVEL SENTRY_DSN DATADOG_API_KEY
# Nothing here leaves the loopback, so no client may ask a proxy of the caller's.
export no_proxy='*' NO_PROXY='*'
SCENARIO=$(basename "$0" .sh)
RUN=$ROOT/target/real/run/$SCENARIO
FAILED=0
STARTED=()

rm -rf "$RUN" && mkdir -p "$RUN"
trap 'end_all' EXIT
trap 'exit 143' TERM INT

pass() { echo "PASS $SCENARIO: $*"; }

fail() {
  echo "FAIL $SCENARIO: $*"
  FAILED=1
}

# verify PROMISE COMMAND…: the promise holds when the command succeeds.
verify() {
  local promise=$1
  shift
  if "$@" >"$RUN/verify.out" 2>&1; then
    pass "$promise"
  else
    fail "$promise"
    sed 's/^/     | /' "$RUN/verify.out" | tail -n 15
  fi
}

# abandon REASON: the scenario cannot go on.
abandon() {
  fail "$*"
  exit 1
}

# free_ports N: prints N ports of the loopback that nobody listens on. They lie below those that the kernel
# hands out by itself, so that no socket of anybody else's gets one before ours does.
free_ports() {
  "$PYTHON" -c '
import random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    try:
        held.append(socket.create_server(("127.0.0.1", random.randrange(20_000, 32_000))))
    except OSError:
        pass
ports = [s.getsockname()[1] for s in held]
for s in held:  # Before whoever reads the ports takes these listeners for its own server.
    s.close()
print(*ports)' "$1"
}

# launch NAME COMMAND…: runs it in the background, output to NAME.log; its id is in $PID.
launch() {
  local name=$1
  shift
  "$@" >"$RUN/$name.log" 2>"$RUN/$name.err" </dev/null &
  PID=$!
  STARTED+=("$PID")
}

# eventually SECONDS COMMAND…: repeats it until it succeeds.
eventually() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.05
  done
}

is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
is_running() { kill -0 "$1" 2>/dev/null; }

# launch_server NAME PORT COMMAND…: as launch, and waits until the port answers.
launch_server() {
  local name=$1 port=$2
  shift 2
  launch "$name" "$@"
  eventually 20 is_open "$port" && return
  tail -n 20 "$RUN/$name.err" "$RUN/$name.log" | sed 's/^/     | /'
  abandon "$name did not start on port $port"
}

# make_authority: a certificate authority of this run's own, $RUN/ca.crt.
make_authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj '/CN=real tier' \
    -keyout "$RUN/ca.key" -out "$RUN/ca.crt" 2>"$RUN/openssl.err" || abandon "openssl made no authority"
}

# make_certificate NAME: $RUN/NAME.crt and $RUN/NAME.key for localhost, signed by that authority.
make_certificate() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" \
    -keyout "$RUN/$1.key" -out "$RUN/$1.csr" 2>"$RUN/openssl.err" &&
    openssl x509 -req -days 80 -in "$RUN/$1.csr" -CA "$RUN/ca.crt" -CAkey "$RUN/ca.key" -out "$RUN/$1.crt" \
      -extfile <(printf '%s\n' 'subjectAltName = DNS:localhost, IP:127.0.0.1' \
        'basicConstraints = critical, CA:false' 'keyUsage = critical, digitalSignature' \
        'extendedKeyUsage = serverAuth' 'crlDistributionPoints = URI:http://localhost/ca.crl') 2>"$RUN/openssl.err" ||
    abandon "openssl made no certificate"
}

# count_records FILTER: how many access-log lines of the sidecar jq selects.
count_records() { grep '"message":"Request completed"' "$RUN/sidecar.log" | jq -c "select($1)" | wc -l; }

# has_records N FILTER: exactly that many, as soon as they are written; says how many there are.
has_records() {
  eventually 10 are_records "$1" "$2" && return
  echo "$(count_records "$2") records of $1"
  return 1
}

are_records() { [ "$(count_records "$2")" = "$1" ]; }

# metric ADMIN NAME: the sum of that metric over all its labels.
metric() {
  curl -sf "http://127.0.0.1:$1/metrics" |
    awk -v name="$2" 'index($0, name "{") == 1 || index($0, name " ") == 1 { sum += $NF } END { print sum + 0 }'
}

# write_config FILE LISTEN ADMIN UPSTREAM: the common part; a scenario appends its tables.
# UPSTREAM is a port of the loopback that speaks HTTP/1.1, or a whole URL.
write_config() {
  local upstream=$4
  [[ $upstream == *:* ]] || upstream=http://127.0.0.1:$upstream
  cat >"$1" <<TOML
[service]
name = "real-tier"
environment = "test"
[server]
listen = "127.0.0.1:$2"
[server.limits]
max_request_body = "2GiB"
[server.drain]
delay = "0s"
timeout = "10s"
[admin]
listen = "127.0.0.1:$3"
[upstream]
url = "$upstream"
[log]
console = "json"
TOML
}

# run_sidecar CONFIG ADMIN: starts it and waits until it calls itself alive; id in $SIDECAR_PID.
run_sidecar() {
  launch sidecar "$SIDECAR" run --config "$1"
  SIDECAR_PID=$PID
  eventually 20 curl -sf -o /dev/null "http://127.0.0.1:$2/livez" && return
  tail -n 20 "$RUN/sidecar.err" "$RUN/sidecar.log" | sed 's/^/     | /'
  abandon "the sidecar did not start"
}

# stop PID: asks it to end, and waits; kills it after 20 s. The status is the process's own.
stop() {
  kill -TERM "$1" 2>/dev/null
  eventually 20 is_gone "$1" || kill -KILL "$1" 2>/dev/null
  wait "$1" 2>/dev/null
}

# crash PID: kill -9, without the shell's obituary.
crash() { { kill -KILL "$1" && wait "$1"; } 2>/dev/null; }

# A child that ended but was not waited for is a zombie: gone as well.
is_gone() { ! is_running "$1" || grep -qs '^State:[[:space:]]*Z' "/proc/$1/status"; }

# Most recent first, so that clients end before servers.
end_all() {
  local index
  for ((index = ${#STARTED[@]} - 1; index >= 0; index--)); do
    is_gone "${STARTED[index]}" || stop "${STARTED[index]}"
  done
}

# rss PID, peak_rss PID: KiB.
rss() { awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"; }
peak_rss() { awk '/^VmHWM:/ { print $2 }' "/proc/$1/status"; }

# finish: the scenario's status, as its last line.
finish() { exit "$FAILED"; }
