#!/usr/bin/env bash
# gRPC through the sidecar is gRPC: messages, metadata, trailers and statuses are those of a direct call.
#
# Client and server are grpcio, gRPC's own C core. The failures that are the server's own show in the
# sidecar's record; those that are the caller's do not.
. "$(dirname "$0")/lib.sh"

read -r grpc_port listen admin tls_listen tls_admin < <(free_ports 5)
launch_server grpc "$grpc_port" "$PYTHON" "$PARTS/grpc_server.py" "$grpc_port"
write_config "$RUN/sidecar.toml" "$listen" "$admin" "h2c://127.0.0.1:$grpc_port"
cat >>"$RUN/sidecar.toml" <<TOML
[security]
headers = "off" # what comes back is compared with a direct call
[otlp]
endpoint = ""
[[routes]]
name = "upload"
match = "POST /real.Echo/Unary"
max_request_body = "4MiB"
TOML
# What a record shows of a path, a route has to name.
printf '[[routes]]\nmatch = "POST /real.Echo/%s"\n' Crash Missing Deny Hold >>"$RUN/sidecar.toml"
run_sidecar "$RUN/sidecar.toml" "$admin"
cp "$RUN/sidecar.toml" "$RUN/tls.toml"

client() { "$PYTHON" "$PARTS/grpc_client.py" "$@"; }
asks() { client calls "$1" "${@:3}" >"$RUN/$2"; }
verify "the calls work without the sidecar" asks "127.0.0.1:$grpc_port" direct
through() { asks "127.0.0.1:$listen" through && diff "$RUN/direct" "$RUN/through"; }
verify "messages, metadata, trailers and statuses are those of a direct call" through
verify "a conversation flows both ways at once" client chat "127.0.0.1:$listen"
verify "1,000 calls, 32 at once, are all answered" client load "127.0.0.1:$listen" 1000

# has_failed METHOD STATUS: one record, which has the status of HTTP and tells that of gRPC.
has_failed() {
  has_records 1 ".url == \"/real.Echo/$1\" and .status == 200 and .outcome == \"failed\" and
    .errorType == \"_OTHER\" and .\"error.message\" == \"The upstream ended with gRPC status $2.\""
}
verify "a call that fails within the server has a failed record, with its status" has_failed Crash 13
verify "so has one of a method that the server does not know" has_failed Missing 12
verify "a call that was refused for its caller's sake was served" \
  has_records 1 '.url == "/real.Echo/Deny" and .status == 200 and .outcome == "served" and (has("errorType") | not)'
verify "each of the 1,003 unary calls has one record" has_records 1003 '.url == "/real.Echo/Unary"'

leaves() { client leave "127.0.0.1:$listen" && eventually 10 grep -qx left "$RUN/grpc.log"; }
verify "a caller that leaves is gone for the server, too" leaves
verify "and is so told" has_records 1 '.url == "/real.Echo/Hold" and .outcome == "gone"'
stop "$SIDECAR_PID"

make_authority
make_certificate door
sed -i "s/127.0.0.1:$listen/127.0.0.1:$tls_listen/; s/127.0.0.1:$admin/127.0.0.1:$tls_admin/" "$RUN/tls.toml"
printf '[server.tls]\ncertificate_file = "%s"\nkey_file = "%s"\n' "$RUN/door.crt" "$RUN/door.key" >>"$RUN/tls.toml"
run_sidecar "$RUN/tls.toml" "$tls_admin"
through_tls() { asks "localhost:$tls_listen" tls "$RUN/ca.crt" && diff "$RUN/direct" "$RUN/tls"; }
verify "over TLS they are, too" through_tls
stop "$SIDECAR_PID"
finish
