"""Reads rotel's debug log and judges one trace. usage: spans.py LOG APP-IDS.json

APP-IDS.json is what the app behind answered: the trace it saw, the parent it was given, and the
span it made. The chain must be SERVER <- INTERNAL <- CLIENT <- the app's span, each span once.
"""

import json
import re
import sys

FIELDS = {
    "Trace ID": "trace_id", "Parent ID": "parent_id", "ID": "span_id",
    "Name": "name", "Kind": "kind",
}


def spans_in(log):
    spans = []
    for line in open(log, encoding="utf-8", errors="replace"):
        if re.match(r"Span #\d+", line):
            spans.append({})
        elif spans and (match := re.match(r"    ([A-Za-z ]+?) *: ?(.*)", line)):
            if match[1] in FIELDS:
                spans[-1].setdefault(FIELDS[match[1]], match[2].strip())
    return spans


def only(spans, **wanted):
    found = [s for s in spans if all(s.get(key) == value for key, value in wanted.items())]
    if len(found) != 1:
        sys.exit(f"{len(found)} spans with {wanted} among:\n" + json.dumps(spans, indent=1))
    return found[0]


app = json.load(open(sys.argv[2]))
trace = [s for s in spans_in(sys.argv[1]) if s.get("trace_id") == app["trace_id"]]
of_app = only(trace, span_id=app["span_id"])
client = only(trace, kind="SPAN_KIND_CLIENT")
internal = only(trace, kind="SPAN_KIND_INTERNAL")
server = only([s for s in trace if s is not of_app], kind="SPAN_KIND_SERVER")

for child, parent in [(of_app, client), (client, internal), (internal, server)]:
    if child["parent_id"] != parent["span_id"]:
        sys.exit(f"{child['name']} is not below {parent['name']}:\n" + json.dumps(trace, indent=1))
if server.get("parent_id"):
    sys.exit("the SERVER span has a parent, although the client sent none")
if server["name"] != "GET /traced" or internal["name"] != "orchestration.execute":
    sys.exit(f"unexpected names: {server['name']}, {internal['name']}")
print("four spans, one chain")
