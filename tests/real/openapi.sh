#!/usr/bin/env bash
# The API's document against those who know documents: schemathesis asks the demo what the document allows and
# what it forbids, and the published JSON Schema cases ask the validation.
. "$(dirname "$0")/lib.sh"

JUDGE=$ROOT/target/real/schemathesis
[ -x "$JUDGE/bin/schemathesis" ] || abandon "schemathesis is missing: tests/real/install.sh"

# The demo's own limit would answer most of the questions.
read -r listen admin < <(free_ports 2)
launch_server demo "$listen" \
  "$SIDECAR" demo --no-failures --no-limit --listen "127.0.0.1:$listen" --admin "127.0.0.1:$admin"

# A refusal is one of these: the request's form, its length, its media type.
cat >"$RUN/schemathesis.toml" <<'TOML'
[checks.negative_data_rejection]
expected-statuses = ["400", "404", "413", "415"]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "404"]
TOML

# asked SEED PHASE EXAMPLES: every check of what schemathesis sends, within 30 s.
asked() {
  (cd "$RUN" && timeout 60 "$JUDGE/bin/schemathesis" --config-file schemathesis.toml run \
    "$ROOT/docs/api/openapi.yaml" --url "http://127.0.0.1:$listen" --seed "$1" --phases "$2" -n "$3" \
    --max-time 30 --workers 4 --continue-on-failure --no-color \
    --generation-deterministic --suppress-health-check all --warnings off) >"$RUN/$2.txt" 2>&1
  local status=$?
  grep -vE '^ *$' "$RUN/$2.txt" | tail -n 60
  return "$status"
}
verify "schemathesis finds no 5xx, nothing invalid let in, nothing valid kept out (examples, coverage)" \
  asked 1 examples,coverage 10
verify "nor does it at random, from a fixed seed" asked 1 fuzzing 40

# are_told: the requests have their operations, and the refusals their reason.
are_told() {
  local refused
  refused=$(count_told '.operationId == "createOrchestration" and .status == 400')
  echo "$refused invalid questions, $(count_told 'select(.operationId == null)') requests without an operation"
  [ "$refused" -gt 10 ] &&
    [ "$(count_told '.status == 400 and .operationId != null and (.errorType | IN("schema_violation", "bad_request") | not)')" = 0 ]
}
count_told() { grep '"message":"Request completed"' "$RUN/demo.log" | jq -c "select($1)" | wc -l; }
verify "the log names their operations" are_told

# The published cases. Nothing answers behind: what is let in gets 502 or 503, what is refused 400.
read -r nobody listen admin < <(free_ports 3)
suite=$JUDGE/jsonschema-4.26.0/json
"$PYTHON" "$PARTS/schema_cases.py" write "$suite" "$RUN/cases.yaml" "$RUN/cases.json" || abandon "no cases"
write_config "$RUN/sidecar.toml" "$listen" "$admin" "$nobody"
printf '[openapi]\nfile = "%s"\n[otlp]\nendpoint = ""\n' "$RUN/cases.yaml" >>"$RUN/sidecar.toml"
run_sidecar "$RUN/sidecar.toml" "$admin"
verify "the published cases of JSON Schema 2020-12 are judged as they say" \
  "$PYTHON" "$PARTS/schema_cases.py" ask "$RUN/cases.json" "$listen"

finish
