"""What an export is compared with: every answer of a chart in the configurations within bounds, read off the rows.

A *cell* is a configuration, an event with its data, and the answer: its kind, the configuration after it, the output word.
A *tour* is a walk from the start through all accepted and refused answers, for interpreters that cannot be put anywhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

from fsm import Boolean, Chart, Choice, Counter, Event, Field, Number, Output, State, row
from fsm.chart import Configuration
from fsm.commands.chart_files import find_object
from fsm.condition import label
from fsm.logoff import LOGOFF
from tests.small_charts import FULL, HOSTILE, LURE, PUMP, TOKENS
from tests.support import small
from tests.test_http import http

Values = tuple[object, ...]
"""A configuration in words that every language has: the state's name, and numbers, names, true or false, or none."""


class Cell(NamedTuple):
    here: Values
    event: str
    data: dict[str, object]
    answer: str
    after: Values
    flags: int


class Case(NamedTuple):
    """A chart, and which of its configurations are looked at."""

    chart: Chart
    within: Callable[[Configuration], bool]

    @property
    def name(self) -> str:
        return self.chart.name


def everything(here: Configuration) -> bool:
    return True


def up_to(most: int) -> Callable[[Configuration], bool]:
    return lambda here: all(not isinstance(value, int) or value <= most for value in here[1:])


A, B, C = Counter("a", initial=1), Counter("b", initial=2), Counter("c", initial=3)
DONE = State("done", final=True)
TURN = Chart(  # values change places, which needs an order, or a temporary
    "turn", states=["here", DONE], variables=[A, B, C],
    events=["swap", "round", "shift", "mix", "end"],
    rows=[
        row("swap", "here", "swap", effects=[A.becomes(B + 0), B.becomes(A + 0)]),
        row("round", "here", "round", effects=[A.becomes(B + 0), B.becomes(C + 0), C.becomes(A + 0)]),
        row("shift", "here", "shift", effects=[A.becomes(B + 0), B.becomes(C + 0), C.becomes(0)]),
        row("mix", "here", "mix", guard=A + B < 4, effects=[A.becomes(A + B), B.becomes(A + 1), C.becomes(A + 2 * B)]),
        row("end", "here", "end", target="done"),
    ],
)  # fmt: skip

AMOUNT, TIP = Number("amount", "in cents"), Number("tip", default=1)
DUE, PAID, CHANGE, OPEN, DRAWER = Counter("due"), Counter("paid"), Counter("change"), Boolean("open"), Choice("drawer", ("in", "out"), initial="in")


def till(tip: Number, after: dict[float, str]) -> Chart:  # data, linear guards, a true/false variable, time, coming back to where one is
    return Chart(
        "till: 1", doc='a "till"; see https://example.org/*?*/ \\ for more',
        states=[State("idle", after=after), State("paying", invariant=DUE > 0), State("locked", absorbing=True)],
        events=[
            Event("sell", "something is sold", data=(AMOUNT,)), Event("pay", data=(AMOUNT, tip, Field("note", str, default=""))),
            Event("slam"), Event("tick"), Event("lock"), Event("return"),
        ],
        variables=[DUE, PAID, CHANGE, OPEN, DRAWER],
        rows=[
            row("sell", "idle", "sell", guard=(AMOUNT > 0) & ~OPEN, target="paying", effects=[DUE.becomes(AMOUNT + 0), PAID.becomes(0)]),
            row("more", "paying", "sell", guard=(AMOUNT > 0) & (DUE - PAID >= AMOUNT - 1), effects=[DUE.becomes(DUE + AMOUNT)]),
            row("part", "paying", "pay", guard=PAID + AMOUNT < DUE + tip, effects=[PAID.becomes(PAID + AMOUNT)]),
            row("full", "paying", "pay", guard=PAID + AMOUNT >= DUE + tip, target="idle",
                effects=[CHANGE.becomes(PAID + AMOUNT - DUE - tip), DUE.becomes(0), PAID.becomes(0), OPEN.becomes(True), DRAWER.becomes("out")]),
            row("slam", "idle", "slam", guard=OPEN, effects=[OPEN.becomes(False), DRAWER.becomes("in")], reenter=True),
            row("tick", "idle", "tick", effects=[CHANGE.becomes(0)]),
            row("lock", "idle", "lock", guard=~OPEN & (2 * CHANGE <= PAID + 4), target="locked"),
            row("return", "locked", "return"),
        ],
        outputs=[Output("OWES", 1 << 31, guard=DUE > PAID), Output("UNLOCKED", 1, states=("idle", "paying"))],
        bounds={"amount": 3, "tip": 2},
    )  # fmt: skip


TILL = till(TIP, {30: "lock", 2.5: "tick"})
PLAIN_TILL = till(Number("tip"), {})  # all data have to be given, and nothing is due

WORDS = Counter("class"[:4] + "_"), Counter("constructor"), Counter("init")
RESERVED = Chart(  # names that some language keeps for itself
    "int", doc="names that are taken", states=["while", "__proto__", "done", State("Done", final=True)],
    events=["fire", "start", "constructor", "skip", "a.b", "a b", "error", "toString", "STATES", "0", "*"],
    variables=WORDS,
    rows=[
        row("1", "while", "fire", target="__proto__"), row("2", "__proto__", "start", target="done", effects=[WORDS[1].becomes(1)]),
        row("3", "done", "constructor", target="Done"), row("4", "while", "skip", guard=WORDS[2] < 2, effects=[WORDS[2].becomes(WORDS[2] + 1)]),
        row("5", "while", "a.b", target="done"), row("6", "while", "a b", effects=[WORDS[0].becomes(0)]), row("7", "done", "error"),
        row("8", "done", "toString", target="while"), row("9", "done", "STATES"), row("10", "Done", "0"), row("11", "done", "*", target="__proto__"),
    ],
)  # fmt: skip


def bounded(chart: Chart) -> Callable[[Configuration], bool]:
    """Within the chart's own bounds."""
    counters = [(place, chart.bounds.get(v.name, 5)) for place, v in enumerate(chart.variables, 1) if isinstance(v, Counter)]
    return lambda here: all(here[place] <= most for place, most in counters)  # type: ignore[operator]


def timeless(chart: Chart) -> Chart:
    """The chart without times, and with all data required: for interpreters that would wait, or know no defaults."""
    numbers = {name: Number(name) for name in chart.numbers}
    return Chart(
        chart.name, rows=chart.rows, variables=chart.variables, outputs=chart.outputs, initial=chart.initial, bounds=chart.bounds,
        states=[State(str(s), final=s.final, absorbing=s.absorbing, invariant=s.invariant) for s in chart.states],
        events=[Event(str(e), data=[numbers.get(one.name, one) for one in e.data]) for e in chart.events],
    )  # fmt: skip


EXAMPLES = Path(__file__).parents[2] / "examples" / "charts"


@cache
def examples() -> tuple[Case, ...]:
    """The charts of `examples/charts`, but for those with callables in the guards."""
    names = {file.stem: find_object(f"{file}:{file.stem.upper()}", "a chart") for file in sorted(EXAMPLES.glob("*.py"))}
    charts = [chart for chart in names.values() if isinstance(chart, Chart) and not chart.opaque]
    return tuple(Case(chart, bounded(chart)) for chart in charts)


@cache
def cases() -> tuple[Case, ...]:
    return (
        Case(LOGOFF, small(2, 2, 2)), Case(TURN, up_to(9)), Case(TILL, up_to(4)), Case(RESERVED, everything),
        Case(HOSTILE, everything), Case(TOKENS, everything), Case(PUMP, up_to(4)), Case(LURE, everything), Case(FULL, up_to(4)),
        Case(http("client"), everything), Case(http("server"), everything), *examples(),
    )  # fmt: skip


def plain(here: Configuration) -> Values:
    return (here[0], *(value if value is None or isinstance(value, (bool, int)) else label(value) for value in here[1:]))


def given(chart: Chart, event: Event) -> Iterator[dict[str, object]]:
    """Some data of each kind for an event."""
    values = [range(chart.bounds.get(one.name, 2) + 1) if isinstance(one, Number) else ("x",) for one in event.data]
    for found in product(*values):
        yield dict(zip((one.name for one in event.data), found, strict=True))


def answer(chart: Chart, here: Configuration, event: Event, data: dict[str, object]) -> tuple[str, Configuration]:
    """The kind of the answer and the configuration after it, as the rows have it."""
    rows = chart.rows_for(str(here[0]), event)
    facts = {**chart.values(here), **data}
    for one in rows:
        if one.guard.holds(facts):  # type: ignore[arg-type]
            return "accepted", (one.target, *one.apply(chart.values(here), data).values())  # type: ignore[arg-type]
    return ("refused" if rows else "finished" if chart.state(str(here[0])).final else "illegal"), here


@cache
def cells(case: Case) -> tuple[Cell, ...]:
    """Every cell, those of steps that leave the bounds included; the configurations in the order of their discovery."""
    chart = case.chart
    found: list[Cell] = []
    start = chart.start()
    waiting, seen = deque([start]), {start}
    while waiting:
        here = waiting.popleft()
        for event in chart.events:
            for data in given(chart, event):
                kind, after = answer(chart, here, event, data)
                found.append(Cell(plain(here), str(event), data, kind, plain(after), chart.flags(after)))
                if after not in seen and case.within(after):
                    seen.add(after)
                    waiting.append(after)
    return tuple(found)


@cache
def tours(case: Case) -> tuple[tuple[Cell, ...], ...]:
    """Walks from the start that together have every cell within the bounds in them."""
    start = plain(case.chart.start())
    by_place: dict[Values, list[Cell]] = {}
    for cell in cells(case):
        by_place.setdefault(cell.here, []).append(cell)
    left = {place: [cell for cell in some if cell.after in by_place] for place, some in by_place.items()}
    found: list[tuple[Cell, ...]] = []
    while left[start] or any(left.values()):
        walk: list[Cell] = []
        here = start
        while (way := _to_the_nearest(here, left, by_place)) is not None:
            walk += way
            here = way[-1].after if way else here
            cell = min(left[here], key=lambda one: one.after != here)  # what stays first
            left[here].remove(cell)
            walk.append(cell)
            here = cell.after
        if not walk:
            break
        found.append(tuple(walk))
    return tuple(found)


def _to_the_nearest(here: Values, left: dict[Values, list[Cell]], by_place: dict[Values, list[Cell]]) -> list[Cell] | None:
    """The shortest way to a place where a cell is left."""
    came: dict[Values, Cell | None] = {here: None}
    waiting = deque([here])
    while waiting:
        place = waiting.popleft()
        if left[place]:
            way: list[Cell] = []
            while (cell := came[place]) is not None:
                way.append(cell)
                place = cell.here
            return way[::-1]
        for cell in by_place[place]:
            if cell.after in by_place and cell.after not in came:
                came[cell.after] = cell
                waiting.append(cell.after)
    return None
