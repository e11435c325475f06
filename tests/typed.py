"""What type checkers see: checked by mypy in strict mode, not run.  An unused `ignore` here is an error, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, assert_type

from fsm import Choice, Counter, Event, Field, Machine, Number, Receipt, Refused, Session, Step, Verdict, row, trigger
from fsm.chart import Chart, Configuration, Row, State
from fsm.condition import Condition
from fsm.logoff import GuardedStoreSession, Logoff, LogoffStatus, MessageStore, StoreHandle, StoreSession
from fsm.migration import Migration, move
from fsm.runtime import Stream, Timers
from fsm.store import AsyncStore, Store
from fsm.store.message import Message

session = StoreSession(ready=1, deferred=2, peers=0)
assert_type(session.submit(), Literal[True])
assert_type(session.state, str)
assert_type(session.request, Logoff | None)
assert_type(session.ready, int)
assert_type(session.status, LogoffStatus)
assert_type(session.logoff(Logoff.ORDERLY), LogoffStatus)
assert_type(session.store_logoff_transports(2), int)
assert_type(session.may("submit"), Verdict)
assert_type(session.verdicts(), dict[str, Verdict])
assert_type(session.post("submit"), Receipt)
assert_type(session.configuration, Configuration)
assert_type(GuardedStoreSession.restore(session.snapshot()), GuardedStoreSession)
assert_type(MessageStore(session).open(), StoreHandle)

session.sumbit()  # type: ignore[attr-defined]
session.submit(1)  # type: ignore[call-arg]
session.ready = 1  # type: ignore[misc]
session.logoff(2)  # type: ignore[arg-type]
StoreSession(inbound=1)  # type: ignore[call-arg]

COINS = Counter("coins")
COLOUR = Choice("colour", (None, "red"))
assert_type((COINS > 0) & (COLOUR == "red"), Condition)
assert_type(row("in", "locked", "coin", guard=COINS < 9, effects=[COINS.becomes(COINS + 1)]), Row)
TURNSTILE = Chart(
    "turnstile",
    states=["locked", State("gone", final=True)],
    events=["coin"],
    variables=[COINS],
    rows=[row("in", "locked", "coin", target="gone")],
)


class Turnstile(Session, chart=TURNSTILE):
    """A class of one's own."""

    coins: int

    @trigger
    def coin(self) -> None:
        """A coin goes in."""


assert_type(Turnstile().coin(), Literal[True])
assert_type(Turnstile().coins, int)
assert_type(Turnstile.at("locked", coins=3), Turnstile)
assert_type(TURNSTILE.step(("locked", 0), "coin").after, Configuration)
Turnstile().push()  # type: ignore[attr-defined]
Machine(chart=TURNSTILE, model=object)

timers = Timers(on_error=lambda error, session, event: print(session.state, event.upper(), error.args))
assert_type(timers.attach(Turnstile(), elapsed=2.5), Turnstile)
assert_type(timers.restore(Turnstile, {}, away=3), Turnstile)
assert_type(Turnstile().steps(most=5), Stream[Step])
assert_type(Turnstile().due, Mapping[float, str])
moved = Migration(
    "0" * 16, TURNSTILE, moves=[move("shut", "locked", guard=COINS > 3, values={"coins": COINS - 1})],
    renamed={"money": "coins"}, values={"coins": COINS + 1, "colour": {"red": None}, "open": True}, removed=["x"],
)  # fmt: skip
assert_type(Turnstile.restore({}, migrations=[moved]), Turnstile)
Turnstile.restore({}, migrations=["x"])  # type: ignore[list-item]
move("a", guard=3)  # type: ignore[arg-type]


async def follow(session: Turnstile) -> None:
    """The steps of a session are typed."""
    async for step in session.steps():
        assert_type(step, Step)


ACCOUNT = Chart("account", states=["open"], events=[Event("pay", data=(Number("amount"), Field("why", str, default="")))], rows=[
    row("pay", "open", "pay"),
])  # fmt: skip


class Account(Session, chart=ACCOUNT):
    """A class whose event brings data."""

    @trigger
    def pay(self, *, amount: int, why: str = "") -> None:
        """Money comes in."""

    def on_refused(self, refused: Refused) -> None:
        assert_type(refused.verdict, Verdict)

    def after_pay(self, step: Step) -> None:
        assert_type(step.session, Session)
        assert_type(step.data["amount"], int | str | float | None)


class Sender(Session, chart=TURNSTILE):
    """A class with another name for a trigger."""

    @trigger(event="coin")
    def insert(self) -> None:
        """A coin goes in."""


assert_type(Account().pay(amount=5), Literal[True])
assert_type(Account().fire("pay", amount=5), Literal[True])
assert_type(Sender().insert(), Literal[True])
Account().pay(amount="5")  # type: ignore[arg-type]
Account().pay(5)  # type: ignore[call-arg]
Account().pay(amount=5, colour=1)  # type: ignore[call-arg]


def send() -> None:
    for item in Store().outgoing():
        assert_type(item.message, Message)
    assert_type(Store().inbound().message, Message | None)


async def send_in_asyncio() -> None:
    async for item in AsyncStore().outgoing():
        assert_type(item.message, Message)
