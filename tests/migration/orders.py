"""An order in three versions, and the migrations between them: what the tests of migrations share."""

from __future__ import annotations

from typing import Final

from fsm import Chart, Choice, Counter, State, row
from fsm.migration import Migration, move

TOTAL, SPEED = Counter("total"), Choice("speed", ("fast", "slow"), initial="slow")
FIRST: Final = Chart(
    "order",
    states=["open", "paid", "shipped", State("done", final=True)],
    events=["add", "hurry", "pay", "ship", "arrive"],
    variables=[TOTAL, SPEED],
    rows=[
        row("add", "open", "add", effects=[TOTAL.becomes(TOTAL + 1)]),
        row("hurry", "open", "hurry", guard=SPEED == "slow", effects=[SPEED.becomes("fast")]),
        row("pay", "open", "pay", guard=TOTAL > 0, target="paid"),
        row("ship", "paid", "ship", target="shipped"),
        row("arrive", "shipped", "arrive", target="done"),
    ],
)

AMOUNT, MODE, TRIES = Counter("amount"), Choice("mode", ("express", "plain"), initial="plain"), Counter("tries")
SECOND: Final = Chart(
    "order",
    states=["open", State("paid", invariant=AMOUNT > 0), State("big", invariant=AMOUNT >= 5), "sent", State("done", final=True)],
    events=["add", "pay", "ship", "arrive"],
    variables=[AMOUNT, MODE, TRIES],
    rows=[
        row("add", "open", "add", effects=[AMOUNT.becomes(AMOUNT + 1)]),
        row("pay", "open", "pay", guard=(AMOUNT > 0) & (AMOUNT < 5), target="paid"),
        row("pay.big", "open", "pay", guard=AMOUNT >= 5, target="big"),
        row("ship", "paid", "ship", effects=[TRIES.becomes(TRIES + 1)], target="sent"),
        row("ship.big", "big", "ship", effects=[TRIES.becomes(TRIES + 1)], target="sent"),
        row("arrive", "sent", "arrive", target="done"),
    ],
)
THIRD: Final = Chart(
    "purchase", states=["open", State("done", final=True)], events=["end"], variables=[AMOUNT],
    rows=[row("end", "open", "end", target="done")],
)

MOVES: Final = (
    move("paid", guard=TOTAL < 5), move("paid", "big", guard=TOTAL >= 5), move("shipped", "sent", values={"tries": 1}),
)
WORDS: Final = {
    "renamed": {"total": "amount", "speed": "mode"}, "values": {"mode": {"fast": "express", "slow": "plain"}, "tries": 0},
}
TO_SECOND: Final = Migration(FIRST, SECOND, moves=MOVES, **WORDS)  # type: ignore[arg-type]
TO_THIRD: Final = Migration(
    SECOND, THIRD, moves=[move(state, "open") for state in ("paid", "big", "sent")], removed=["mode", "tries"],
)
