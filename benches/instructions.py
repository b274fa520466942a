#!/usr/bin/env python3
"""User-space instructions per request, counted by callgrind: the figure that does not drift.

A proxy runs twice, under a few and under many requests; the difference is free of what start and
end cost. Wall time is of no matter here, so nothing is pinned and nothing is timed. Kernel work is
not counted.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from harness.machine import Broken, Process, find_program, free_port
from harness.measures import drive
from harness.proxies import RELEASE, Proxy, bare, ours, unbuilt_tools

FEW, MANY = 1000, 4000
CONNECTIONS = 8
START_SECONDS = 60.0
STOP_SECONDS = 30.0
#: Longer than any timer that writes out what was buffered.
FLUSH_SECONDS = 2.0
LIMIT = 1.7


def main() -> int:
    """Prints the counts; 1 when one could not be made or, with `--strict`, is over its budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sidecar", type=Path, default=RELEASE / "vital-sidecar")
    parser.add_argument("--strict", action="store_true", help="fail when the budget is missed")
    options = parser.parse_args()

    valgrind = find_program("valgrind")
    if not valgrind:
        print("skipped: valgrind is not installed (make bench-peers)")
        return 0
    if unbuilt := unbuilt_tools():
        print(f"not built: {', '.join(unbuilt)} (make bench-build)", file=sys.stderr)
        return 1
    proxies = [bare(), ours(options.sidecar, "sidecar", "0.1")]
    proxies.append(ours(options.sidecar, "sidecar-100", "1.0"))
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as scratch:
        counts = count_all(Path(scratch), valgrind, [p for p in proxies if p.program])

    for proxy in proxies:
        shown = f"{counts[proxy.name]:.0f}" if proxy.name in counts else f"- ({proxy.remedy})"
        print(f"{proxy.name:<12} {shown} instructions per request")
    if "sidecar" not in counts or "bare-hyper" not in counts:
        print("ratio        SKIPPED")
        return 1
    ratio = counts["sidecar"] / counts["bare-hyper"]
    is_met = ratio <= LIMIT
    print(f"sidecar / bare-hyper {ratio:.2f}, limit {LIMIT}: {'PASS' if is_met else 'MISS'}")
    return 1 if options.strict and not is_met else 0


def count_all(scratch: Path, valgrind: str, proxies: list[Proxy]) -> dict[str, float]:
    """Instructions per request of each, in front of one origin."""
    origin_port = free_port()
    home = scratch / "origin"
    home.mkdir()
    cores = os.sched_getaffinity(0)
    argv = [str(RELEASE / "examples" / "origin"), f"127.0.0.1:{origin_port}"]
    origin = Process(argv, cores, home)
    counts = {}
    try:
        origin.await_answer(origin_port, START_SECONDS)
        for proxy in proxies:
            try:
                few, many = (count(scratch, valgrind, proxy, origin_port, n) for n in (FEW, MANY))
                if many - few < MANY - FEW:
                    raise Broken("more requests took no more instructions: it was not profiled")
                counts[proxy.name] = (many - few) / (MANY - FEW)
            except Broken as failure:
                print(f"! {proxy.name}: {failure}", file=sys.stderr)
    finally:
        origin.stop()
    return counts


def count(scratch: Path, valgrind: str, proxy: Proxy, origin_port: int, requests: int) -> int:
    """Instructions of one whole run with this many requests."""
    home = scratch / proxy.name
    profile = scratch / "profile"
    cores = os.sched_getaffinity(0)
    wrap = [valgrind, "--tool=callgrind", f"--callgrind-out-file={profile}"]
    process, port = proxy.start(cores, home, origin_port, free_port(), wrap)
    try:
        process.await_answer(port, START_SECONDS)
        address = f"127.0.0.1:{port}"
        drive(cores, "closed", address, "/json", CONNECTIONS, "requests", requests)
        time.sleep(FLUSH_SECONDS)
    finally:
        process.stop(STOP_SECONDS)
        complaint = process.complaint()
        shutil.rmtree(home, ignore_errors=True)
    found = re.search(r"^(?:summary|totals): (\d+)", profile.read_text(), re.M)
    if not found:
        raise Broken(f"no count was written: {complaint}")
    profile.unlink()
    return int(found[1])


if __name__ == "__main__":
    sys.exit(main())
