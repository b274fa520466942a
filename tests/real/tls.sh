#!/usr/bin/env bash
# testssl.sh looks at the sidecar's TLS, and certificates change while clients connect.
#
# The scan is of the widest setting, TLS 1.2 allowed, with the run's own authority trusted: whatever it
# finds of MEDIUM or above is a failure.
. "$(dirname "$0")/lib.sh"

read -r node_port listen admin < <(free_ports 3)
launch_server node "$node_port" node "$PARTS/server.js" "$node_port"
make_authority
for name in first second third; do make_certificate "$name"; done
place() { cp "$RUN/$1.crt" "$RUN/door.crt" && cp "$RUN/$2.key" "$RUN/door.key"; }
place first first

# opened MIN_VERSION: a fresh sidecar behind that certificate.
opened() {
  write_config "$RUN/sidecar.toml" "$listen" "$admin" "$node_port"
  cat >>"$RUN/sidecar.toml" <<TOML
[otlp]
endpoint = ""
[server.tls]
certificate_file = "$RUN/door.crt"
key_file = "$RUN/door.key"
min_version = "$1"
TOML
  run_sidecar "$RUN/sidecar.toml" "$admin"
}
asked() { curl -sS -o /dev/null --cacert "$RUN/ca.crt" "$@" "https://localhost:$listen/blob/17"; }

opened 1.2
# It reads its own files and asks no name server; a part it cannot test here (RC4) it says is a WARN.
timeout 120 testssl --quiet --color 0 --fast -p -s -S -U --nodns none --warnings off \
  --openssl /usr/bin/openssl --add-ca "$RUN/ca.crt" --jsonfile "$RUN/testssl.json" "127.0.0.1:$listen" \
  >"$RUN/testssl.txt" 2>&1 </dev/null
severity() { jq -r --arg id "$1" '.[] | select(.id == $id) | .severity' "$RUN/testssl.json"; }
# A scan that was cut short, or saw no TLS, has found nothing, either.
is_complete() {
  local id
  jq -e 'length > 50 and (map(.id) | index("scanTime") != null)' "$RUN/testssl.json" || return
  for id in TLS1_2 TLS1_3 ALPN_HTTP2 cipherlist_STRONG cert_trust cert_chain_of_trust \
            heartbleed CCS secure_renego LUCKY13; do
    [ "$(severity "$id")" = OK ] || { echo "$id: $(severity "$id")"; return 1; }
  done
}
verify "testssl looks at everything and trusts the chain" is_complete
finds_nothing() {
  jq -r '.[] | select(.severity | IN("MEDIUM", "HIGH", "CRITICAL", "FATAL")) | "\(.severity) \(.id): \(.finding)"' \
    "$RUN/testssl.json" >"$RUN/found" && cat "$RUN/found" && [ ! -s "$RUN/found" ]
}
verify "testssl finds nothing of MEDIUM or above" finds_nothing
verify "TLS 1.2 is served where the file allows it" asked --tls-max 1.2
stop "$SIDECAR_PID"

opened 1.3
refuses_12() { ! asked --tls-max 1.2; }
verify "TLS 1.2 is refused by default" refuses_12

serial_of() { openssl x509 -noout -serial -in "$RUN/$1.crt" | cut -d = -f 2; }
shows() {
  local shown
  shown=$(openssl s_client -connect "127.0.0.1:$listen" </dev/null 2>/dev/null | openssl x509 -noout -serial)
  echo "$shown"
  [ "$shown" = "serial=$(serial_of "$1")" ]
}
launch clients "$PYTHON" "$PARTS/tls_clients.py" "$listen" "$RUN/ca.crt"
clients=$PID
verify "it shows the first certificate" shows first
# The two files are written one after the other: for a moment they do not fit each other.
place second second
verify "a new certificate is shown within seconds" eventually 5 shows second
place third first
told_of() { grep 'the key does not belong to the certificate' "$RUN/sidecar.err"; }
verify "a key that does not fit is told of" eventually 5 told_of
verify "and the certificate before it stays" shows second
place third third
verify "a pair that fits is taken again" eventually 5 shows third
kill -TERM "$clients"
wait "$clients"
clients_status=$?
unharmed() {
  cat "$RUN/clients.log" "$RUN/clients.err"
  [ "$clients_status" = 0 ] && jq -e --arg serials "$(serial_of first) $(serial_of second) $(serial_of third)" \
    '.failures == [] and .answers > 100 and .kept > 10 and all(.seen[]; join(" ") == $serials)' "$RUN/clients.log"
}
verify "no client failed, each saw the three in order, and a kept connection was kept" unharmed
stop "$SIDECAR_PID"
finish
