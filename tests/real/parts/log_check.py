"""Reads a log's files, compressed or not. usage: log_check.py FILE…  |  log_check.py --ledger ERR SINK FILE…

Every line of every file is one JSON object and ends with a newline, no request is there twice, and a half-made file
is left only beside what it is made of: the process ended meanwhile, and the next one begins again. With a ledger (what the sidecar printed at exit) the files also have as many lines as it counts as
exported, and what the lines say is missing is what it counts as dropped.
"""

import collections
import gzip
import json
import pathlib
import re
import sys


def lines_of(path):
    content = pathlib.Path(path).read_bytes()
    if path.endswith(".gz"):
        content = gzip.decompress(content)
    if content and not content.endswith(b"\n"):
        sys.exit(f"{path} ends within a line: {content[-80:]!r}")
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            entry = json.loads(line)
        except ValueError:
            sys.exit(f"{path}:{number} is not JSON: {line[:200]!r}")
        if not isinstance(entry, dict):
            sys.exit(f"{path}:{number} is not an object")
        yield entry


def main(arguments):
    ledger = None
    if arguments[:1] == ["--ledger"]:
        err, sink = arguments[1:3]
        account = rf"logs to {sink}: (\d+) accepted = (\d+) exported \+ (\d+) dropped.* \+ (\d+) in flight"
        ledger = re.findall(account, pathlib.Path(err).read_text())[-1]
        arguments = arguments[3:]
    if not arguments:
        sys.exit("no file")
    entries = dropped = 0
    ids = collections.Counter()
    for path in arguments:
        if path.endswith(".gz.tmp"):
            plain = re.escape(path.removesuffix(".gz.tmp")) + r"\.\d+"
            if not any(re.fullmatch(plain, other) for other in arguments):
                sys.exit(f"{path} is left, and not what it was made of")
            continue
        for entry in lines_of(path):
            if entry["message"] == "Log lines were dropped":
                dropped += entry["dropped"]
                continue
            entries += 1
            ids[entry.get("requestId")] += 1
    twice = [request for request, count in ids.items() if count > 1 and request]
    print(f"{len(arguments)} files, {entries} lines, {dropped} told as dropped; the ledger: {ledger}")
    if twice:
        sys.exit(f"twice: {twice[:3]}")
    if ledger:
        accepted, exported, lost, in_flight = map(int, ledger)
        if in_flight or accepted != exported + lost:
            sys.exit("the ledger does not balance")
        if (entries, dropped) != (exported, lost):
            sys.exit("the files say something else than the ledger")
        if not lost:
            sys.exit("nothing was dropped: nothing was tested")


if __name__ == "__main__":
    main(sys.argv[1:])
