"""Random charts and random migrations: what was declared without complaint is legal, and each complaint can be replayed."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import (
    assume,
    given,
    settings,
    strategies as st,
)

from fsm import Chart, Choice, Counter, DefinitionError, Session, SnapshotError, State, row
from fsm.analysis.reachability import Explorer
from fsm.analysis.trace import parse_trace
from fsm.condition import ALWAYS, All, Condition
from fsm.migration import Migration, move
from fsm.migration.check import examine
from fsm.migration.moves import Moves
from fsm.snapshot import encode
from tests.support import cases

A, B = Counter("a"), Counter("b")
MODE = Choice("mode", ("slow", "fast"), initial="slow")
X, Y = Counter("x"), Counter("y")
GAIT = Choice("gait", ("walk", "run"), initial="walk")
OLD_STATES, NEW_STATES = ("s0", "s1", "s2"), ("t0", "t1", "t2")

comparisons = st.builds(
    lambda total, op, bound: getattr(total, f"__{op}__")(bound),
    st.sampled_from([A + 0, B + 0, A + B, 2 * A + B if hasattr(A, "__rmul__") else A + A + B]),
    st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]), st.integers(0, 3),
)
guards = st.one_of(st.just(ALWAYS), comparisons, st.sampled_from(["slow", "fast"]).map(lambda value: MODE == value))
effects = st.lists(
    st.sampled_from([A.becomes(A + 1), B.becomes(B + 1), B.becomes(A + B), A.becomes(0), MODE.becomes("fast"), MODE.becomes("slow")]),
    max_size=2, unique_by=lambda effect: effect.name,
)


@st.composite
def old_charts(draw: Any) -> Chart:
    """A chart whose states are reached one after the other, with loops in each."""
    rows = [row(f"next{n}", OLD_STATES[n], f"next{n}", guard=draw(guards), effects=draw(effects),
                target=(*OLD_STATES, "end")[n + 1]) for n in range(3)]
    rows += [row(f"stay{n}", state, f"stay{n}", guard=draw(guards), effects=draw(effects)) for n, state in enumerate(OLD_STATES)]
    try:
        return Chart("old", states=[*OLD_STATES, State("end", final=True)], events=[one.event for one in rows],
                     rows=rows, variables=[A, B, MODE])
    except DefinitionError:
        assume(False)
        raise


invariants = st.one_of(
    st.just(ALWAYS), st.just(X > 0), st.just(X + Y >= 1), st.just(Y < 3), st.just(GAIT == "walk"), st.just(GAIT != "walk"), st.just((X == 0) | (Y > 1)),
)


@st.composite
def new_charts(draw: Any) -> Chart:
    """Any states with any invariants; each is left for the end, and entered where its invariant holds."""
    states = [State(name, invariant=draw(invariants)) for name in NEW_STATES]
    rows = [row(f"go{n}", "begin", f"go{n}", guard=state.invariant, target=str(state)) for n, state in enumerate(states)]
    rows += [row(f"end{n}", str(state), "stop", target="end") for n, state in enumerate(states)]
    return Chart("new", states=["begin", *states, State("end", final=True)], events=["go0", "go1", "go2", "stop"],
                 rows=rows, variables=[X, Y, GAIT])


counts = st.sampled_from([0, 1, A, B, A + B, A + 2, 2 * B if hasattr(A, "__rmul__") else B + B, B - 1, A + B - 2])
gaits = st.sampled_from([{"slow": "walk", "fast": "run"}, {"slow": "run", "fast": "walk"}, "walk", "run"])


@st.composite
def all_moves(draw: Any) -> list[Any]:
    found = []
    for state in OLD_STATES:
        targets = st.sampled_from(NEW_STATES)
        split: Condition = draw(st.one_of(st.none(), comparisons))
        own = draw(st.one_of(st.just({}), counts.map(lambda value: {"x": value})))
        if split is None:
            found.append(move(state, draw(targets), values=own))
        else:
            other = draw(st.sampled_from([~split, ~split, ~split, All(~split, A > 0)]))
            found += [move(state, draw(targets), guard=split, values=own), move(state, draw(targets), guard=other)]
    return found


@settings(max_examples=cases(120), deadline=None)
@given(old_charts(), new_charts(), all_moves(), counts, counts, gaits)
def test_a_declared_migration_is_legal_and_a_refused_one_shows_why(
    old: Chart, new: Chart, moves: list[Any], x: Any, y: Any, gait: Any
) -> None:
    words: dict[str, Any] = {
        "moves": moves, "values": {"x": x, "y": y, "gait": gait}, "renamed": {"mode": "gait"}, "removed": ["a", "b"],
    }
    if not isinstance(gait, dict):
        words["renamed"], words["removed"] = {}, ["a", "b", "mode"]
    bounds = [A <= 4, B <= 4]
    loose = Moves(old, new, **words)
    try:
        Migration(old, new, **words)
    except DefinitionError as error:
        for problem in error.problems:
            trace = re.search(r"\(after ([^()]*)\)$", problem)
            assert trace is not None, problem
            replays(loose, "" if trace[1] == "the start" else trace[1])
    else:
        explorer = Explorer(old, bounds)
        for here in explorer:
            moved = loose.migrated(encode(old, here))
            assert Session.of(new).restore(moved)
    *findings, applied = examine(loose, old, new, bounds)
    assert (applied.status == "fails") is any(one.status == "fails" for one in findings), (findings, applied)
    for one in (*findings, applied):
        if one.trace is not None:
            replays(loose, ",".join(one.trace))


def replays(moves: Moves, trace: str) -> None:
    assert moves.old_chart is not None
    session = Session.of(moves.old_chart)()
    for event in parse_trace(session.chart, trace):
        session.fire(event)
    try:
        moves.migrated(session.snapshot())
    except SnapshotError:
        return
    raise AssertionError(f"{trace} shows nothing wrong")
