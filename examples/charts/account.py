"""An account with amounts: money comes in, is reserved, captured or released, and goes out.

What comes with an event stands in guards and effects, and is proved for every amount: no balance becomes negative.
"""

from fsm import Chart, Counter, Event, Field, Number, State, row

BALANCE, RESERVED = Counter("balance", "in cents"), Counter("reserved", "for card payments under way, in cents")
AMOUNT, REASON = Number("amount", "in cents"), Field("reason", str, "for the statement", default="")

ACCOUNT = Chart(
    "account",
    doc="money in cents",
    states=["open", State("frozen", "by a court: money may come in, not go out"), State("closed", final=True)],
    events=[
        Event("deposit", "money comes in", data=(AMOUNT, REASON)),
        Event("withdraw", "money goes out", data=(AMOUNT, REASON)),
        Event("reserve", "a card payment begins", data=(AMOUNT,)),
        Event("capture", "the merchant takes some of what is reserved", data=(AMOUNT,)),
        Event("release", "the rest of what is reserved is free again"),
        Event("freeze"), Event("thaw"), Event("close"),
    ],
    variables=[BALANCE, RESERVED],
    rows=[
        row("deposit", ("open", "frozen"), "deposit", guard=AMOUNT > 0, effects=[BALANCE.becomes(BALANCE + AMOUNT)]),
        row("withdraw", "open", "withdraw", guard=(AMOUNT > 0) & (AMOUNT <= BALANCE),
            effects=[BALANCE.becomes(BALANCE - AMOUNT)]),
        row("reserve", "open", "reserve", guard=(AMOUNT > 0) & (AMOUNT <= BALANCE),
            effects=[BALANCE.becomes(BALANCE - AMOUNT), RESERVED.becomes(RESERVED + AMOUNT)]),
        row("capture", "open", "capture", guard=(AMOUNT > 0) & (AMOUNT <= RESERVED),
            effects=[RESERVED.becomes(RESERVED - AMOUNT)]),
        row("release", ("open", "frozen"), "release", guard=RESERVED > 0,
            effects=[BALANCE.becomes(BALANCE + RESERVED), RESERVED.becomes(0)]),
        row("freeze", "open", "freeze", target="frozen"),
        row("thaw", "frozen", "thaw", target="open"),
        row("close", "open", "close", guard=BALANCE + RESERVED == 0, target="closed", why="it must be empty"),
    ],
    bounds={"balance": 3, "reserved": 2, "amount": 2},
)  # fmt: skip
