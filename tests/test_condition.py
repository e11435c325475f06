"""Conditions are data: they print, compare, evaluate and negate, and refuse what could not be decided."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.analysis.bounds import bounds_of
from fsm.chart import Chart, row
from fsm.condition import ALWAYS, All, AnyOf, Compare, Condition, Opaque, condition, label, negated
from fsm.data import Number
from fsm.errors import DefinitionError
from fsm.variable import Boolean, Choice, Counter

Colour = Enum("Colour", "RED GREEN")
A, B = Counter("a"), Counter("b")
C = Choice("c", (None, *Colour))
N, PAID = Number("n"), Boolean("paid")


@pytest.mark.parametrize(
    ("guard", "text"),
    [
        (A > 0, "a > 0"),
        (A + B == 1, "a + b == 1"),
        (A + 1 >= 3, "a >= 2"),
        (A + A + B < 4, "2 * a + b < 4"),
        (C == Colour.RED, "c == RED"),
        (C == None, "c == none"),
        (C != Colour.RED, "c != RED"),
        (C.among(Colour.RED, None), "c in (RED, none)"),
        (~C.among(Colour.RED, None), "c not in (RED, none)"),
        ((A > 0) & (B > 0) & (C == None), "a > 0 and b > 0 and c == none"),
        ((A > 0) & ((B > 0) | (C == None)), "a > 0 and (b > 0 or c == none)"),
        (~((A > 2) & (B == 0)), "a <= 2 or b > 0"),
        (~(A > 0), "a == 0"),
        (~(A == 0), "a > 0"),
        (A > B, "a > b"),
        (A - 2 * B >= 3, "a >= 2 * b + 3"),
        (A - 2 * B >= -3, "a >= 2 * b - 3"),
        (2 * A + B == N, "2 * a + b == n"),
        (5 > A - B, "a < b + 5"),
        (-A - B >= -3, "a + b <= 3"),
        (B - A != 0, "b != a"),
        (~(A > B), "a <= b"),
        (~(A == B), "a != b"),
        (A - A >= 1, "0 >= 1"),
        (PAID & (N > 0), "paid and n > 0"),
        (~PAID | (N > 0), "not paid or n > 0"),
        (PAID == True, "paid"),  # noqa: E712 - builds data
        (PAID != True, "not paid"),  # noqa: E712 - builds data
        (PAID == False, "not paid"),  # noqa: E712 - builds data
        (PAID.among(True, False), "always"),
        (ALWAYS, "always"),
        (AnyOf(), "never"),
        (negated(ALWAYS), "never"),
    ],
)
def test_it_prints_as_it_is_written(guard: Condition, text: str) -> None:
    assert str(guard) == text


def test_equal_words_are_equal_and_others_are_not() -> None:
    assert (A > 0) == (A > 0)
    assert hash(A > 0) == hash(A > 0)
    assert (A > 0) != (A >= 1)
    assert All(A > 0) != AnyOf(A > 0)
    assert (A > 0) != "a > 0"


VALUES = st.fixed_dictionaries({
    "a": st.integers(0, 4), "b": st.integers(0, 4), "c": st.sampled_from([None, *Colour]), "paid": st.booleans(),
})  # fmt: skip
ATOMS = st.one_of(
    st.sampled_from([PAID.as_condition(), ~PAID, A > B, A - B >= 1, 2 * A - 3 * B == 1, B <= 2 * A - 3]),
    st.tuples(st.sampled_from([A, B, A + B, A + A]), st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
              st.integers(0, 4)).map(lambda t: (t[0] + 0).compare(t[1], t[2])),
    st.sets(st.sampled_from([None, *Colour]), min_size=1).map(lambda v: C.among(*sorted(v, key=label))),
)  # fmt: skip
GUARDS = st.recursive(
    ATOMS, lambda g: st.one_of(st.tuples(g, g).map(lambda t: t[0] & t[1]), st.tuples(g, g).map(lambda t: t[0] | t[1]))
)


@given(GUARDS, VALUES)
def test_the_opposite_holds_exactly_when_it_does_not(guard: Condition, values: dict[str, object]) -> None:
    assert negated(guard).holds(values) is not guard.holds(values)  # type: ignore[arg-type]


@given(GUARDS, VALUES)
def test_what_is_printed_is_what_is_meant(guard: Condition, values: dict[str, object]) -> None:
    names = {colour.name: colour for colour in Colour} | {"none": None} | values
    assert eval(str(guard), {}, names) is guard.holds(values)  # type: ignore[arg-type]


def test_a_condition_is_not_true_or_false_by_itself() -> None:
    with pytest.raises(TypeError, match=r"join conditions with & \| ~"):
        bool(A > 0)


def test_a_callable_guard_runs_for_a_subject_and_is_refused_without_one() -> None:
    def lucky(subject: object) -> bool:
        return subject == 7

    guard = condition(lucky)
    assert isinstance(guard, Opaque)
    assert str(guard).endswith("lucky()")
    assert guard.holds({}, 7)
    assert not negated(guard).holds({}, 7)
    with pytest.raises(DefinitionError, match=r"lucky\(\).*cannot|lucky\(\).*not evaluated"):
        guard.holds({})


@pytest.mark.parametrize("wrong", [7, "a > 0", None])
def test_a_guard_is_a_condition_or_a_callable(wrong: object) -> None:
    with pytest.raises(DefinitionError, match="a guard is a condition over variables, or a callable"):
        condition(wrong)  # type: ignore[arg-type]


def test_a_comparison_knows_its_variables() -> None:
    assert Compare((("a", 1), ("b", 2)), "<", 3).names() == {"a", "b"}
    assert ((A > 0) | (C == None)).names() == {"a", "c"}


# ------------------------------------------------------------------------------ what is known of a callable guard


def has(role: str, session: object) -> bool:
    return role == "admin"


def asks(session: object, role: str) -> bool:
    return role == "admin"


def guarded(text: str, **names: Any) -> str:
    """The fingerprint of a chart whose guard is written so, in a file of its own."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "guards.py")
        path.write_text(text)
        space: dict[str, Any] = {"__name__": "guards", **names}
        exec(compile(text, str(path), "exec"), space)
        chart = Chart("c", states=["a"], events=["go"], rows=[row("r", "a", "go", guard=space["guard"])])
        return chart.fingerprint


LAMBDA = "guard = lambda session: session.n > 1\n"
SAME = [
    (LAMBDA, "# a comment\n\n" + LAMBDA), (LAMBDA, "guard = lambda session:   session.n > 1  # why\n"),
    (LAMBDA, "other, guard = lambda session: session.n > 2, lambda session: session.n > 1\n"),
    ("def make(n):\n    def guard(session): return n\n    return guard\nguard = make(1)", "def make(n):\n\n    def guard(session):\n        # why\n        return n\n    return guard\nguard = make(1)"),
    ("from functools import partial\nguard = partial(has, 'admin')", "from functools import partial\n\nguard = partial(has, 'admin')"),
    ("from functools import partial\nguard = partial(has, object())", "from functools import partial\nguard = partial(has, object())"),
]  # fmt: skip
OTHER = [
    (LAMBDA, "guard = lambda session: session.n > 2\n"),
    ("a, guard = lambda s: s.n > 2, lambda s: s.n > 1", "guard, a = lambda s: s.n > 2, lambda s: s.n > 1"),
    ("def make(n):\n    return lambda s: n\nguard = make(1)", "def make(n):\n    return lambda s: n\nguard = make(2)"),
    ("guard = lambda s, n=1: n", "guard = lambda s, n=2: n"),
    ("from functools import partial\nguard = partial(has, 'admin')", "from functools import partial\nguard = partial(has, 'guest')"),
    ("from functools import partial\nguard = partial(asks, role='admin')", "from functools import partial\nguard = partial(asks, role='guest')"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_comments_and_lines_do_not_change_the_fingerprint_of_a_guard(one: str, other: str) -> None:
    assert guarded(one, has=has, asks=asks) == guarded(other, has=has, asks=asks)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_guards_that_do_something_else_have_other_fingerprints(one: str, other: str) -> None:
    assert guarded(one, has=has, asks=asks) != guarded(other, has=has, asks=asks)


def test_a_function_without_source_is_told_apart_by_its_code() -> None:
    guards = [eval(f"lambda s: s.n > {n}") for n in (1000, 2000)]
    one, other = (Chart("c", states=["a"], events=["go"], rows=[row("r", "a", "go", guard=guard)]) for guard in guards)
    assert one.fingerprint != other.fingerprint


def test_a_value_of_several_words_is_quoted_and_read_again() -> None:
    mode = Choice("mode", ("very fast", "a, b", "slow"), initial="slow")
    chart = Chart("c", states=["a"], events=["go"], variables=[mode], rows=[row("r", "a", "go", guard=mode == "slow", effects=[mode.becomes("a, b")])])
    for guard, text in ((mode == "very fast", "mode == 'very fast'"), (mode == "slow", "mode == slow")):
        assert str(guard) == text
        assert str(bounds_of(chart, [text])[0]) == text
    assert str(mode.among("a, b", "slow")) == "mode in ('a, b', slow)"
    assert chart.rows[0].effect_text == "mode = 'a, b'"
