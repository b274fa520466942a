"""Every 2xx a client got has its record. usage: audit_has.py AUDIT-DIR ANSWERS

ANSWERS holds lines `status request-id`, as drive.py writes them.
"""

import json
import pathlib
import sys

recorded = set()
for file in sorted(pathlib.Path(sys.argv[1]).glob("audit-*.jsonl")):
    for line in file.read_bytes().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("stage") in ("initiated", "completed"):
            recorded.add(entry.get("requestId"))

answered = set()
for line in open(sys.argv[2], encoding="ascii"):
    status, request_id = line.split()
    if status.startswith("2"):
        answered.add(request_id)

missing = answered - recorded
print(f"{len(answered)} answers, {len(recorded)} requests on record, {len(missing)} missing")
if missing or not answered:
    sys.exit(f"for example {sorted(missing)[:3]}")
