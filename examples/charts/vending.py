"""A vending machine that gives change: it sells only what it can give change for, whatever the price."""

from fsm import Chart, Counter, Event, Field, Number, State, row

CREDIT, TILL, STOCK = Counter("credit", "put in"), Counter("till", "small coins"), Counter("stock", initial=2)
DUE = Counter("due", "change to be given")
AMOUNT, PRICE = Number("amount", "in tens of cents"), Number("price", "in tens of cents")

VENDING = Chart(
    "vending",
    doc="a machine with drinks; money in tens of cents",
    states=[
        State("ready", invariant=(CREDIT == 0) & (DUE == 0)),
        State("paying", invariant=(CREDIT > 0) & (DUE == 0), after={45: "waited"}),
        State("giving", "change falls out", invariant=(CREDIT == 0) & (DUE <= TILL)),
        State("retired", "emptied and taken away", final=True),
    ],
    events=[
        Event("note", "a note or a large coin", data=(AMOUNT,)), Event("coin", "a small coin"),
        Event("choose", data=(PRICE, Field("drink", str, default="water"))),
        Event("waited", "nobody chose"), Event("give_back", "the button"), Event("given", "all the change"),
        Event("fill", "a bottle"), Event("retire"),
    ],
    variables=[CREDIT, TILL, STOCK, DUE],
    rows=[
        row("note", ("ready", "paying"), "note", guard=AMOUNT > 1, effects=[CREDIT.becomes(CREDIT + AMOUNT)],
            target="paying"),
        row("coin", ("ready", "paying"), "coin", effects=[CREDIT.becomes(CREDIT + 1), TILL.becomes(TILL + 1)],
            target="paying"),
        row("sell", "paying", "choose",
            guard=(PRICE > 0) & (PRICE <= CREDIT) & (CREDIT - PRICE <= TILL) & (STOCK > 0),
            effects=[DUE.becomes(CREDIT - PRICE), CREDIT.becomes(0), STOCK.becomes(STOCK - 1)], target="giving",
            why="the change is in the till"),
        row("given", "giving", "given", effects=[TILL.becomes(TILL - DUE), DUE.becomes(0)], target="ready"),
        row("back", "paying", "give_back", effects=[CREDIT.becomes(0)], target="ready",
            guard=CREDIT > TILL, why="the notes themselves"),
        row("back-in-coins", "paying", "give_back", effects=[DUE.becomes(CREDIT), CREDIT.becomes(0)], target="giving",
            guard=CREDIT <= TILL),
        row("waited", "paying", "waited", effects=[CREDIT.becomes(0)], target="ready", why="it keeps the money"),
        row("fill", "ready", "fill", effects=[STOCK.becomes(STOCK + 1)]),
        row("retire", "ready", "retire", effects=[TILL.becomes(0), STOCK.becomes(0)], target="retired"),
    ],
    bounds={"credit": 3, "till": 2, "stock": 2, "amount": 3, "price": 3},
)  # fmt: skip
