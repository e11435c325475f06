"""An order with payments, partial refunds, and the table it had before, whose stored orders are moved to this one.

`fsm migrate --to examples/charts/order.py:ORDER --check` proves that every order of the old table has a place.
"""

from fsm import Chart, Counter, Event, Field, Number, State, row
from fsm.migration import Migration, move

PRICE, AMOUNT = Number("price", "of an item, in cents"), Number("amount", "in cents")
REASON = Field("reason", str | None, "as the customer gave it", default=None)
TOTAL, PAID, REFUNDED = Counter("total"), Counter("paid"), Counter("refunded")

ORDER = Chart(
    "order",
    doc="from the cart to the door, and back",
    states=[
        State("cart", invariant=PAID + REFUNDED == 0),
        State("placed", "waits for payments", invariant=(PAID < TOTAL) & (REFUNDED == 0), after={86_400: "expire"}),
        State("paid", invariant=(PAID == TOTAL) & (REFUNDED <= PAID)),
        State("shipped", invariant=(PAID == TOTAL) & (REFUNDED <= PAID)),
        State("completed", "nothing more can be asked", final=True, invariant=REFUNDED <= PAID),
        State("cancelled", "all that was paid is back", final=True, invariant=REFUNDED == PAID),
    ],
    events=[
        Event("add", "an item", data=(PRICE,)), Event("place"), Event("pay", data=(AMOUNT,)), Event("expire"),
        Event("ship"), Event("refund", "all or a part", data=(AMOUNT, REASON)), Event("cancel", data=(REASON,)),
        Event("complete", "the time to send it back is over"),
    ],
    variables=[TOTAL, PAID, REFUNDED],
    rows=[
        row("add", "cart", "add", guard=PRICE > 0, effects=[TOTAL.becomes(TOTAL + PRICE)]),
        row("place", "cart", "place", guard=TOTAL > 0, target="placed"),
        row("pay-part", "placed", "pay", guard=(AMOUNT > 0) & (PAID + AMOUNT < TOTAL),
            effects=[PAID.becomes(PAID + AMOUNT)]),
        row("pay-rest", "placed", "pay", guard=PAID + AMOUNT == TOTAL, effects=[PAID.becomes(PAID + AMOUNT)],
            target="paid"),
        row("ship", "paid", "ship", guard=REFUNDED < PAID, target="shipped", why="not what was refunded as a whole"),
        row("refund", ("paid", "shipped"), "refund", guard=(AMOUNT > 0) & (REFUNDED + AMOUNT <= PAID),
            effects=[REFUNDED.becomes(REFUNDED + AMOUNT)]),
        row("cancel", ("cart", "placed", "paid"), "cancel", effects=[REFUNDED.becomes(PAID)], target="cancelled"),
        row("expire", "placed", "expire", effects=[REFUNDED.becomes(PAID)], target="cancelled"),
        row("complete", "shipped", "complete", target="completed"),
    ],
    bounds={"total": 3, "price": 2, "amount": 2},
)  # fmt: skip

LAST_YEAR = Chart(
    "order",
    doc="as orders were stored last year: paid at once or not at all",
    states=["new", "paid", State("sent", final=True), State("void", final=True)],
    events=[Event("add", data=(PRICE,)), "pay", "send", "drop"],
    variables=[TOTAL],
    rows=[
        row("add", "new", "add", guard=PRICE > 0, effects=[TOTAL.becomes(TOTAL + PRICE)]),
        row("pay", "new", "pay", guard=TOTAL > 0, target="paid"),
        row("send", "paid", "send", target="sent"),
        row("drop", ("new", "paid"), "drop", target="void"),
    ],
    bounds={"total": 3, "price": 2},
)

MIGRATIONS = (
    Migration(
        LAST_YEAR, ORDER,
        moves=[
            move("new", "cart"), move("paid", values={"paid": TOTAL}),
            move("sent", "completed", values={"paid": TOTAL}), move("void", "cancelled"),
        ],
        values={"paid": 0, "refunded": 0},
    ),
)  # fmt: skip
