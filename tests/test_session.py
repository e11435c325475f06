"""Sessions: starting, asking, refusing, callable guards, and what a copy is."""

from __future__ import annotations

import copy
import pickle
import sys
from typing import Any

import pytest
import transitions

from fsm import Refused, Session, UnknownEvent, trigger
from fsm.chart import Chart, State, row
from fsm.logoff import LOGOFF, GuardedStoreSession, Logoff, StoreSession
from fsm.variable import Counter

N = Counter("n")


DOOR = Chart(
    "door",
    states=["open", "shut", State("gone", final=True)],
    events=["push", "pull", "burn"],
    variables=[N],
    rows=[
        row("push", "open", "push", effects=[N.becomes(N + 1)], target="shut"),
        row("pull", "shut", "pull", target="open"),
        row("pull-open", "open", "pull", guard=N > 1),
        *(row(f"burn-{state}", state, "burn", target="gone") for state in ("open", "shut")),
    ],
)


class Door(Session, chart=DOOR):
    """A door."""

    __slots__ = ("_n",)

    @trigger
    def push(self) -> None:
        """Push it."""

    @trigger
    def pull(self) -> None:
        """Pull it."""

    @trigger
    def burn(self) -> None:
        """Burn it."""


def test_a_class_made_on_the_spot_has_all_triggers() -> None:
    door = Session.of(DOOR)()
    assert door.fire("push") is True
    assert door.n == 1  # type: ignore[attr-defined]


def test_a_guard_that_is_called_gets_the_session() -> None:
    def dry(session: Any) -> bool:
        return bool(session.n == 0)

    chart = Chart("match", states=["whole", State("burnt", final=True)], events=["strike"], variables=[N],
                  rows=[row("strike", "whole", "strike", guard=dry, target="burnt")])  # fmt: skip
    make = Session.of(chart)
    wet = make(n=1)
    with pytest.raises(Refused, match=r"needs .*dry\(\)"):
        wet.fire("strike")
    assert make().fire("strike")
    assert not wet.may("strike")
    assert wet.may("strike").legal == ()


@pytest.mark.parametrize(
    ("values", "told"),
    [({"m": 1}, "door has no variable 'm'"), ({"n": -1}, "0 or more, not -1"), ({"n": "1"}, "not '1'"), ({"n": True}, "not True")],
)
def test_a_wrong_start_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Door(**values)


def test_unknown_events_are_named_and_nothing_changes() -> None:
    door = Door()
    for ask in (door.fire, door.may, door.post):
        with pytest.raises(UnknownEvent, match="door has no event 'pusch'; did you mean push"):
            ask("pusch")
    with pytest.raises(UnknownEvent, match=r"it has push, pull, burn"):
        door.fire("__init__")
    assert door.configuration == ("open", 0)


def test_a_refusal_is_a_machine_error_with_the_verdict() -> None:
    door = Door()
    with pytest.raises(transitions.MachineError) as caught:
        door.pull()
    assert isinstance(caught.value, Refused)
    assert caught.value.verdict == door.may("pull")
    assert caught.value.value == str(caught.value)
    assert str(caught.value) == "cannot pull while open: needs n > 1; n is 0 (legal now: push, burn)"


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
@pytest.mark.parametrize("kind", [StoreSession, GuardedStoreSession])
def test_copies_are_independent_and_equal(make: Any, kind: type[StoreSession]) -> None:
    session = kind(ready=2)
    session.listen(type("L", (), {"on_transition": lambda self, step: None})())
    session.outbound_begin()
    other = make(session)
    assert type(other) is kind
    assert other.configuration == session.configuration
    other.logoff(Logoff.ORDERLY)
    assert (session.state, other.state) == ("open", "draining")
    session.outbound_sent()
    assert (session.outbound, other.outbound) == (0, 1)


class Named(StoreSession):
    """A session with things of its own, in a slot and in the dictionary."""

    __slots__ = ("__dict__", "label")


def test_copies_keep_what_a_subclass_added() -> None:
    named = Named(ready=1)
    named.label, named.notes = "a", ["x"]  # type: ignore[attr-defined]
    other = copy.deepcopy(named)
    assert (other.label, other.notes, other.ready) == ("a", ["x"], 1)  # type: ignore[attr-defined]
    assert other.notes is not named.notes  # type: ignore[attr-defined]


def test_a_session_is_small_and_its_fields_are_read_only() -> None:
    session = StoreSession()
    assert sys.getsizeof(session) <= 120
    for name in ("state", "request", *LOGOFF.names, "status", "complete", "submit"):
        with pytest.raises(AttributeError):
            setattr(session, name, 1)


def positive(session: Any) -> bool:
    return 10 // session.n > 2  # must not be asked while n is 0


def test_a_callable_guard_is_asked_only_after_the_conditions_before_it() -> None:
    m = Counter("m")
    chart = Chart("c", states=["s", State("t", final=True)], events=["e", "up"], variables=[N, m], rows=[
        row("one", "s", "e", guard=(N >= 1) & (m == 0) & row("x", "s", "e", guard=positive).guard, target="t"),
        row("two", "s", "e", guard=(N >= 2) & (m > 0) & row("x", "s", "e", guard=positive).guard),
        row("up", "s", "up", effects=[N.becomes(N + 1)]),
    ])  # fmt: skip
    session = Session.of(chart)()
    with pytest.raises(Refused, match=r"needs \(n >= 1 or"):
        session.fire("e")
    assert not session.may("e")
    assert session.verdicts()["up"].legal == ("up",)
    session.fire("up")
    assert session.may("e").legal == ("e", "up")
    assert session.fire("e")


def test_notebooks_show_where_a_session_stands() -> None:
    session = StoreSession(ready=1)
    session.outbound_begin()
    svg = session._repr_svg_()
    assert svg is not None
    assert svg.lstrip().startswith("<?xml") or "<svg" in svg[:300]
    bundle = session._repr_mimebundle_()
    assert bundle["image/svg+xml"] == svg
    other = StoreSession()
    assert other._repr_svg_() != svg
