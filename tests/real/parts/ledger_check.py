"""Reads the ledger that the sidecar printed at exit. usage: ledger_check.py LOG…

Every account balances, `accepted = exported + dropped + in flight`, and nothing is left in flight.
"""

import re
import sys

ACCOUNT = re.compile(
    r"(\w+) to (\w+): (\d+) accepted = (\d+) exported \+ (\d+) dropped(?: \([^)]*\))? \+ (\d+) in flight"
)

accounts = [match for path in sys.argv[1:] for match in ACCOUNT.finditer(open(path).read())]
for account in accounts:
    accepted, exported, dropped, in_flight = map(int, account.groups()[2:])
    print(account[0])
    if accepted != exported + dropped + in_flight or in_flight:
        sys.exit("it does not balance")
if not accounts:
    sys.exit("no account was printed")
