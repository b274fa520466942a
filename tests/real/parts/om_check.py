"""Judges an exposition on stdin. usage: om_check.py openmetrics|text

Beyond what the parser of prometheus_client sees by itself (a missing `# EOF`, counters without
`_total`, buckets out of order, exemplars that are too long), no series may appear twice.
"""

import sys

if sys.argv[1] == "openmetrics":
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
else:
    from prometheus_client.parser import text_string_to_metric_families as parse

seen = set()
families = 0
for family in parse(sys.stdin.read()):
    families += 1
    for sample in family.samples:
        series = (sample.name, tuple(sorted(sample.labels.items())))
        if series in seen:
            sys.exit(f"{series} appears twice")
        seen.add(series)
if not seen:
    sys.exit("no series at all")
print(f"{families} families, {len(seen)} series")
