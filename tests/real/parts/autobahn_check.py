"""Compares two agents of an Autobahn report: usage: autobahn_check.py INDEX DIRECT THROUGH

Every case was tried on both, and no verdict on THROUGH, on the case or on its close, is worse than on DIRECT.
"""

import collections
import json
import sys

# From best to worst; a verdict not named here is the worst.
ORDER = ["OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED"]
AT_LEAST = 240


def rank(verdict):
    return ORDER.index(verdict) if verdict in ORDER else len(ORDER)


def main(path, direct, through):
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    before, after = report[direct], report[through]
    for name in (direct, through):
        counts = collections.Counter(case["behavior"] for case in report[name].values())
        print(name, dict(counts))
        if sum(counts.values()) < AT_LEAST or counts["OK"] < AT_LEAST * 0.9:
            sys.exit(f"{name}: too few cases, or too few of them well, to compare")
    if before.keys() != after.keys():
        sys.exit(f"tried on one only: {sorted(before.keys() ^ after.keys())}")
    worse = [
        f"{case}: {part} is {after[case][part]}, directly {verdict[part]}"
        for case, verdict in sorted(before.items())
        for part in ("behavior", "behaviorClose")
        if rank(after[case][part]) > rank(verdict[part])
    ]
    if worse:
        sys.exit("\n".join(worse))


main(*sys.argv[1:])
