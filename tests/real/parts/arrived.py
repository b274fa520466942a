"""Counts the spans in rotel's debug logs, each once. usage: arrived.py LOG…

Prints `N spans, M of them twice or more`. A span is known by its trace and its own id.
"""

import collections
import re
import sys

FIELD = re.compile(r"    (Trace ID|ID) *: ?([0-9a-f]+)$")

seen = collections.Counter()
for path in sys.argv[1:]:
    trace = None
    for line in open(path, encoding="utf-8", errors="replace"):
        if match := FIELD.match(line.rstrip("\n")):
            if match[1] == "Trace ID":
                trace = match[2]
            else:
                seen[trace, match[2]] += 1
print(f"{len(seen)} spans, {sum(count > 1 for count in seen.values())} of them twice or more")
