#!/usr/bin/env python3
"""Measures the sidecar beside its peers and prints paired ratios. See docs/performance.md.

The proxy under test has one core, everything else the others. Nothing is installed and nothing
outside the scratch directory is written. QUICK=1 in the environment makes a run of a minute that
shows whether everything works; its figures are rough.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from harness.budgets import add_latencies
from harness.machine import allow_many_files, split_cores
from harness.measures import Durations
from harness.proxies import RELEASE, catalogue, unbuilt_tools
from harness.report import doubts, figures, verdicts
from harness.rounds import DIRECT, Bench

THOROUGH = (6, Durations(warm=0.1, load=0.5, latency=1.2, bodies=0.7, events=0.7))
QUICK = (2, Durations(warm=0.1, load=0.3, latency=0.5, bodies=0.3, events=0.3))


def main() -> int:
    """Runs the benchmark. A missed budget is no failure; a proxy that broke is."""
    is_quick = os.environ.get("QUICK", "0") not in ("", "0")
    rounds, durations = QUICK if is_quick else THOROUGH
    options = arguments(rounds)

    proxies = catalogue(options.sidecar)
    if options.only:
        wanted = options.only.split(",")
        if unknown := set(wanted) - {proxy.name for proxy in proxies}:
            print(f"no such proxy: {', '.join(sorted(unknown))}", file=sys.stderr)
            return 2
        proxies = [proxy for proxy in proxies if proxy.name in wanted]
    for proxy in proxies:
        if not proxy.program:
            print(f"skipped: {proxy.name} is not here ({proxy.remedy})")
    proxies = [proxy for proxy in proxies if proxy.program]
    if unbuilt := unbuilt_tools():
        print(f"not built: {', '.join(unbuilt)} (make bench-build)", file=sys.stderr)
        return 1

    allow_many_files()
    # So that a `kill` unwinds, and ends what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    describe(options.rounds, durations)
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as scratch:
        os.chmod(scratch, 0o755)  # the workers of a daemon may run as another user
        bench = Bench(Path(scratch), proxies)
        results = run(bench, options.rounds, durations)

    names = [proxy.name for proxy in proxies]
    print(f"\n{figures(results, names)}\n\nmedian over the rounds (best)")
    for doubt in doubts(results, names):
        print(doubt)
    print(f"\n{verdicts(results)}\n\nInstructions per request: make bench-instructions")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    if bench.failures:
        print("\nfailed:", *bench.failures, sep="\n  ")
    return 1 if bench.failures else 0


def run(bench: Bench, rounds: int, durations: Durations):
    """All of it; progress goes to standard error."""
    begin = time.monotonic()
    with bench.origin():
        bench.measure_memory()
        for number in range(rounds):
            bench.measure_round(number, durations)
            spent = time.monotonic() - begin
            print(f"round {number + 1} of {rounds}, {spent:.0f} s", file=sys.stderr)
    add_latencies(bench.results, DIRECT)
    return bench.results


def describe(rounds: int, durations: Durations) -> None:
    """What kind of run this is."""
    proxy, others = split_cores()
    print(
        f"proxy on core {cores(proxy)}, everything else on {cores(others)}; {rounds} rounds; "
        f"load {durations.load:g} s, latency {durations.latency:g} s, "
        f"bodies {durations.bodies:g} s, events {durations.events:g} s each"
    )
    if proxy == others:
        print("one core only: proxy and load share it, figures are rough")


def cores(numbers: set[int]) -> str:
    """Core numbers for a person."""
    return ",".join(map(str, sorted(numbers)))


def arguments(rounds: int) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="names of proxies, with commas between them")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--json", type=Path, help="also write every figure of every round here")
    parser.add_argument("--sidecar", type=Path, default=RELEASE / "vital-sidecar")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
