"""A trace is words between commas; a wrong one says where."""

from __future__ import annotations

import pytest

from fsm.analysis.trace import TraceError, parse_trace
from fsm.logoff import LOGOFF


@pytest.mark.parametrize(
    ("trace", "events"),
    [("", ()), ("  ", ()), ("submit", ("submit",)), (" submit , release\n", ("submit", "release"))],
)
def test_a_trace_is_words_between_commas(trace: str, events: tuple[str, ...]) -> None:
    assert parse_trace(LOGOFF, trace) == events


@pytest.mark.parametrize(
    ("trace", "place", "words"),
    [
        ("submit,subtmi", 2, "event 2 of the trace: store-logoff has no event 'subtmi'; did you mean submit?"),
        ("submit,,release", 2, "there is nothing between two commas"),
        ("submit,", 2, "nothing between"), (",", 1, "nothing between"), ("SUBMIT", 1, "no event 'SUBMIT'"),
    ],
)  # fmt: skip
def test_a_wrong_trace_says_where(trace: str, place: int, words: str) -> None:
    with pytest.raises(TraceError) as caught:
        parse_trace(LOGOFF, trace)
    assert words in str(caught.value)
    assert caught.value.place == place
