"""A trace is words between commas; a wrong one says where."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.analysis.trace import Call, TraceError, call, parse_trace, trace_text
from fsm.chart import Chart, Event, row
from fsm.data import Field, Number
from fsm.logoff import LOGOFF

FIELDS = (Field("text", str), Field("maybe", str | None, default=None), Field("rate", float, default=0.5),
          Field("urgent", bool, default=False), Number("times", default=1))  # fmt: skip
SHOP = Chart("shop", states=["open"], rows=[row(f"r{n}", "open", e) for n, e in enumerate(("pay", "note", "pay (cash)", "end"))], events=[
    Event("pay", data=(Number("amount", "in cents"),)), Event("note", data=FIELDS), "pay (cash)", "end",
])  # fmt: skip


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


@pytest.mark.parametrize(("trace", "steps"), [
    ("pay(amount=5),end", [("pay", {"amount": 5}), ("end", {})]),
    (" pay ( amount = 5 ) , end ", [("pay", {"amount": 5}), ("end", {})]),
    ('note(text="late, again"),end', [("note", {"text": "late, again"}), ("end", {})]),
    ("note(text=late)", [("note", {"text": "late"})]), ("note(text=5)", [("note", {"text": "5"})]),
    ('note(text="a \\"b\\" )(, ",urgent=true)', [("note", {"text": 'a "b" )(, ', "urgent": True})]),
    ('note(text="",maybe=null,rate=1e3,urgent=False)', [("note", {"text": "", "maybe": None, "rate": 1000.0})]),
    ("pay (cash),pay(amount=1)", [("pay (cash)", {}), ("pay", {"amount": 1})]),
])  # fmt: skip
def test_data_are_written_like_a_call(trace: str, steps: list[tuple[str, dict[str, object]]]) -> None:
    found = parse_trace(SHOP, trace)
    defaults = {"maybe": None, "rate": 0.5, "urgent": False, "times": 1}
    assert [(one.event, one.data) for one in found] == [
        (name, {**defaults, **data} if name == "note" else data) for name, data in steps
    ]
    assert parse_trace(SHOP, trace_text(found)) == found
    assert parse_trace(SHOP, list(found)) == found


@given(text=st.text(), maybe=st.none() | st.text(), rate=st.floats(allow_nan=False, allow_infinity=False),
       urgent=st.booleans(), times=st.integers(0))  # fmt: skip
def test_a_step_is_read_as_it_is_written(**data: object) -> None:
    event = SHOP.event("note")
    one = call(event, event.complete(data))
    assert parse_trace(SHOP, f"end,{one},end")[1].data == event.complete(data)
    assert parse_trace(SHOP, [one]) == (one,)
    for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert (type(again), again, again.event, again.data) == (Call, one, "note", event.complete(data))


@pytest.mark.parametrize(("trace", "place", "words"), [
    ("end,pay", 2, "event 2 of the trace: cannot pay with these data: it needs amount (in cents)"),
    ("pay(amount=-1)", 1, "amount must be a whole number, 0 or more, not -1"),
    ("pay(amount=1.5)", 1, "not 1.5"), ("pay(amount=true)", 1, "not True"), ("pay(amount=x)", 1, "not 'x'"),
    ("pay(amount=1,tip=2)", 1, "it takes no 'tip' (it takes amount)"), ("end(amount=1)", 1, "it takes no 'amount' (it has no data)"),
    ("pay(5)", 1, "'5' is no datum; write pay(name=value)"), ("pay(amount=1,amount=2)", 1, "pay has amount twice"),
    ("end,pya(amount=1)", 2, "shop has no event 'pya'; did you mean pay?"), ("pay(amount=1", 1, "has no event 'pay(amount=1'"),
    ("note(maybe=1,rate=x)", 1, "it needs text; rate must be a finite number, not 'x'"),
    ("pay(amount=1),,end", 2, "nothing between"), ("pay(amount=1),", 2, "nothing between"),
])  # fmt: skip
def test_wrong_data_say_where_and_what(trace: str, place: int, words: str) -> None:
    with pytest.raises(TraceError) as caught:
        parse_trace(SHOP, trace)
    assert words in str(caught.value)
    assert caught.value.place == place
