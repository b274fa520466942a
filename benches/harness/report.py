"""The tables that are printed."""

from statistics import median

from .budgets import BUDGETS, Results, column, judge

COLUMNS = [
    ("request_us", "CPU µs/req"),
    ("requests_per_second", "req/s"),
    ("core_percent", "core %"),
    ("added_p50_us", "added p50 µs"),
    ("body_ms_per_gib", "bodies ms/GiB"),
    ("event_us", "event µs"),
    ("added_event_p50_us", "added to an event µs"),
    ("started_mib", "started MiB"),
    ("idle_kib", "KiB/idle conn"),
]
#: Beyond this, throughput was somebody else's limit, or CPU somebody else's.
TOLERATED_PERCENT = 10


def figures(results: Results, names: list[str]) -> str:
    """Absolute figures: the median over the rounds, and the best in brackets."""
    head = ["", *(title for _, title in COLUMNS)]
    body = []
    for name in names:
        cells = [list(column(results, name, metric).values()) for metric, _ in COLUMNS]
        if any(cells):
            shown = zip(cells, COLUMNS, strict=True)
            body.append([name, *(cell(values, metric) for values, (metric, _) in shown)])
    return table([head, *body])


def cell(values: list[float], metric: str) -> str:
    """Median and best; a single value stands alone."""
    if not values:
        return "-"
    if len(values) == 1 or metric == "core_percent":
        return number(median(values))
    best = max(values) if metric == "requests_per_second" else min(values)
    return f"{number(median(values))} ({number(best)})"


def doubts(results: Results, names: list[str]) -> list[str]:
    """What may be wrong with these figures, in sentences."""
    lazy, crowded = [], []
    for name in names:
        own = list(column(results, name, "core_percent").values())
        waited = list(column(results, name, "waited_percent").values())
        if own and median(waited) > TOLERATED_PERCENT:
            crowded.append(name)
        elif own and median(own) < 100 - TOLERATED_PERCENT:
            lazy.append(name)
    sentences = []
    if lazy:
        sentences.append(f"req/s is not the limit of {', '.join(lazy)}: it had time to sleep")
    if crowded:
        sentences.append(f"something else ran on the core of {', '.join(crowded)}")
    return sentences


def verdicts(results: Results) -> str:
    """Each budget with its paired ratio and what became of it: held against the column `telemetry
    complete`; that of the first release is there to compare."""
    rows = [
        ["", "first release", "telemetry complete", "median", "lowest–highest", "best/best", ""]
    ]
    for verdict in (judge(budget, results) for budget in BUDGETS):
        values, budget = verdict.values, verdict.budget
        first = f"≤ {budget.first:g}" if budget.first else "–"
        if values:
            spread = f"{min(values):.2f}–{max(values):.2f}" if len(values) > 1 else "-"
            shown = [f"{verdict.median:.2f}", spread, f"{verdict.best:.2f}"]
        else:
            shown = ["-", "-", "-"]
        rows.append([budget.title, first, f"≤ {budget.limit:g}", *shown, verdict.word])
    return table(rows)


def number(value: float) -> str:
    """Three significant digits or so."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(rows: list[list[str]]) -> str:
    """Columns padded to their widest cell, as Markdown."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]

    def line(cells: list[str]) -> str:
        first, *rest = [
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join([first, *rest]) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(rows[0]), rule, *map(line, rows[1:])])
