"""Reads `strace -f -y` output: durable first, then forwarded. usage: trace_order.py TRACE AUDIT-DIR

The line with stage `initiated` is written to a file of the audit directory, that file's fdatasync
(or fsync) returns 0, and only then the request line goes to the upstream's socket.
"""

import re
import sys

audit_directory = sys.argv[2].rstrip("/")
pending = {}
written = synced = forwarded = None

for number, line in enumerate(open(sys.argv[1], encoding="utf-8", errors="replace")):
    thread = line.split(" ", 1)[0]
    if re.search(r"\bfd?a?t?a?sync\(\d+<" + re.escape(audit_directory), line):
        if "<unfinished" in line:
            pending[thread] = number
        elif line.rstrip().endswith("= 0") and written is not None and synced is None:
            synced = number
    elif "sync resumed" in line and pending.pop(thread, -1) >= (written or 10**9):
        if line.rstrip().endswith("= 0") and synced is None:
            synced = number
    elif audit_directory in line and "write" in line and "initiated" in line:
        written = number if written is None else written
    elif "POST /api/orchestrate HTTP/1.1" in line and forwarded is None:
        forwarded = number

print(f"line of the record {written}, of its fdatasync {synced}, of the upstream write {forwarded}")
if None in (written, synced, forwarded) or not written < synced < forwarded:
    sys.exit("not in this order")
