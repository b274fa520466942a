#!/usr/bin/env bash
# Traffic through the sidecar arrives byte by byte, in front of servers that were not written here.
#
# nginx, uvicorn and Node answer 10,000 requests each, and 1 GiB goes down from and up to each.
# The sidecar streams: in front of each, its memory may grow by 16 MiB.
. "$(dirname "$0")/lib.sh"

read -r nginx_port uvicorn_port node_port < <(free_ports 3)
www=$RUN/www
gib=$www/gib
mkdir -p "$www/blob"

"$PYTHON" - "$www/blob" <<'PY'
# The files that GET /blob/N asks nginx for: the same bytes that the other servers make.
import pathlib, sys
pattern = bytes(range(256)) * 512
for size in [0, 1, 17, 1024, 4096, 16_384, 65_536, 100_000]:
    pathlib.Path(sys.argv[1], str(size)).write_bytes(pattern[:size])
PY

"$PYTHON" - "$gib" <<'PY'
# One GiB in which no two MiB are alike, so that lost or swapped pieces show.
import os, sys
noise = os.urandom((1 << 20) - 8)
with open(sys.argv[1], "wb") as file:
    for number in range(1024):
        file.write(number.to_bytes(8, "big") + noise)
PY

cat >"$RUN/nginx.conf" <<NGINX
worker_processes 1;
daemon off;
pid $RUN/nginx.pid;
error_log $RUN/nginx.error.log;
events { worker_connections 512; }
http {
  access_log off;
  sendfile on;
  keepalive_requests 100000;
  client_body_temp_path $RUN/nginx-body;
  proxy_temp_path $RUN/nginx-proxy;
  fastcgi_temp_path $RUN/nginx-fastcgi;
  uwsgi_temp_path $RUN/nginx-uwsgi;
  scgi_temp_path $RUN/nginx-scgi;
  server {
    listen 127.0.0.1:$nginx_port;
    root $www;
    # What is put becomes a file, whose bytes are compared.
    location /put { dav_methods PUT; client_max_body_size 2g; }
  }
}
NGINX
# A worker started by root would run as `nobody`, who may not see this directory.
[ "$(id -u)" != 0 ] || sed -i '1i user root;' "$RUN/nginx.conf"

launch_server nginx "$nginx_port" nginx -c "$RUN/nginx.conf" -e "$RUN/nginx.error.log"
export SERVED_FILE=$gib
launch_server uvicorn "$uvicorn_port" "$PYTHON" -m uvicorn --app-dir "$PARTS" \
  --port "$uvicorn_port" --log-level warning asgi_app:app
launch_server node "$node_port" node "$PARTS/server.js" "$node_port"

# in_front_of PORT: a fresh sidecar before that server; its port is in $listen.
in_front_of() {
  read -r listen admin < <(free_ports 2)
  write_config "$RUN/sidecar.toml" "$listen" "$admin" "$1"
  printf '[otlp]\nendpoint = ""\n' >>"$RUN/sidecar.toml"
  run_sidecar "$RUN/sidecar.toml" "$admin"
}

grew_little() { [ "$grown" -le 16384 ]; }

# nginx makes no digest, it stores.
put_and_compare() {
  curl -sf -T "$gib" "http://127.0.0.1:$listen/put" && cmp "$gib" "$www/put"
  local status=$?
  rm -f "$www/put"
  return "$status"
}

for server in nginx uvicorn node; do
  port=${server}_port
  in_front_of "${!port}"
  "$PYTHON" "$PARTS/drive.py" blobs "$listen" 400 >/dev/null   # buffers and pools in place
  before=$(rss "$SIDECAR_PID")
  verify "10,000 answers of $server pass byte-identical" \
    "$PYTHON" "$PARTS/drive.py" blobs "$listen" 10000
  verify "a download of 1 GiB from $server passes byte-identical" \
    "$PYTHON" "$PARTS/drive.py" download "$listen" /gib "$gib"
  if [ "$server" = nginx ]; then
    verify "an upload of 1 GiB to nginx passes byte-identical" put_and_compare
  else
    verify "an upload of 1 GiB to $server passes byte-identical" \
      "$PYTHON" "$PARTS/drive.py" upload "$listen" /digest "$gib"
  fi
  grown=$(($(peak_rss "$SIDECAR_PID") - before))
  verify "in front of $server, memory grows by at most 16 MiB (at its peak $grown KiB)" grew_little
  stop "$SIDECAR_PID"
done

rm -f "$gib"
finish
