"""The orders that the tests keep: an older and a present chart, and a migration between them."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from fsm import Chart, Counter, Event, Field, Number, State, Step, row, trigger
from fsm.migration import Migration, move
from fsm.sessions import DurableSession

PAID, TRIES, AMOUNT = Counter("paid"), Counter("tries"), Number("amount")
HOUR = 3600.0
WHO: ContextVar[str | None] = ContextVar("who", default=None)


def order(**changed: Any) -> Chart:
    return Chart(
        "order",
        **{
            "states": ["open", "paid", State("shipping", after={HOUR: "remind", 24 * HOUR: "lose"}), State("gone", final=True)],
            "events": [Event("pay", data=(AMOUNT, Field("by", str | None, default=None))), "ship", "remind", "lose", "arrive"],
            "variables": [PAID, TRIES],
            "rows": [
                row("pay", "open", "pay", guard=AMOUNT >= 1, effects=[PAID.becomes(PAID + AMOUNT)], target="paid"),
                row("again", "paid", "pay", effects=[PAID.becomes(PAID + AMOUNT)]),
                row("ship", "paid", "ship", target="shipping"),
                row("remind", "shipping", "remind", effects=[TRIES.becomes(TRIES + 1)]),
                row("lose", "shipping", "lose", target="gone"),
                row("arrive", "shipping", "arrive", target="gone"),
            ],
            **changed,
        },
    )


ORDER = order()
OLD = Chart(
    "order", states=["open", State("settled", absorbing=True)], events=[Event("pay", data=(AMOUNT,))], variables=[PAID],
    rows=[row("pay", "open", "pay", effects=[PAID.becomes(PAID + AMOUNT)], target="settled")],
)  # fmt: skip
MIGRATIONS = (Migration(OLD, ORDER, moves=[move("settled", "paid")], values={"tries": 0}),)


class Order(DurableSession, chart=ORDER):
    """It sends a message with each shipment; an amount of 13 makes a listener fail, before or after the step."""

    @trigger
    def pay(self, *, amount: int, by: str | None = None) -> None: ...
    @trigger
    def ship(self) -> None: ...
    @trigger
    def remind(self) -> None: ...
    @trigger
    def lose(self) -> None: ...
    @trigger
    def arrive(self) -> None: ...

    def before_pay(self, step: Step) -> None:
        if step.data["by"] == "nobody":
            raise ValueError("nobody pays")

    def after_pay(self, step: Step) -> None:
        if step.data["by"] == "careless":
            raise ValueError("paid, and then this")
        if step.data["by"] == "express":
            self.post("ship")

    def after_ship(self, step: Step) -> None:
        headers = {"who": who} if (who := WHO.get()) is not None else None
        text = f"{self.key} ships".encode("utf-8", "replace")
        self.submit_message(text, "shop@example.org", ["me@example.net"], headers=headers)


class OldOrder(DurableSession, chart=OLD):
    """As it was before."""

    @trigger
    def pay(self, *, amount: int) -> None: ...
