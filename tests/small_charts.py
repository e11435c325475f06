"""Small charts, each with one trait: finite, endless, a path that cannot be, a callable guard, names that bite.

And what the tests of graphs, paths and walks share: those charts with bounds, and replaying a trace.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Final

import pytest

from fsm.chart import Chart, Configuration, Event, State, row
from fsm.data import Field, Number
from fsm.logoff.chart import LOGOFF
from fsm.logoff.properties import BOUNDS as LOGOFF_BOUNDS
from fsm.session import Session
from fsm.variable import Boolean, Choice, Counter
from fsm.verdict import judge


class Mode(Enum):
    SLOW = 1
    FAST = 2


N, M = Counter("n"), Counter("m")
MODE = Choice("mode", (None, *Mode))
DONE = State("done", final=True)


def chart(name: str, rows: list[object], states: tuple[object, ...] = ("a", "b", DONE), **more: object) -> Chart:
    events = list(dict.fromkeys(one.event for one in rows))  # type: ignore[attr-defined]
    return Chart(name, states=states, events=events, rows=rows, **more)  # type: ignore[arg-type]


def up(counter: Counter) -> object:
    return counter.becomes(counter + 1)


def down(counter: Counter) -> object:
    return counter.becomes(counter - 1)


PLAIN = chart("plain", [
    row("go", "a", "go", target="b"), row("jump", "a", "jump", target="done"), row("back", "b", "back", target="a"),
    row("stay", "b", "stay"), row("end", "b", "end", target="done"), row("quit", "b", "quit", target="done"),
])
LADDER = chart("ladder", [
    row("climb", "a", "climb", guard=N < 5, effects=[up(N)]), row("top", "a", "top", guard=N == 5, target="done"),
], states=("a", DONE), variables=(N,))
TOKENS = chart("tokens", [
    row("there", "a", "there", guard=N > 0, effects=[down(N), up(M)]),
    row("here", "a", "here", guard=M > 0, effects=[down(M), up(N)]),
    row("end", "a", "end", guard=N == 0, target="done"),
], states=("a", DONE), variables=(Counter("n", initial=3), M))
RESET = chart("reset", [
    row("set", "a", "set", effects=[N.becomes(5)]), row("move", "a", "move", effects=[M.becomes(N + 0)]),
    row("end", "a", "end", target="done"),
], states=("a", DONE), variables=(N, M))
SETTLED = chart("settled", [  # it grows once, above all numbers of the chart, and never again
    row("set", "a", "set", effects=[N.becomes(5)]), row("end", "a", "end", target="done"),
], states=("a", DONE), variables=(Counter("n", initial=1),))
HIGH = chart("high", [
    row("climb", "a", "climb", guard=N < 300, effects=[up(N)]), row("end", "a", "end", guard=N == 300, target="done"),
], states=("a", DONE), variables=(N,))

ENDLESS = chart("endless", [
    row("more", "a", "more", effects=[up(N)]), row("end", "a", "end", target="done"),
], states=("a", DONE), variables=(N,))
ROUND = chart("round", [
    row("go", "a", "go", target="b", effects=[up(M)]), row("back", "b", "back", guard=M > 0, target="a"),
    row("end", "b", "end", target="done"),
], variables=(N, M))
PUMP = chart("pump", [
    row("fill", "a", "fill", guard=N < 2, effects=[up(N)]),
    row("pour", "a", "pour", guard=N > 0, effects=[M.becomes(M + N), N.becomes(0)]),
    row("end", "a", "end", target="done"),
], states=("a", DONE), variables=(N, M))
LATE = chart("late", [  # nothing grows before n has passed 3
    row("first", "a", "first", guard=N < 3, effects=[up(N)]), row("then", "a", "then", guard=N == 3, target="b"),
    row("grow", "b", "grow", effects=[up(M)]), row("end", "b", "end", target="done"),
], variables=(N, M))
SPIRAL = chart("spiral", [  # endless, but no loop is ever the same: only the limit ends the search
    row("move", "a", "move", guard=N > 0, effects=[down(N), up(M)]),
    row("turn", "a", "turn", guard=(N == 0) & (M > 0), effects=[N.becomes(M + 1), M.becomes(0)]),
    row("end", "a", "end", target="done"),
], states=("a", DONE), variables=(Counter("n", initial=1), M))

LURE = chart("lure", [  # mode is FAST in b, and nothing makes it SLOW
    row("go", "a", "go", target="b", effects=[MODE.becomes(Mode.FAST)]),
    row("end", "b", "end", guard=MODE == Mode.FAST, target="done"),
    row("never", "b", "never", guard=MODE == Mode.SLOW, target="done"),
], variables=(MODE,))
BUSY = State("b", invariant=N > 0)
FULL = chart("full", [  # b promises n > 0, and only the chart as a whole knows that n stays above 1 there
    row("more", "a", "more", effects=[up(N)]), row("enter", "a", "enter", guard=N > 1, target="b"),
    row("grow", "b", "grow", effects=[up(N)]), row("one", "b", "one", guard=N == 1, target="done"),
    row("many", "b", "many", guard=N > 1, target="done"),
], states=("a", BUSY, DONE), variables=(N,))
DISTANT = chart("distant", [
    row("more", "a", "more", effects=[up(N)]), row("far", "a", "far", guard=N > 4, target="done"),
    row("near", "a", "near", guard=N == 1, target="done"),
], states=("a", DONE), variables=(N,))

AMOUNT, BALANCE, FROZEN = Number("amount", "in cents"), Counter("balance"), Boolean("frozen")
ACCOUNT = Chart("account", states=["open", State("closed", final=True)], variables=[BALANCE, FROZEN], events=[
    Event("deposit", data=(AMOUNT,)), Event("withdraw", data=(AMOUNT, Field("reason", str, default="none"))), "freeze", "thaw", "close",
], rows=[
    row("deposit", "open", "deposit", guard=AMOUNT > 0, effects=[BALANCE.becomes(BALANCE + AMOUNT)]),
    row("withdraw", "open", "withdraw", guard=~FROZEN & (AMOUNT > 0) & (AMOUNT <= BALANCE),
        effects=[BALANCE.becomes(BALANCE - AMOUNT)]),
    row("freeze", "open", "freeze", guard=~FROZEN, effects=[FROZEN.becomes(True)]),
    row("thaw", "open", "thaw", guard=FROZEN, effects=[FROZEN.becomes(False)]),
    row("close", "open", "close", guard=BALANCE == 0, target="closed"),
], bounds={"balance": 3, "amount": 2})  # fmt: skip

DEADLOCK = chart("deadlock", [
    row("take", "a", "take", guard=N < 2, effects=[up(N)]), row("go", "a", "go", target="b"),
    row("end", "b", "end", guard=N != 2, target="done"),
], variables=(N,))


def opaque(answer: Callable[..., bool]) -> Chart:
    return chart("opaque", [
        row("more", "a", "more", guard=N < 2, effects=[up(N)]), row("ask", "a", "ask", guard=answer, target="done"),
        row("end", "a", "end", target="done"),
    ], states=("a", DONE), variables=(N,))


ODD = 'a "quoted" <b>&amp;</b>: {x|y}\n\u202egnol'
HOSTILE = chart("hostile \x1b[31m", [
    row('r "1"\n', ODD, "go: <now>", target="終わり"), row("r+2", ODD, "=1+1", effects=[up(N)], guard=N < 1),
    row("r > 3", "終わり", "configuration"),
], states=(State(ODD), State("終わり", final=True)), variables=(N,))

CHARTS: Final = [
    (LOGOFF, LOGOFF_BOUNDS), (PLAIN, ()), (LADDER, ()), (TOKENS, ()), (RESET, ()), (LURE, ()),
    (FULL, ("n <= 4",)), (DISTANT, ("n <= 2",)), (DISTANT, ("n <= 5",)), (ENDLESS, ("n <= 1",)),
    (HOSTILE, ()), (opaque(lambda session: True), ()), (opaque(lambda session: False), ()),
]
NAMED: Final = pytest.mark.parametrize(("chart", "bounds"), CHARTS, ids=lambda one: getattr(one, "name", str(one)))


@cache
def new(chart: Chart) -> type[Session]:
    return Session.of(chart)


def replay(chart: Chart, trace: tuple[str, ...]) -> tuple[Session, list[str]]:
    """The trace on a new session, and the state-changing rows it took, as the interpreter of the table names them."""
    session, moves = new(chart)(), []
    for event in trace:
        verdict = judge(chart, session.configuration, event, session)
        assert verdict.row is not None, verdict
        session.fire(event)
        if verdict.row.moves:
            moves.append(verdict.row.id)
    return session, moves


def after(chart: Chart, trace: tuple[str, ...]) -> Configuration:
    session = Session.of(chart)()
    for event in trace:
        session.fire(event)
    return session.configuration
