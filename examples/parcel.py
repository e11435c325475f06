"""The charts of example 17: a parcel as it was stored last year, as it is today, and how one becomes the other.

`fsm migrate --to examples.parcel:PARCEL --check` proves that nothing is lost.
"""

from __future__ import annotations

from fsm import Chart, Choice, Counter, State, row
from fsm.migration import Migration, move

GRAMS, SPEED = Counter("grams"), Choice("speed", ("normal", "fast"), initial="normal")
LAST_YEAR = Chart(
    "parcel",
    states=["packing", "ready", State("sent", final=True)],
    events=["add", "hurry", "close", "send"],
    variables=[GRAMS, SPEED],
    rows=[
        row("add", "packing", "add", effects=[GRAMS.becomes(GRAMS + 500)]),
        row("hurry", "packing", "hurry", effects=[SPEED.becomes("fast")]),
        row("close", "packing", "close", guard=GRAMS > 0, target="ready"),
        row("send", "ready", "send", target="sent"),
    ],
    bounds={"grams": 3_000},
)

WEIGHT, SERVICE = Counter("weight", "in grams"), Choice("service", ("standard", "express"), initial="standard")
PAPERS = Counter("papers", "for heavy parcels")
PARCEL = Chart(
    "parcel",
    states=[
        "packing", State("letter", invariant=(WEIGHT > 0) & (WEIGHT <= 1_000)),
        State("package", invariant=(WEIGHT > 1_000) & (PAPERS > 0)), State("sent", final=True),
    ],
    events=["add", "close", "send"],
    variables=[WEIGHT, SERVICE, PAPERS],
    rows=[
        row("add", "packing", "add", effects=[WEIGHT.becomes(WEIGHT + 500)]),
        row("light", "packing", "close", guard=(WEIGHT > 0) & (WEIGHT <= 1_000), target="letter"),
        row("heavy", "packing", "close", guard=WEIGHT > 1_000, effects=[PAPERS.becomes(1)], target="package"),
        row("send", ("letter", "package"), "send", target="sent"),
    ],
    bounds={"weight": 3_000},
)

MIGRATIONS = (
    Migration(
        LAST_YEAR, PARCEL,
        moves=[
            move("ready", "letter", guard=GRAMS <= 1_000),
            move("ready", "package", guard=GRAMS > 1_000, values={"papers": 1}),
        ],
        renamed={"grams": "weight", "speed": "service"},
        values={"service": {"normal": "standard", "fast": "express"}, "papers": 0},
    ),
)  # fmt: skip
