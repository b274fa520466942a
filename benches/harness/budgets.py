"""Paired ratios, and the budget that each is held against (`docs/performance.md`).

Two proxies are compared within one round only: what the neighbours of this machine do changes from
minute to minute, and for both alike. Deciding is the median over the rounds; the best of one over
the best of the other is printed beside it as a check.
"""

from dataclasses import dataclass
from statistics import median

from .collectors import FAULTS, HEALTHY

#: Figures by proxy, one dict per round.
Results = dict[str, list[dict[str, float]]]


@dataclass(frozen=True)
class Budget:
    """A ratio that should not be exceeded; without `base`, a figure."""

    title: str
    metric: str
    subject: str
    base: str | None
    #: What it is held against: the second column of budgets.
    limit: float
    #: The first column, where there was one.
    first: float | None = None


#: What a collector that fails may cost, beside one that does not.
FAULT_LIMIT = 1.1


def of_fault(fault: str) -> list[Budget]:
    """Spans that nobody takes must not be felt by a request."""
    subject, base = f"sidecar-100-{fault}", f"sidecar-100-{HEALTHY}"
    return [
        Budget(f"collector {fault}: CPU", "request_us", subject, base, FAULT_LIMIT),
        Budget(f"collector {fault}: p50", "p50_us", subject, base, FAULT_LIMIT),
    ]


BUDGETS = [
    Budget("CPU per request / bare hyper", "request_us", "sidecar", "bare-hyper", 1.35, 1.35),
    Budget("… 100 % traces / bare hyper", "request_us", "sidecar-100", "bare-hyper", 1.6, 1.8),
    Budget("… / Envoy full", "request_us", "sidecar", "envoy-full", 0.40, 0.40),
    Budget("… / nginx full", "request_us", "sidecar", "nginx-full", 1.25, 1.25),
    Budget("log on / off", "request_us", "sidecar", "sidecar-silent", 1.1),
    Budget("all gates / Envoy full + JWT", "request_us", "sidecar-gates", "envoy-gates", 0.40),
    Budget("added p50 at 2k/s / nginx", "added_p50_us", "sidecar", "nginx", 1.2, 1.3),
    Budget("10 MiB bodies, CPU / nginx", "body_ms_per_gib", "sidecar", "nginx", 0.7, 0.8),
    Budget("CPU per event / nginx full", "event_us", "sidecar", "nginx-full", 1.1, 1.2),
    Budget("idle connection, KiB / Envoy", "idle_kib", "sidecar", "envoy-full", 1.0, 1.0),
    Budget("memory when started, MiB", "started_mib", "sidecar", None, 30.0, 30.0),
    *(budget for fault in FAULTS for budget in of_fault(fault)),
]


@dataclass(frozen=True)
class Verdict:
    """How a budget fared. `values` is empty where it could not be measured."""

    budget: Budget
    values: list[float]
    best: float | None

    @property
    def median(self) -> float | None:
        return median(self.values) if self.values else None

    @property
    def word(self) -> str:
        if self.median is None:
            return "SKIPPED"
        return "PASS" if self.median <= self.budget.limit else "MISS"


def judge(budget: Budget, results: Results) -> Verdict:
    """Holds what was measured against a budget."""
    subject = column(results, budget.subject, budget.metric)
    if budget.base is None:
        return Verdict(budget, list(subject.values()), min(subject.values(), default=None))
    base = column(results, budget.base, budget.metric)
    # A difference (an added latency) may come out at nothing; there is no ratio to that.
    rounds = [r for r in subject if base.get(r, 0) > 0]
    if not rounds:
        return Verdict(budget, [], None)
    best = min(subject[r] for r in rounds) / min(base[r] for r in rounds)
    return Verdict(budget, [subject[r] / base[r] for r in rounds], best)


def column(results: Results, name: str, metric: str) -> dict[int, float]:
    """One figure of one proxy, by round."""
    rows = enumerate(results.get(name, []))
    return {number: row[metric] for number, row in rows if metric in row}


def add_latencies(results: Results, direct: str) -> None:
    """Takes the origin's own latencies, in the same round, from each proxy's."""
    for metric in ("p50_us", "event_p50_us"):
        floor = column(results, direct, metric)
        for name, rows in results.items():
            for number, row in enumerate(rows):
                if name != direct and metric in row and number in floor:
                    row[f"added_{metric}"] = row[metric] - floor[number]
