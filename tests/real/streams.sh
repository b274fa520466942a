#!/usr/bin/env bash
# Each event of a stream reaches the client before the next one is sent.
#
# uvicorn's app sends an event only when it is told to, and it is told (past the sidecar) when the one
# before has arrived at `curl -N`. One event held back anywhere, and the stream stands still.
. "$(dirname "$0")/lib.sh"

events=20   # as the app has it
read -r app_port listen admin < <(free_ports 3)
launch_server app "$app_port" "$PYTHON" -m uvicorn --app-dir "$PARTS" --port "$app_port" \
  --log-level warning stream_app:app
write_config "$RUN/sidecar.toml" "$listen" "$admin" "$app_port"
printf '[otlp]\nendpoint = ""\n' >>"$RUN/sidecar.toml"
printf '[[routes]]\nmatch = "* %s"\n' /events/leaver '/events/{name}' >>"$RUN/sidecar.toml"
run_sidecar "$RUN/sidecar.toml" "$admin"

has_number() { grep -qF "\"number\": $1}" "$RUN/$2.log"; }

# one_by_one NAME PATH ARGUMENTS…: curl reads the stream to its end, never more than one event behind.
one_by_one() {
  local name=$1 path=$2 number curl
  shift 2
  launch "$name" curl -sfN --max-time 60 "$@" "http://127.0.0.1:$listen/$path/$name"
  curl=$PID
  for ((number = 0; number < events; number++)); do
    eventually 5 has_number "$number" "$name" || { echo "event $number did not arrive"; return 1; }
    # The app has not been told to send it.
    ! has_number "$((number + 1))" "$name" || { echo "event $((number + 1)) came too early"; return 1; }
    [ "$number" = $((events - 1)) ] || curl -sf -X POST "http://127.0.0.1:$app_port/next/$name"
  done
  wait "$curl" && [ "$(grep -c '"number"' "$RUN/$name.log")" = "$events" ]
}

verify "events over HTTP/1.1 arrive one by one" one_by_one first events --http1.1
verify "events over HTTP/2 arrive one by one" one_by_one second events --http2-prior-knowledge
verify "events to an HTTP/1.0 client arrive one by one" one_by_one third events --http1.0
verify "events arrive one by one at a client that takes compressed answers" \
  one_by_one fourth events --compressed
verify "lines of JSON arrive one by one" one_by_one fifth lines
whole() { diff "$RUN/first.log" "$RUN/second.log" && grep -qx 'id: 19' "$RUN/first.log"; }
verify "they are whole" whole
verify "each record counts its events" \
  has_records 4 ".stream and .events == $events and .outcome == \"served\" and (.url | startswith(\"/events/\"))"

launch reader curl -sfN "http://127.0.0.1:$listen/events/leaver"
reader=$PID
eventually 5 has_number 0 reader
stop "$reader"
knows_it_left() { curl -sf "http://127.0.0.1:$app_port/left/leaver"; }
verify "when the reader leaves, the app behind learns of it" eventually 5 knows_it_left
verify "and the record says so" has_records 1 '.url == "/events/leaver" and .outcome == "gone"'
finish
