#!/usr/bin/env bash
# WebSockets through the sidecar: Node's `ws` and Python's `websockets`, each as client and as server.
#
# What a client is told, messages, extension, subprotocol, close codes, is what it is told directly.
. "$(dirname "$0")/lib.sh"
export NODE_PATH=/usr/share/nodejs

read -r node_port python_port < <(free_ports 2)
launch_server node "$node_port" node "$PARTS/ws_server.js" "$node_port"
launch_server python "$python_port" "$PYTHON" "$PARTS/ws_server.py" "$python_port"
make_authority
make_certificate door

# in_front_of PORT [TLS]: a fresh sidecar before that server; $address is where it listens.
in_front_of() {
  read -r listen admin < <(free_ports 2)
  write_config "$RUN/sidecar.toml" "$listen" "$admin" "$1"
  printf '[otlp]\nendpoint = ""\n[[routes]]\nmatch = "* /denied"\n' >>"$RUN/sidecar.toml"
  if [ "${2:-}" = tls ]; then
    printf '[server.tls]\ncertificate_file = "%s"\nkey_file = "%s"\n' "$RUN/door.crt" "$RUN/door.key" \
      >>"$RUN/sidecar.toml"
  fi
  run_sidecar "$RUN/sidecar.toml" "$admin"
  address=localhost:$listen
}

talks() { "$PYTHON" "$PARTS/ws_client.py" talk "$2" "${@:3}" >"$RUN/$1.talk"; }
like_direct() { talks "$2" "${@:3}" && cat "$RUN/$2.talk" && diff "$RUN/$1.talk" "$RUN/$2.talk"; }
node_client() { [ "$(node "$PARTS/ws_client.js" "ws://$address/")" = '100 true 4001 asked' ]; }
crowd() { "$PYTHON" "$PARTS/ws_client.py" crowd "ws://$address/" 200; }

for server in node python; do
  port=${server}_port
  verify "$server: a client can talk to it without the sidecar" talks "$server" "ws://localhost:${!port}/"
  says_enough() { grep -qx "close 4001 asked -> (4001, 'asked')" "$RUN/$server.talk"; }
  verify "$server: close codes are told" says_enough
  in_front_of "${!port}"
  verify "$server: Python's client is told the same through the sidecar" \
    like_direct "$server" "$server-through" "ws://$address/"
  verify "$server: Node's client gets its messages, its pong and its close code" node_client
  verify "$server: 200 connections at once keep apart" crowd
  # Seven of the talk, one of Node's client, and the crowd.
  verify "$server: each connection has its record" \
    has_records 208 '.status == 101 and .stream and .bytesIn > 0'
  verify "$server: the one that sent 6 MB uncompressed, and got them back, tells so" \
    has_records 1 '.status == 101 and all(.bytesIn, .bytesOut; . > 6200000 and . < 6300000)'
  verify "$server: the handshake that was denied has one, too" has_records 1 '.url == "/denied" and .status == 403'
  nothing_open() {
    [ "$(metric "$admin" http_server_active_requests)" = 0 ] && [ "$(metric "$admin" sidecar_connections)" -le 1 ]
  }
  verify "$server: nothing is left open" eventually 5 nothing_open
  stop "$SIDECAR_PID"
done

in_front_of "$node_port" tls
verify "over TLS, a client is told the same" like_direct node node-tls "wss://$address/" "$RUN/ca.crt"
stop "$SIDECAR_PID"
finish
