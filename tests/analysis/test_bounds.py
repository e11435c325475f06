"""Bounds are read as people type them, or refused in a sentence."""

from __future__ import annotations

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.analysis.bounds import BoundError, bounds_of, read_bound
from fsm.chart import row
from fsm.condition import AnyOf, Compare, Opaque
from fsm.logoff.chart import INBOUND, LOGOFF, REQUEST
from fsm.logoff.flags import Logoff
from fsm.variable import Choice, Counter
from tests import small_charts as small


@pytest.mark.parametrize(("text", "read"), [
    ("INBOUND <= 1", "inbound <= 1"), ("outbound+ready + Deferred <= 1", "outbound + ready + deferred <= 1"),
    ("1 >= inbound", "inbound <= 1"), ("inbound + 1 <= 3", "inbound <= 2"), ("2*ready + 3 < 9 - 2", "2 * ready < 4"),
    ("-inbound >= -2", "inbound <= 2"), ("inbound - 1 <= 1", "inbound <= 2"), ("0 <= peers <= 2", "peers >= 0 and peers <= 2"),
    ("inbound <= 1 and peers <= 1", "inbound <= 1 and peers <= 1"), ("not inbound > 1", "inbound <= 1"),
    ("inbound <= 1 or peers == 0", "inbound <= 1 or peers == 0"), ("inbound + inbound <= 2", "2 * inbound <= 2"),
    ("inbound <= 2 * 3", "inbound <= 6"), ("ready + inbound - ready <= 1", "inbound <= 1"),
    ("inbound <= outbound", "inbound <= outbound"), ("ready > 2 * peers + 1 - inbound", "inbound + ready > 2 * peers + 1"),
    ("request == ORDERLY", "request == ORDERLY"), ("REQUEST != quiet", "request != QUIET"),
    ("request in (None, 'ABORT')", "request in (none, ABORT)"), ("none == request", "request == none"),
    ("request not in [PURGE]", "request != PURGE"), ("  inbound <= 1  ", "inbound <= 1"), ("ready <= outbound + 1 - outbound", "ready <= 1"),
])
def test_bounds_are_read_as_people_type_them(text: str, read: str) -> None:
    assert str(read_bound(LOGOFF, text)) == read


@pytest.mark.parametrize(("text", "told"), [
    ("", "it cannot be read"), ("inbound <=", "it cannot be read"), ("inbound <= 1)", "it cannot be read"),
    ("inbound", "'inbound' compares nothing"), ("INBOUNDS <= 1", "no variable 'INBOUNDS' (it has request, inbound"),
    ("inbound * outbound <= 1", "not multiplied"), ("inbound <= 1.5", "'1.5' is no sum"), ("inbound <= True", "is no sum"),
    ("inbound ** 2 <= 1", "is no sum"), ("1 <= 2", "names no counter"), ("inbound in (1, 2)", "not with in"),
    ("inbound is 1", "not with is"), ("request <= 1", "compared with ==, != or in, not with <="), ("request + 1 <= 1", "no counter"),
    ("request == LATER", "request has no value LATER (it has none, NO_WAIT"), ("__import__('os').system('x') <= 1", "is no sum"),
    ("(inbound <= 1) & (peers <= 1)", "joined with and, or, not"), ("inbound <= 1\x00", "it cannot be read"),
    ("ORDERLY in request", "not with in"), ("request == b'x'", "has no value"), ("(lambda: 1)() <= 1", "is no sum"),
    ("(" * 400 + "inbound" + ")" * 400 + " <= 1", "it cannot be read"),
    ("inbound <= 1 and " * 100 + "inbound <= 1", "characters long, and a bound has at most 1000"),
])
def test_a_bound_that_does_not_fit_is_refused_in_a_sentence(text: str, told: str) -> None:
    with pytest.raises(BoundError) as caught:
        read_bound(LOGOFF, text)
    assert told in str(caught.value)
    assert caught.value.bound == text


def test_conditions_are_bounds_too_unless_they_are_not_this_charts_or_callable() -> None:
    assert bounds_of(LOGOFF, INBOUND <= 1) == bounds_of(LOGOFF, "inbound <= 1") == (Compare((("inbound", 1),), "<=", 1),)
    assert bounds_of(LOGOFF, [REQUEST == Logoff.QUIET]) == bounds_of(LOGOFF, ["request == quiet"])
    with pytest.raises(BoundError, match="endless has no variable 'inbound'"):
        bounds_of(small.ENDLESS, [INBOUND <= 1])
    with pytest.raises(BoundError, match="a callable says nothing"):
        bounds_of(LOGOFF, [AnyOf(INBOUND <= 1, Opaque(lambda session: True))])


def test_names_that_differ_in_case_alone_are_written_exactly() -> None:
    chart = small.chart("cases", [row("end", "a", "end", target="done")], states=("a", small.DONE),
                        variables=(Counter("n"), Counter("N"), Choice("mode", ("x", "X", "dark red", "Ω"), initial="x")))
    assert str(read_bound(chart, "n <= 1 and N <= 2")) == "n <= 1 and N <= 2"
    assert str(read_bound(chart, "mode in ('X', 'DARK RED', 'ω')")) == "mode in (X, 'dark red', Ω)"
    both = small.chart("both", [row("end", "a", "end", target="done")], states=("a", small.DONE),
                       variables=(Counter("aB"), Counter("Ab")))
    with pytest.raises(BoundError, match="'AB' could be aB or Ab; write it exactly"):
        read_bound(both, "AB <= 1")


@given(st.text(max_size=40))
def test_no_text_does_anything_but_be_read_or_refused(text: str) -> None:
    try:
        read_bound(LOGOFF, text)
    except BoundError:
        pass
