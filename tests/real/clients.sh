#!/usr/bin/env bash
# Clients and servers that are older or more careful than most: HTTP/1.0 on either side, uploads
# that wait for `100 Continue`, and answers of an upstream that has nothing to say about its length.
. "$(dirname "$0")/lib.sh"

read -r node_port old_port < <(free_ports 2)
launch_server node "$node_port" node "$PARTS/server.js" "$node_port"
# Python's own file server speaks HTTP/1.0.
mkdir -p "$RUN/www"
head -c 3000000 /dev/urandom >"$RUN/www/file"
launch_server old "$old_port" "$PYTHON" -m http.server --bind 127.0.0.1 --directory "$RUN/www" "$old_port"

# in_front_of PORT: a fresh sidecar before that server; its port is in $listen.
in_front_of() {
  read -r listen admin < <(free_ports 2)
  write_config "$RUN/sidecar.toml" "$listen" "$admin" "$1"
  cat >>"$RUN/sidecar.toml" <<TOML
[otlp]
endpoint = ""
[[routes]]
name = "small"
match = "POST /small"
max_request_body = "1KiB"
TOML
  run_sidecar "$RUN/sidecar.toml" "$admin"
  base=http://127.0.0.1:$listen
}

# asked ARGUMENTS…: curl's conversation, both heads, goes to $RUN/talk.
asked() {
  curl -sv -o "$RUN/body" "$@" 2>"$RUN/talk"
  local status=$?
  grep -aE '^[<>*] ' "$RUN/talk"
  return "$status"
}
said() { grep -aqiE "^< $1" "$RUN/talk"; }
times_connected() { [ "$(grep -c '^\* Connected to' "$RUN/talk")" = "$1" ]; }

in_front_of "$node_port"
old_client() { asked -0 "$base/blob/17" && said 'HTTP/1.0 200' && [ "$(wc -c <"$RUN/body")" = 17 ]; }
verify "an HTTP/1.0 client gets an HTTP/1.0 answer" old_client
kept() {
  asked -0 -H 'connection: keep-alive' "$base/blob/17" -o "$RUN/second" "$base/blob/18" &&
    said 'connection: keep-alive' && times_connected 1
}
verify "it keeps its connection if it asks to" kept
until_close() {
  asked -0 -H 'connection: keep-alive' -d '{}' "$base/api" && said 'HTTP/1.0 201' &&
    ! said 'transfer-encoding' && ! said 'connection: keep-alive' &&
    [ "$(cat "$RUN/body")" = '{"done":true}' ]
}
verify "an answer of unknown length is not chunked for it, and ends with the connection" until_close

digest=$(sha256sum <"$RUN/www/file" | cut -d ' ' -f 1)
uploaded() { [ "$(cat "$RUN/body")" = "$digest" ]; }
waits() {
  asked -H 'expect: 100-continue' -T "$RUN/www/file" "$base/digest" &&
    said 'HTTP/1.1 100' && said 'HTTP/1.1 200' && uploaded
}
verify "an upload that waits for 100 Continue gets it, and arrives whole" waits
chunked() { asked -T - "$base/digest" <"$RUN/www/file" && uploaded; }
verify "an upload of unknown length arrives whole" chunked
refused() {
  asked -H 'expect: 100-continue' --data-binary "@$RUN/www/file" "$base/small"
  said 'HTTP/1.1 413' && said 'connection: close' && ! said 'HTTP/1.1 100'
}
verify "an upload that is too large is refused before it is sent" refused
sent_anyway() {
  asked -H 'expect:' -H 'transfer-encoding: chunked' --data-binary "@$RUN/www/file" "$base/small"
  said 'HTTP/1.1 413' && grep -q body_too_large "$RUN/body"
}
verify "one that is sent anyway still gets its answer, and not a reset" sent_anyway
stop "$SIDECAR_PID"

in_front_of "$old_port"
new_client() {
  asked "$base/file" -o "$RUN/second" "$base/file" && said 'HTTP/1.1 200' && times_connected 1 &&
    cmp "$RUN/body" "$RUN/www/file" && cmp "$RUN/second" "$RUN/www/file"
}
verify "behind an HTTP/1.0 server, clients keep HTTP/1.1 and their connection" new_client
length_of_head() { asked -I "$base/file" && said 'content-length: 3000000'; }
verify "HEAD tells the length" length_of_head
finish
