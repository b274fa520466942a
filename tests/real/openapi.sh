#!/usr/bin/env bash
# The API's document against those who know documents: schemathesis asks the demo whatever the document allows and
# forbids, and the published JSON Schema cases ask the validation.
. "$(dirname "$0")/lib.sh"

SCHEMATHESIS=$ROOT/target/real/schemathesis
read -r listen admin < <(free_ports 2)
launch_server demo "$listen" "$SIDECAR" demo --no-failures --listen "127.0.0.1:$listen" --admin "127.0.0.1:$admin"

# asked NAME SEED ARGUMENTS…: at most 45 s of questions.
asked() {
  local name=$1 seed=$2
  shift 2
  "$SCHEMATHESIS/bin/schemathesis" run "$ROOT/docs/api/openapi.yaml" --url "http://127.0.0.1:$listen" \
    --seed "$seed" --workers 1 --rate-limit 9/s --no-color --generation-database none \
    --suppress-health-check all --warnings off --report ndjson --report-ndjson-path "$RUN/$name.ndjson" "$@" \
    >"$RUN/$name.txt" 2>&1
  local status=$?
  sed -n '/FAILURES/,$p' "$RUN/$name.txt" | head -n 60
  return "$status"
}
