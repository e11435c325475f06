"""Orders with a session, and the chart that they had before."""

from __future__ import annotations

from django.db import models
from django.db.models.fields.json import KT

from fsm import Chart, Counter, Event, Number, Session, State, row, trigger
from fsm.contrib.django import SessionField, SessionModel
from fsm.migration import Migration, move

TOTAL, AMOUNT = Counter("total"), Number("amount")
FLOW = Chart(
    "order", states=["cart", "paid", State("shipped", final=True)], variables=[TOTAL],
    events=[Event("pay", data=(AMOUNT,)), "ship", "drop"],
    rows=[
        row("pay", "cart", "pay", guard=AMOUNT > 0, effects=[TOTAL.becomes(TOTAL + AMOUNT)], target="paid"),
        row("ship", "paid", "ship", target="shipped"), row("drop", "paid", "drop", target="cart", effects=[TOTAL.becomes(0)]),
    ],
)  # fmt: skip
OLD = Chart(
    "order", states=["new", State("paid", final=True)], variables=[TOTAL], events=["pay"], rows=[row("pay", "new", "pay", target="paid")],
)  # fmt: skip
FROM_OLD = Migration(OLD, FLOW, moves=[move("new", "cart"), move("paid")])


class OrderFlow(Session, chart=FLOW):
    total: int

    @trigger
    def pay(self, *, amount: int) -> None: ...

    @trigger
    def ship(self) -> None: ...

    @trigger
    def drop(self) -> None: ...


class Order(SessionModel):
    name = models.CharField(max_length=20, default="a")
    flow = SessionField(
        OrderFlow, migrations=[FROM_OLD],
        permissions={"ship": "shop.ship_order", "drop": lambda order, user: user.username != "clerk" or order.name == "own"},
    )  # fmt: skip
    state = models.GeneratedField(expression=KT("flow__state"), output_field=models.CharField(max_length=20), db_persist=True)

    class Meta:
        permissions = [("ship_order", "Can ship an order")]

    def __str__(self) -> str:
        return f"order {self.pk}"
