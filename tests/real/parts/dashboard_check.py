"""Judges a Grafana dashboard: Grafana's own schema loses nothing of it, and promtool reads every expression.

With a Prometheus, every expression is asked there, too: matching that goes wrong shows only with data. It names
the panels that stay empty.

usage: dashboard_check.py FILE [PROMETHEUS_URL]
"""
import json
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request

from grafana_foundation_sdk.models.dashboard import Dashboard

# What Grafana puts in before it asks.
DURATION = re.compile(r"\$__(rate_)?interval")
VARIABLE = re.compile(r"\$\{?\w+\}?")
ANYTHING = ".+"
# Of the Prometheus data source, which Grafana's schema of dashboards does not describe.
OF_THE_SOURCE = (".titleFormat", ".textFormat")


def lost(before, after, place=""):
    """The places of what is in `before` and not, or otherwise, in `after`. Panels are the plugins' own business."""
    if isinstance(before, dict):
        if not isinstance(after, dict):
            return [place]
        return [
            found
            for key, value in before.items()
            if value not in (None, {}, [], "", False) or key in after
            for found in (lost(value, after[key], f"{place}.{key}") if key in after else [f"{place}.{key}"])
        ]
    if isinstance(before, list):
        if not isinstance(after, list) or len(before) != len(after):
            return [place]
        pairs = enumerate(zip(before, after))
        return [found for at, (old, new) in pairs for found in lost(old, new, f"{place}[{at}]")]
    return [] if before == after else [place]


def expressions(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def ask(prometheus, text):
    """How many series there are now, or what is wrong with the question."""
    query = urllib.parse.urlencode({"query": text})
    try:
        with urllib.request.urlopen(f"{prometheus}/api/v1/query?{query}", timeout=10) as answer:
            return len(json.load(answer)["data"]["result"]), None
    except urllib.error.HTTPError as error:
        return 0, error.read().decode(errors="replace")


def main(path, prometheus=None):
    with open(path, encoding="utf-8") as file:
        dashboard = json.load(file)
    model = Dashboard.from_json(dashboard)
    back = json.loads(json.dumps(model, default=lambda part: part.to_json()))
    faults = [f"Grafana's schema does not keep {place}" for place in lost(dashboard, back)
              if not place.endswith(OF_THE_SOURCE)]

    rules = []
    seen = {}
    for number, (title, text) in enumerate(expressions(dashboard)):
        text = VARIABLE.sub(ANYTHING, DURATION.sub("1m", text))
        if prometheus:
            series, wrong = ask(prometheus, text)
            faults += [f"{title}: {wrong}"] if wrong else []
            seen[title] = seen.get(title, 0) + series
        rules.append({"record": f"panel:{number}", "expr": text, "labels": {"title": re.sub(r"\W+", "_", title)}})
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        # JSON is YAML.
        json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
        file.flush()
        judged = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True, timeout=60)
    if judged.returncode:
        faults.append(judged.stdout + judged.stderr)
    print(*faults, sep="\n")
    print(len(rules), "expressions,", len(faults), "faults")
    print(*[f"empty: {title}" for title, series in seen.items() if not series], sep="\n")
    # Nothing judged is nothing found.
    return 1 if faults or not rules else 0


sys.exit(main(*sys.argv[1:]))
