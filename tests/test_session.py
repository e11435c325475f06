"""Sessions: starting, asking, refusing, callable guards and copies; listeners, their order and errors, and what is posted."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import weakref
from dataclasses import dataclass
from typing import Any, Self

import attrs
import pytest
import transitions

from fsm import Refused, Session, Step, StepInProgress, UnknownEvent, trigger
from fsm.chart import Chart, State, row
from fsm.logoff import LOGOFF, GuardedStoreSession, Logoff, StoreSession
from fsm.session import Receipt
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
    ("values", "message"),
    [({"m": 1}, "door has no variable 'm'"), ({"n": -1}, "0 or more, not -1"), ({"n": "1"}, "not '1'"), ({"n": True}, "not True")],
)
def test_a_wrong_start_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
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


# ------------------------------------------------------------------------------------------------------- listeners


class Diary:
    """Records every call, and raises in some."""

    def __init__(self, *raising: str) -> None:
        self.lines: list[str] = []
        self.raising = raising
        self.seen: list[Step] = []

    def _write(self, moment: str, step: Step) -> None:
        self.lines.append(f"{moment} {step.session.state}")
        self.seen.append(step)
        if moment in self.raising:
            raise ZeroDivisionError(moment)

    def before_push(self, step: Step) -> None:
        self._write("before_push", step)

    def before(self, step: Step) -> None:
        self._write("before", step)

    def on_exit_open(self, step: Step) -> None:
        self._write("on_exit_open", step)

    def on_enter_shut(self, step: Step) -> None:
        self._write("on_enter_shut", step)

    def after_push(self, step: Step) -> None:
        self._write("after_push", step)

    def after(self, step: Step) -> None:
        self._write("after", step)

    def on_transition(self, step: Step) -> None:
        self._write("on_transition", step)


BEFORE = ["before_push open", "before open", "on_exit_open open"]


AFTER = ["on_enter_shut shut", "after_push shut", "after shut", "on_transition shut"]


def test_listeners_are_called_in_the_order_of_a_step() -> None:
    door, diary = Door(), Diary()
    assert not door.has_listeners
    assert door.listen(diary) is diary
    assert door.has_listeners
    door.push()
    assert diary.lines == BEFORE + AFTER
    step = diary.seen[0]
    assert (step.event, step.row.id, step.source, step.target) == ("push", "push", "open", "shut")
    assert (step.before, step.after) == (("open", 0), ("shut", 1))
    door.forget(diary)
    door.pull()
    assert diary.lines == BEFORE + AFTER
    assert door._dispatcher is None


def test_a_row_that_stays_leaves_and_enters_no_state() -> None:
    door, diary = Door(n=2), Diary()
    door.listen(diary)
    door.pull()
    assert diary.lines == ["before open", "after open", "on_transition open"]


@pytest.mark.parametrize("moment", [line.split()[0] for line in BEFORE + AFTER])
def test_raising_before_cancels_the_step_and_raising_after_does_not(moment: str) -> None:
    door, diary = Door(), Diary(moment)
    door.listen(diary)
    with pytest.raises(ZeroDivisionError, match=f"^{moment}$"):
        door.push()
    if any(line.startswith(f"{moment} ") for line in BEFORE):
        assert door.configuration == ("open", 0)
    else:
        assert door.configuration == ("shut", 1)
    door.forget(diary)
    assert door.fire("push" if door.state == "open" else "pull")


def test_a_refused_trigger_calls_no_listener() -> None:
    door, diary = Door(), Diary()
    door.listen(diary)
    with pytest.raises(Refused):
        door.pull()
    assert diary.lines == []


def test_methods_of_a_class_listen_to_its_sessions() -> None:
    calls: list[str] = []

    class Loud(Door):
        __slots__ = ()

        def on_enter_shut(self, step: Step) -> None:
            calls.append(f"{self.state} {step.event}")

    Loud().push()
    assert calls == ["shut push"]
    Door().push()
    assert calls == ["shut push"]


def test_a_listening_session_is_freed_without_the_garbage_collector() -> None:
    class Loud(Door):
        __slots__ = ()

        def on_enter_shut(self, step: Step) -> None: ...

    gc.disable()
    try:
        door = Loud()
        door.push()
        gone = weakref.ref(door)
        del door
        assert gone() is None
    finally:
        gc.enable()


class Meddler:
    """Fires a trigger of its own session in the middle of a step, or posts events."""

    def __init__(self, *posts: str, fires: str = "") -> None:
        self.posts, self.fires = posts, fires
        self.receipts: list[Receipt] = []
        self.errors: list[Exception] = []

    def on_enter_shut(self, step: Step) -> None:
        self.receipts += [step.session.post(event) for event in self.posts]
        if self.fires:
            try:
                step.session.fire(self.fires)
            except StepInProgress as error:
                self.errors.append(error)


def test_a_listener_may_not_fire_a_trigger_of_its_own_session() -> None:
    door, meddler = Door(), Meddler(fires="pull")
    door.listen(meddler)
    door.push()
    assert door.state == "shut"
    assert str(meddler.errors[0]).startswith("cannot pull in the middle of push")
    assert "session.post('pull')" in str(meddler.errors[0])


def test_posted_events_run_after_the_step_in_order_and_each_receipt_has_its_own_end() -> None:
    door, meddler = Door(), Meddler("pull", "pull", "burn")
    door.listen(meddler)
    door.push()
    assert [r.done for r in meddler.receipts] == [True, True, True]
    assert meddler.receipts[0].result() is True
    with pytest.raises(Refused, match="cannot pull while open"):
        meddler.receipts[1].result()
    assert meddler.receipts[2].result() is True
    assert door.state == "gone"


def test_a_receipt_that_waits_says_so() -> None:
    with pytest.raises(RuntimeError, match="pull was posted and has not run yet"):
        Receipt("pull").result()


def test_posting_outside_a_step_runs_at_once() -> None:
    door = Door()
    assert door.post("push").result() is True
    assert door.post("push").error is not None
    with pytest.raises(UnknownEvent):
        door.post("kick")


def test_events_posted_by_posted_events_wait_their_turn() -> None:
    order: list[str] = []

    class Chain:
        def on_transition(self, step: Step) -> None:
            order.append(step.event)
            if order == ["push"]:
                step.session.post("pull")
                step.session.post("push")
            elif order == ["push", "pull"]:
                step.session.post("burn")

    door = Door()
    door.listen(Chain())
    door.push()
    assert order == ["push", "pull", "push", "burn"]


def test_what_was_posted_runs_even_when_a_listener_raises_afterwards() -> None:
    door, meddler = Door(), Meddler("pull")
    door.listen(meddler)
    door.listen(Diary("on_transition"))
    with pytest.raises(ZeroDivisionError):
        door.push()
    assert meddler.receipts[0].done
    assert door.state == "open"


def test_who_comes_or_goes_during_a_step_does_so_for_the_next_one() -> None:
    events: list[str] = []

    class Late:
        def after(self, step: Step) -> None:
            events.append(step.event)

    late = Late()

    class Usher:
        def before_push(self, step: Step) -> None:
            step.session.listen(late)

        def before_pull(self, step: Step) -> None:
            step.session.forget(late)

    door = Door()
    door.listen(Usher())
    for event in ("push", "pull", "push"):
        door.fire(event)
    assert events == ["pull"]


def test_forgetting_everyone_in_the_middle_loses_nothing_that_was_posted() -> None:
    class Leaver:
        def after_push(self, step: Step) -> None:
            self.receipt = step.session.post("pull")
            step.session.forget(self)

    door, leaver = Door(), Leaver()
    door.listen(leaver)
    door.push()
    assert leaver.receipt.result() is True
    assert door._dispatcher is None


def test_a_long_chain_of_posted_events_does_not_pile_up() -> None:
    """Each event is run by the step that was first, not by the one that posted it."""

    class Chain:
        left = 3000

        def on_transition(self, step: Step) -> None:
            self.left -= 1
            if self.left:
                self.last = step.session.post("pull" if step.session.state == "shut" else "push")

    door, chain = Door(), Chain()
    door.listen(chain)
    door.push()
    assert (chain.left, door.configuration) == (0, ("open", 1500))
    assert chain.last.result() is True


class Declared(Session, chart=DOOR):
    """The triggers of the next test's classes."""

    @trigger
    def push(self) -> None: ...
    @trigger
    def pull(self) -> None: ...
    @trigger
    def burn(self) -> None: ...


class Aware(Declared):
    def __init__(self, note: str) -> None:
        self.was, self.note = self.state, note


class Adding:
    def on_transition(self, step: Step) -> None:
        session: Any = step.session
        session.seen += 1


class Calling(Declared):
    def __init__(self, note: str) -> None:
        self.seen = 0
        self.listen(Adding())
        self.push()
        super().__init__(n=3)
        self.note = note


class Heir(Aware): ...


class Made(Declared):
    def __new__(cls, note: str = "") -> Self:
        return super().__new__(cls)

    def __init__(self, note: str) -> None:
        self.note = note


@dataclass
class Noted(Declared):
    note: str


@dataclass
class Counting(Declared):
    note: str
    seen: int = 0

    def __post_init__(self) -> None:
        self.push()

    def on_transition(self, step: Step) -> None:
        self.seen += 1


@attrs.define(slots=False)
class Defined(Declared):
    note: str


@pytest.mark.parametrize(
    ("cls", "n"), [(Aware, 0), (Heir, 0), (Made, 0), (Calling, 3), (Noted, 0), (Counting, 1), (Defined, 0)]
)
def test_a_session_begins_whatever_its_class_does_in_its_own_init(cls: type[Any], n: int) -> None:
    session = cls("front")
    assert (session.note, session.configuration[1]) == ("front", n)
    session.burn()
    assert session.configuration == ("gone", n)
    assert vars(session).get("seen", 2) == 2
    again = pickle.loads(pickle.dumps(session))
    assert (again.note, again.configuration) == ("front", session.configuration)
    assert cls.at("shut", n=2).configuration == ("shut", 2)


def test_a_step_is_not_copied_with_its_session() -> None:
    kept: list[Step] = []
    door = Door()
    door.listen(type("L", (), {"on_transition": lambda self, step: kept.append(step)})())
    door.push()
    assert copy.copy(kept[0]) is kept[0]
    assert (type(kept[0]).__name__, isinstance(kept[0], Step)) == ("Step", True)
    for way in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="a step cannot be pickled or copied with its session"):
            way(kept[0])


def test_a_method_that_a_class_gets_later_is_a_listener_too() -> None:
    kind = type("L", (), {"on_transition": lambda self, step: None, "told": 0})
    Door().listen(kind())
    kind.after_push = lambda self, step: setattr(self, "told", self.told + 1)  # type: ignore[attr-defined]
    door = Door()
    listener = door.listen(kind())
    door.push()
    assert listener.told == 1  # type: ignore[attr-defined]
