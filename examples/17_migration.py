"""Stored sessions move to a changed table: the migration is data, and what it would lose or break is found beforehand.

In the explorer: fsm explore --chart examples.parcel:PARCEL, then #add,add,add,close,send
"""

import json

from examples.parcel import GRAMS, LAST_YEAR, MIGRATIONS, PARCEL
from fsm import DefinitionError, Session, SnapshotError
from fsm.migration import Migration, move
from fsm.migration.check import examine

Old, Parcel = Session.of(LAST_YEAR), Session.of(PARCEL, "Parcel")
stored: list[str] = []
for trace in ("add", "add,hurry,close", "add,add,add,close", "add,close,send"):
    session = Old()
    for event in trace.split(","):
        session.fire(event)
    stored.append(json.dumps(session.snapshot()))

try:
    Parcel.restore(json.loads(stored[0]))
except SnapshotError as error:
    print(str(error).partition(";")[0])
for text in stored:
    parcel = Parcel.restore(json.loads(text), migrations=MIGRATIONS)
    print(json.loads(text)["state"], json.loads(text)["values"], "->", parcel)

for finding in examine(MIGRATIONS[0], LAST_YEAR, PARCEL):  # what `fsm migrate --check` prints
    print(f"{finding.status}: {finding.sentence} ({finding.known})")

print("and what is wrong with this one?")
try:
    Migration(
        LAST_YEAR, PARCEL,
        moves=[move("ready", "letter", guard=GRAMS < 1_000), move("ready", "package", guard=GRAMS > 1_000)],
        renamed={"grams": "weight", "speed": "service"},
        values={"service": {"normal": "standard", "fast": "express"}, "papers": 0},
    )  # fmt: skip
except DefinitionError as error:
    for problem in error.problems:
        print("-", problem)
