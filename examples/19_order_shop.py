"""Durable sessions: a shop that is killed in the middle of its work, and sends each receipt once.

    python examples/19_order_shop.py [DATABASE]     handle the day's payments; run it again after a crash

In the explorer: fsm explore --chart examples/19_order_shop.py, then #cancel
"""

import sys
import tempfile
from pathlib import Path

from fsm import Chart, Counter, Event, Number, State, Step, row, trigger
from fsm.sessions import DurableSession, Sessions
from fsm.store import Database

PAID, AMOUNT = Counter("paid"), Number("amount")
ORDER = Chart(
    "order",
    states=["open", "partial", State("paid", absorbing=True), State("cancelled", final=True)],
    events=[Event("pay", data=(AMOUNT,)), "cancel"],
    variables=[PAID],
    rows=[
        row("first", "open", "pay", guard=AMOUNT <= 9, effects=[PAID.becomes(AMOUNT)], target="partial"),
        row("whole", "open", "pay", guard=AMOUNT >= 10, effects=[PAID.becomes(AMOUNT)], target="paid"),
        row("more", "partial", "pay", guard=PAID + AMOUNT <= 9, effects=[PAID.becomes(PAID + AMOUNT)]),
        row("rest", "partial", "pay", guard=PAID + AMOUNT >= 10, effects=[PAID.becomes(PAID + AMOUNT)], target="paid"),
        row("cancel", "open", "cancel", target="cancelled"),
    ],
    bounds={"paid": 12, "amount": 3},
)


class Order(DurableSession, chart=ORDER):
    """An order of 10."""

    @trigger
    def pay(self, *, amount: int) -> None: ...
    @trigger
    def cancel(self) -> None: ...

    def on_enter_paid(self, step: Step) -> None:
        """The receipt is part of the transaction of the payment: it is sent if, and only if, that has happened."""
        self.submit_message(f"receipt for {self.key}".encode(), "shop@example.org", ["customer@example.net"])


def payments() -> list[tuple[str, str, int]]:
    """What the bank delivers, again from the beginning after each crash: an id, an order and an amount."""
    return [(f"bank-{number}", f"order-{number % 100}", 3 + number % 3) for number in range(350)]


def work(where: str) -> None:
    database = Database(where)
    with Sessions(database, Order) as orders:
        for id, order, amount in payments():
            orders.fire(order, "pay", amount=amount, event_id=id)
        taken = sum(one.values["paid"] for one in orders.list())
        history = [one for order in orders.list() for one in orders.history(order.key)]
        refused = [one for one in history if not one]
        print(f"{len(history)} payments answered: {taken} taken, and {len(refused)} payments refused")
        print(f"{len(list(orders.list('paid')))} orders paid, {len(list(orders.list('partial')))} in part")
    contents = [database.message("default", one.id) for one in database.messages()]
    receipts = [one.content for one in contents if one is not None]
    print(f"{len(receipts)} receipts for {len(set(receipts))} orders wait for the mail server")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            work(str(Path(folder, "shop.db")))
