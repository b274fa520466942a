#!/usr/bin/env bash
# Every protocol that the sidecar speaks, spoken by programs that were not written here.
#
# h2load, nghttp and curl ask over TLS and in the clear; nginx and nghttpd answer over HTTP/1.1,
# https and HTTP/2. Of every load, all answers are 2xx and each has its record and its count.
. "$(dirname "$0")/lib.sh"

requests=4000
www=$RUN/www
mkdir -p "$www"
"$PYTHON" -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 256)' >"$www/page"
seq 20000 >"$www/numbers.txt"
head -c 3000000 /dev/urandom >"$RUN/upload"
make_authority
make_certificate door
make_certificate behind

read -r nginx_port nginx_tls_port h2c_port h2_port < <(free_ports 4)
cat >"$RUN/nginx.conf" <<NGINX
worker_processes 1;
daemon off;
pid $RUN/nginx.pid;
error_log $RUN/nginx.error.log;
events { worker_connections 512; }
http {
  access_log off;
  types { text/plain txt; }
  gzip on;
  gzip_types text/plain;
  gzip_proxied any;
  keepalive_requests 100000;
  client_body_temp_path $RUN/nginx-body;
  proxy_temp_path $RUN/nginx-proxy;
  fastcgi_temp_path $RUN/nginx-fastcgi;
  uwsgi_temp_path $RUN/nginx-uwsgi;
  scgi_temp_path $RUN/nginx-scgi;
  server {
    listen 127.0.0.1:$nginx_port;
    listen 127.0.0.1:$nginx_tls_port ssl http2;
    ssl_certificate $RUN/behind.crt;
    ssl_certificate_key $RUN/behind.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    root $www;
    location /put { dav_methods PUT; client_max_body_size 16m; }
    # What nginx was spoken to by the sidecar.
    location = /spoken { return 200 "\$server_protocol \$ssl_protocol\n"; }
  }
}
NGINX
# A worker started by root would run as \`nobody\`, who may not see this directory.
[ "$(id -u)" != 0 ] || sed -i '1i user root;' "$RUN/nginx.conf"
launch_server nginx "$nginx_port" nginx -c "$RUN/nginx.conf" -e "$RUN/nginx.error.log"
launch_server nghttpd-h2c "$h2c_port" nghttpd --no-tls --address=127.0.0.1 -d "$www" "$h2c_port"
launch_server nghttpd-tls "$h2_port" \
  nghttpd --address=127.0.0.1 -d "$www" "$h2_port" "$RUN/behind.key" "$RUN/behind.crt"

# in_front_of UPSTREAM [TLS]: a fresh sidecar before it, in the clear or behind TLS; $base is its URL.
in_front_of() {
  read -r listen admin < <(free_ports 2)
  write_config "$RUN/sidecar.toml" "$listen" "$admin" "$1"
  printf '[otlp]\nendpoint = ""\n' >>"$RUN/sidecar.toml"
  # nghttpd's certificate, like nginx's, is signed by the run's own authority.
  sed -i "s|^url = \"https.*|&\nca_file = \"$RUN/ca.crt\"|" "$RUN/sidecar.toml"
  base=http://127.0.0.1:$listen
  if [ "${2:-}" = tls ]; then
    base=https://127.0.0.1:$listen
    cat >>"$RUN/sidecar.toml" <<TOML
[server.tls]
certificate_file = "$RUN/door.crt"
key_file = "$RUN/door.key"
min_version = "1.2"
TOML
  fi
  run_sidecar "$RUN/sidecar.toml" "$admin"
}

# loaded PROTOCOL [ARGUMENTS…]: h2load's requests were all answered 2xx, over that protocol, with every byte.
loaded() {
  local protocol=$1
  shift
  h2load -n "$requests" -c 8 -m 16 "$@" "$base/page" >"$RUN/h2load" 2>&1
  cat "$RUN/h2load"
  grep -qx "Application protocol: $protocol" "$RUN/h2load" &&
    grep -q "^requests: .* $requests succeeded, 0 failed, 0 errored, 0 timeout" "$RUN/h2load" &&
    grep -q "^status codes: $requests 2xx" "$RUN/h2load" &&
    grep -q "($((requests * 65536))) data" "$RUN/h2load"
}
# accounted N: a record and a count of each, and no other; all connections are closed again.
accounted() {
  local counted
  has_records "$1" '.route == "_unmatched" and .status == 200 and .outcome == "served"' || return
  counted=$(metric "$admin" http_server_request_duration_seconds_count)
  echo "$counted counted"
  [ "$counted" = "$1" ] && [ "$(metric "$admin" http_server_active_requests)" = 0 ]
}
# nghttp_got N: nghttp fetches two files at once over one connection, N times, byte by byte.
nghttp_got() {
  nghttp --no-verify-peer "$base/page" "$base/numbers.txt" >"$RUN/body" 2>"$RUN/nghttp.err" &&
    nghttp --no-verify-peer -nv "$base/page" "$base/numbers.txt" >"$RUN/nghttp" 2>&1 || return
  tail -n 40 "$RUN/nghttp"
  [ "$(grep -c ':status: 200' "$RUN/nghttp")" = 2 ] && ! grep -qE 'RST_STREAM|GOAWAY.*[1-9]\)' "$RUN/nghttp" &&
    [ "$(wc -c <"$RUN/body")" = "$(cat "$www/page" "$www/numbers.txt" | wc -c)" ]
}

in_front_of "$nginx_port"
verify "h2load over h2c: $requests answers, all 2xx" loaded h2c
verify "nghttp over h2c: two files on one connection" nghttp_got
verify "h2load over HTTP/1.1: $requests answers, all 2xx" loaded http/1.1 --h1 -m 1
verify "each of them has its record and its count" accounted $((2 * requests + 4))

# curl's modes. asked ARGUMENTS…: the conversation goes to $RUN/talk, the body to $RUN/body.
asked() {
  rm -f "$RUN/body"
  curl -sv --max-time 20 -o "$RUN/body" "$@" 2>"$RUN/talk"
  local status=$?
  grep -aE '^[<>*] ' "$RUN/talk"
  return "$status"
}
said() { grep -aqiE "^< $1" "$RUN/talk"; }
# page_by STATUS_LINE ARGUMENTS…: the page arrived whole, in that protocol.
page_by() {
  local line=$1
  shift
  asked "$@" "$base/page" && said "$line 200" && cmp "$RUN/body" "$www/page"
}
uploads() { sends "$RUN/upload" "$@"; }
sends() {
  local source=$1
  shift
  rm -f "$www/put"
  asked "$@" -T "$source" "$base/put" <"$RUN/upload" && said 'HTTP/[0-9.]+ 201' && cmp "$RUN/upload" "$www/put"
}
waits_for_100() { uploads --http1.1 -H 'expect: 100-continue' && said 'HTTP/1.1 100'; }
head_only() { asked "$@" -I "$base/page" && said 'content-length: 65536' && said 'HTTP/[0-9.]+ 200'; }
range() {
  asked "$@" -r 1000-1999 "$base/page" && said 'HTTP/[0-9.]+ 206' && said 'content-range: bytes 1000-1999/65536' &&
    cmp "$RUN/body" <(tail -c +1001 "$www/page" | head -c 1000)
}
compressed() {
  asked "$@" --compressed "$base/numbers.txt" && said 'content-encoding: gzip' && cmp "$RUN/body" "$www/numbers.txt"
}
two_at_once() {
  curl -sf --max-time 20 --parallel "$@" "$base/page" -o "$RUN/one" "$base/numbers.txt" -o "$RUN/two" &&
    cmp "$RUN/one" "$www/page" && cmp "$RUN/two" "$www/numbers.txt"
}

verify "curl --http1.0" page_by HTTP/1.0 --http1.0
verify "curl --http1.1" page_by HTTP/1.1 --http1.1
verify "curl --http2 in the clear: the upgrade to h2c is ignored" page_by HTTP/1.1 --http2
verify "curl --http2-prior-knowledge" page_by HTTP/2 --http2-prior-knowledge
for mode in --http1.1 --http2-prior-knowledge; do
  verify "curl $mode -T" uploads "$mode"
  verify "curl $mode -T - (of unknown length)" sends - "$mode"
  verify "curl $mode -I" head_only "$mode"
  verify "curl $mode -r" range "$mode"
  verify "curl $mode --compressed" compressed "$mode"
done
# Two streams at once by prior knowledge are more than curl 7.88 can do (nghttpd loses the second, too);
# nghttp does it, above, and curl over TLS, below.
verify "curl --http1.1 --parallel" two_at_once --http1.1
verify "curl with Expect: 100-continue" waits_for_100
stop "$SIDECAR_PID"

in_front_of "$nginx_port" tls
trusted=(--cacert "$RUN/ca.crt")
verify "h2load over TLS: $requests answers, all 2xx" loaded h2
verify "nghttp over TLS: two files on one connection" nghttp_got
verify "h2load over TLS with HTTP/1.1: $requests answers, all 2xx" loaded http/1.1 --h1 -m 1
verify "each of them has its record and its count" accounted $((2 * requests + 4))
verify "curl over TLS takes HTTP/2" page_by HTTP/2 "${trusted[@]}"
verify "curl --http1.1 over TLS" page_by HTTP/1.1 --http1.1 "${trusted[@]}"
verify "curl --no-alpn over TLS" page_by HTTP/1.1 --no-alpn "${trusted[@]}"
verify "curl --tls-max 1.2 where the file allows it" page_by HTTP/2 --tls-max 1.2 "${trusted[@]}"
refuses() { ! asked "$@" "$base/page" && [ ! -e "$RUN/body" ]; }
refuses_old_tls() { refuses --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 "${trusted[@]}"; }
verify "TLS 1.1 is refused" refuses_old_tls
verify "curl -T over TLS and HTTP/2" uploads "${trusted[@]}"
verify "curl --parallel over TLS and HTTP/2" two_at_once "${trusted[@]}"
stop "$SIDECAR_PID"

# A Unix socket has a path of at most 107 bytes, which a deep checkout would exceed.
socket_directory=$(mktemp -d)
read -r listen admin < <(free_ports 2)
write_config "$RUN/sidecar.toml" "$listen" "$admin" "$nginx_port"
sed -i "s|^listen = \"127.0.0.1:$listen\"|listen = \"unix:$socket_directory/door\"|" "$RUN/sidecar.toml"
printf '[otlp]\nendpoint = ""\n' >>"$RUN/sidecar.toml"
run_sidecar "$RUN/sidecar.toml" "$admin"
base=http://localhost
verify "curl --unix-socket" page_by HTTP/1.1 --unix-socket "$socket_directory/door"
verify "curl --unix-socket --http2-prior-knowledge" \
  page_by HTTP/2 --unix-socket "$socket_directory/door" --http2-prior-knowledge
stop "$SIDECAR_PID"
leaves_nothing() { [ ! -e "$socket_directory/door" ]; }
verify "the socket's file is gone with the sidecar" leaves_nothing
rm -rf "$socket_directory"

# Towards the upstream. What it was spoken to is asked of nginx; nghttpd speaks nothing but HTTP/2.
spoken() { asked "$base/spoken" && grep -x "$1" "$RUN/body"; }
in_front_of "https://127.0.0.1:$nginx_tls_port"
verify "towards https, HTTP/2 and TLS 1.3 are taken where they are offered" spoken 'HTTP/2.0 TLSv1.3'
verify "h2load over HTTP/1.1 before https" loaded http/1.1 --h1 -m 1
stop "$SIDECAR_PID"
in_front_of "https://127.0.0.1:$h2_port" tls
verify "h2load over TLS before nghttpd over TLS" loaded h2
verify "each of them has its record and its count" accounted "$requests"
stop "$SIDECAR_PID"
in_front_of "h2c://127.0.0.1:$h2c_port"
verify "h2load over h2c before nghttpd over h2c" loaded h2c
verify "h2load over HTTP/1.1 before nghttpd over h2c" loaded http/1.1 --h1 -m 1
verify "each of them has its record and its count" accounted $((2 * requests))
stop "$SIDECAR_PID"
finish
