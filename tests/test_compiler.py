"""The compiled triggers are the rows, and nothing else: readable source, equal to the table everywhere."""

from __future__ import annotations

import inspect
import linecache
import re
from enum import Enum, IntEnum
from itertools import product
from typing import Any

import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from fsm.chart import Chart, Configuration, Output, State, row
from fsm.compiler import source
from fsm.errors import DefinitionError
from fsm.logoff import LOGOFF, StoreSession
from fsm.session import Session
from fsm.variable import Choice, Counter
from tests.support import after, cases, configurations
from tests.test_condition import GUARDS, A, B, C, Colour


def by_hand(chart: Chart, here: Configuration, event: str) -> Configuration | None:
    """What the table says, read the slow way."""
    values = chart.values(here)
    taken = [r for r in chart.rows_for(str(here[0]), event) if r.guard.holds(values)]
    assert len(taken) <= 1
    if not taken:
        return None
    new = {effect.name: effect.new(values) for effect in taken[0].effects}
    return (taken[0].target, *(values | new).values())


def test_the_compiled_table_is_the_table() -> None:
    for here, event in product(configurations(), LOGOFF.events):
        assert after(StoreSession, here, event) == by_hand(LOGOFF, here, event)
        assert StoreSession.unchecked(here).flags == LOGOFF.flags(here)


EFFECTS = st.sampled_from([
    (), (A.becomes(A + 1),), (A.becomes(B + 1), B.becomes(A)), (C.becomes(Colour.RED), A.becomes(0)), (A.becomes(A + B + 3),),
])  # fmt: skip


@settings(max_examples=cases(150))
@given(GUARDS, EFFECTS, EFFECTS, st.booleans())
def test_any_guard_and_effects_are_compiled_truly(guard, effects, others, moves) -> None:  # type: ignore[no-untyped-def]
    """A row and its opposite share a cell; whichever holds is taken, its effects all at once."""
    try:
        chart = Chart("c", states=["s", "t"], events=["e", "back"], variables=[A, B, C], rows=[
            row("yes", "s", "e", guard=guard, effects=effects, target="t" if moves else None),
            row("no", "s", "e", guard=~guard, effects=others, target="t"), row("back", "t", "back", target="s"),
        ], outputs=[Output("G", 1, guard=guard), Output("S", 2, states=("s",))])  # fmt: skip
    except ValueError as error:
        assert "can never be enabled" in str(error) or "cannot be reached" in str(error)
        return
    new = Session.of(chart)
    for a, b, c in product(range(4), range(4), (None, *Colour)):
        here = ("s", a, b, c)
        assert after(new, here, "e") == by_hand(chart, here, "e")
        assert new.unchecked(here).flags == chart.flags(here)


def test_the_source_is_shown_by_debuggers_and_names_its_rows() -> None:
    StoreSession()
    shown = inspect.getsource(StoreSession.submit)
    assert "# 'open.submit'" in shown
    assert "".join(linecache.getlines(inspect.getfile(StoreSession.submit))) == source(LOGOFF)
    assert source(LOGOFF) == source(LOGOFF)
    for one in LOGOFF.rows:  # rows that do the same in several states share their code
        alike = [r for r in LOGOFF.rows if (r.event, r.guard, r.effect_text) == (one.event, one.guard, one.effect_text)]
        assert any(f"# {r.id!r}" in source(LOGOFF) for r in alike)


def test_a_step_calls_nothing() -> None:
    """So that neither a signal handler nor another thread's turn falls into the middle of it."""
    for event in LOGOFF.events:
        steps = inspect.getsource(getattr(StoreSession, event)).splitlines()
        calls = [line for line in steps[1:] if re.search(r"\w\(", line) and not re.search(r"(step|_refuse)\(self, ", line)]
        assert calls == []


def test_values_that_look_like_effects_and_counters_that_look_like_constants() -> None:
    x, y = Choice("x", ("a", "a, y = b"), initial="a"), Choice("y", ("a", "b"), initial="a")
    k = Counter("K0_Colour_RED")
    chart = Chart("c", states=["s", "u"], events=["e", "f", "back"], variables=[x, y, k, C], rows=[
        row("one", "s", "e", effects=[x.becomes("a, y = b")]), row("two", "u", "e", effects=[x.becomes("a"), y.becomes("b")]),
        row("f", "s", "f", guard=(C == Colour.RED) & (k > 0) & (k < 3), target="u"), row("back", "u", "back", target="s"),
        row("g", "s", "back", guard=C == None, effects=[C.becomes(Colour.RED), k.becomes(k + 1)]),
    ])  # fmt: skip
    new = Session.of(chart)
    for here in product(("s", "u"), x.values, y.values, range(4), (None, *Colour)):
        for event in chart.events:
            assert after(new, here, event) == by_hand(chart, here, event)


@pytest.mark.parametrize("member", [IntEnum("Level", "LOW HIGH").HIGH, Enum("Text", {"A": "a"}, type=str).A])
def test_members_that_equal_other_values_are_told_apart(member: Any) -> None:
    x = Choice("x", (None, member))
    chart = Chart("c", states=["s"], events=["e", "f"], variables=[x], rows=[
        row("e", "s", "e", effects=[x.becomes(member)]), row("f", "s", "f", guard=x == member),
    ])  # fmt: skip
    session = Session.of(chart)()
    session.fire("e")
    assert session.may("f")
    assert session.fire("f")
    assert Session.of(chart).restore(session.snapshot()).configuration == ("s", member)


@pytest.mark.parametrize("depth", [250, 2000])
def test_what_python_cannot_compile_is_said_so(depth: int) -> None:
    guard: Any = A > 0
    for n in range(depth):
        guard = (guard | (n == A)) if n % 2 else (guard & (10**6 + n > A))
    with pytest.raises(DefinitionError, match="chart 'deep': it is nested too deeply"):
        Session.of(Chart("deep", states=["s"], events=["e"], variables=[A], rows=[row("e", "s", "e", guard=guard)]))()


def test_many_states_are_compiled() -> None:
    names = [f"s{n}" for n in range(1500)]
    wide = Chart("wide", states=names, events=["e"], rows=[
        row(n, n, "e", target=names[(place + 1) % len(names)], guard=row("x", n, "e").guard) for place, n in enumerate(names)
    ])  # fmt: skip
    session = Session.of(wide)()
    assert all(session.fire("e") for _ in names)
    assert session.state == "s0"


@pytest.mark.parametrize("name", ["a'b", 'q"uote', "new\nline", "back\\slash", "{brace}", "名前", "a: b", "# comment"])
def test_hostile_names_are_only_names(name: str) -> None:
    n = Counter("n")
    kind = Choice("kind", (None, name))
    chart = Chart(name, states=[name, State(f"{name}2", final=True)], events=["go", f"{name}-event"], variables=[n, kind], rows=[
        row(name, name, "go", effects=[kind.becomes(name)], guard=kind == None),
        row(f"{name}!", name, f"{name}-event", guard=kind == name, target=f"{name}2"),
    ])  # fmt: skip
    session = Session.of(chart)()
    assert session.fire("go")
    assert session.configuration == (name, 0, name)
    assert session.fire(f"{name}-event")
    assert session.state == f"{name}2"
