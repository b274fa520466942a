"""Judges Sentry events, one JSON object per line on stdin. usage: event_check.py AT-MOST

Sentry's own Relay normalises each event and may note no error about it; each names the request
and the trace; there is at least one, and of one kind (its fingerprint) no more than AT-MOST.
"""

import collections
import json
import re
import sys

from sentry_relay.processing import StoreNormalizer

REQUEST_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")


def errors_in(meta, path=""):
    for key, value in (meta or {}).items():
        if key == "":
            for error in value.get("err", []) + value.get("rem", []):
                yield f"{path or '.'}: {json.dumps(error)}"
        else:
            yield from errors_in(value, f"{path}.{key}")


def judge(event):
    tags = event.get("tags") or {}
    tags = dict(tags) if isinstance(tags, list) else tags
    if not REQUEST_ID.match(str(tags.get("request_id"))):
        yield f"no request id among its tags {tags}"
    trace_id = event.get("contexts", {}).get("trace", {}).get("trace_id", "")
    if not re.fullmatch(r"[0-9a-f]{32}", trace_id) or set(trace_id) == {"0"}:
        yield f"trace id {trace_id!r}"
    normaliser = StoreNormalizer(
        project_id=1, client_ip="127.0.0.1", client="vital-sidecar", protocol_version="7",
        remove_other=False, is_renormalize=False,
    )
    normalised = normaliser.normalize_event(dict(event))
    yield from errors_in(normalised.get("_meta"))
    yield from map(str, normalised.get("errors") or [])


events = [json.loads(line) for line in sys.stdin]
faults = sorted({fault for event in events for fault in judge(event)})
kinds = collections.Counter(tuple(event["fingerprint"]) for event in events)
print(f"{len(events)} events: {dict(kinds)}")
if faults:
    sys.exit("\n".join(faults[:10]))
if not events or max(kinds.values()) > int(sys.argv[1]):
    sys.exit(f"expected 1 to {sys.argv[1]} of a kind")
if len({event["event_id"] for event in events}) != len(events):
    sys.exit("an event came twice")
