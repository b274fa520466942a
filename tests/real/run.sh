#!/usr/bin/env bash
# Runs every scenario of the real tier, or those named, and ends with `N passed, N failed`.
#
#   tests/real/run.sh [traffic clients protocols …]
#   SIDECAR=target/release/vital-sidecar tests/real/run.sh traffic
#
# Each scenario is bounded in time; one that stops early counts as a failure.
set -uo pipefail
cd "$(dirname "$0")"

scenarios=("$@")
[ $# -gt 0 ] || scenarios=(traffic clients protocols grpc streams websocket autobahn tls slow
                           prometheus alerts agreement rotel outage durability redis sentry faults openapi logs)
out=$(mktemp)
trap 'rm -f "$out"' EXIT

for scenario in "${scenarios[@]}"; do
  said_before=$(grep -c '^FAIL ' "$out")
  timeout --kill-after=15 300 "./$scenario.sh" 2>&1 | tee -a "$out"
  status=${PIPESTATUS[0]}
  if [ "$status" != 0 ] && [ "$(grep -c '^FAIL ' "$out")" = "$said_before" ]; then
    echo "FAIL $scenario: ended early with status $status" | tee -a "$out"
  fi
done

passed=$(grep -c '^PASS ' "$out")
failed=$(grep -c '^FAIL ' "$out")
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
