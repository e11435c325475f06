"""Listeners: their names and kinds, refusals, what is posted and interrupted, and which guards are called."""

from __future__ import annotations

import abc
import gc
import linecache
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial, partialmethod
from threading import Barrier, Thread
from typing import Any, Protocol, runtime_checkable

import pytest

from fsm import Chart, Counter, DefinitionError, Refused, Session, Step, StepInProgress, row, trigger
from fsm.session import Receipt
from tests.test_session import DOOR, Door

GATE = Chart("gate", states=["up", "down"], events=["lower", "raise_"], rows=[
    row("lower", "up", "lower", target="down"), row("raise", "down", "raise_", target="up"),
])  # fmt: skip


class Triggers:
    """The triggers of a door, for classes of many shapes."""

    __slots__ = ()

    @trigger
    def push(self) -> None: ...

    @trigger
    def pull(self) -> None: ...

    @trigger
    def burn(self) -> None: ...


@runtime_checkable
class Pushed(Protocol):
    def push(self) -> Any: ...


class Touchy:
    """A descriptor that cannot be read from a class."""

    def __get__(self, instance: object, owner: type) -> int:
        raise RuntimeError("not from the class")


@pytest.mark.parametrize("base", [abc.ABC, Hashable, Pushed])
def test_a_session_class_may_have_any_other_base(base: type) -> None:
    kind: Any = type(base)("Mine", (Triggers, Session, base), {"__hash__": object.__hash__}, chart=DOOR)
    assert kind().push() is True


@pytest.mark.parametrize("name", ["on_fire", "before_lunch", "on_enter_heaven", "touchy"])
def test_descriptors_of_a_class_are_left_alone(name: str) -> None:
    kind: Any = type("Mine", (Door,), {name: Touchy(), "after_burn": property(lambda self: None)})
    assert kind().push() is True


# --------------------------------------------------------------------------------- functions that would not run


async def coming(*_: object) -> bool:
    return True


def yielding(*_: object) -> Any:
    yield True


async def streaming(*_: object) -> Any:
    yield True


class Called:
    async def __call__(self, *_: object) -> bool:
        return True


NEVER_RUN = {
    "async": (coming, "an async function"), "generator": (yielding, "a generator function"),
    "async generator": (streaming, "an async generator function"), "partial": (partial(coming, 1), "an async function"),
    "object": (Called(), "an async function"), "method": (Called().__call__, "an async function"),
}  # fmt: skip


@pytest.mark.parametrize("case", NEVER_RUN)
def test_a_guard_that_would_never_run_is_refused(case: str) -> None:
    function, kind = NEVER_RUN[case]
    for how in ({"guard": function}, {"unless": function}):
        with pytest.raises(DefinitionError, match=f"it is {kind}, which would always be true"):
            row("r", "a", "go", **how)


@pytest.mark.parametrize("case", NEVER_RUN)
def test_a_listener_that_would_never_run_is_refused_and_the_stream_is_named(case: str) -> None:
    function, kind = NEVER_RUN[case]
    for name in ("on_transition", "on_enter_shut", "on_refused"):
        listener = type("Listener", (), {name: function})
        for define in (lambda one=listener: Door().listen(one()), lambda n=name: type("Mine", (Door,), {n: function})):  # type: ignore[misc]
            with pytest.raises(DefinitionError, match=rf"{name} is {kind}, .*async for step in session.steps\(\)"):
                define()


@pytest.mark.parametrize("kind", ["before_submit", "on_enter_draining"])
def test_a_callback_of_transitions_that_would_never_run_is_refused(kind: str) -> None:
    from fsm.logoff import LOGOFF

    with pytest.raises(DefinitionError, match="callback coming: it is an async function"):
        getattr(Session.of(LOGOFF).machine(), kind)(coming)


def test_a_function_that_returns_a_coroutine_is_found_when_it_is_called() -> None:
    chart = Chart("c", states=["a"], events=["go"], rows=[row("r", "a", "go", guard=lambda session: coming(session))])
    session = Session.of(chart)()
    for ask in (session.fire, session.may):
        with pytest.raises(TypeError, match="one returned a coroutine, which would always be true"):
            ask("go")
    door = Door()
    door.listen(type("L", (), {"before_push": lambda self, step: coming()})())
    with pytest.raises(TypeError, match="a listener returned a coroutine"):
        door.push()
    assert door.configuration == ("open", 0)


# -------------------------------------------------------------------------------------------- names of listeners


def listener(*names: str) -> Any:
    """An object with these methods, which notes the calls."""
    notes: list[str] = []
    body: dict[str, Any] = {name: (lambda n: lambda self, step: notes.append(n))(name) for name in names}
    return type("Listener", (), {**body, "notes": notes})()


def test_methods_of_other_names_are_ordinary_ones() -> None:
    door, window = Door(), listener("on_click", "on_key_press", "on", "before", "afterwards", "on_enter_shut")
    door.listen(window)
    door.push()
    assert window.notes == ["before", "on_enter_shut"]
    kind: Any = type("Mine", (Door,), {"on_click": lambda self: "clicked"})
    assert kind().on_click() == "clicked"


MISSPELT = [
    ("on_entr_shut", "did you mean on_enter_shut"), ("on_ente_shut", "did you mean on_enter_shut"),
    ("on_enter_shutt", "did you mean on_enter_shut"), ("before_pus", "did you mean before_push"), ("after_closing", ""),
    ("on_shut", "did you mean on_enter_shut"), ("on_push", "did you mean after_push"), ("on_transitions", "on_transition"),
    ("on_refuse", "did you mean on_refused"), ("on_exit", ""), ("on_enter_", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "meant"), MISSPELT)
def test_a_misspelt_name_is_refused(name: str, meant: str) -> None:
    if name == "on_exit":
        return  # like no name of a listener of this chart, and so an ordinary method
    with pytest.raises(DefinitionError, match=rf"its listener {name} belongs to no state or event of door.*{meant}"):
        Door().listen(listener(name, "on_transition"))
    with pytest.raises(DefinitionError, match=f"its listener {name} belongs to no state or event"):
        type("Mine", (Door,), {name: lambda self, step: None})


def test_an_object_listens_to_sessions_of_several_charts() -> None:
    both = listener("on_enter_shut", "after_lower", "on_transition")
    door, gate = Door(), Session.of(GATE)()
    with pytest.raises(DefinitionError, match="after_lower belongs to no state or event of door"):
        door.listen(both)
    door.listen(both, also=[GATE])
    gate.listen(both, also=[DOOR])
    door.push()
    gate.fire("lower")
    assert both.notes == ["on_enter_shut", "on_transition", "after_lower", "on_transition"]
    with pytest.raises(DefinitionError, match=r"after_lowr .*did you mean after_lower"):
        door.listen(listener("after_lowr"), also=[GATE])


def test_only_the_named_methods_listen() -> None:
    door, form = Door(), listener("before_save", "after_push", "on_transition")
    door.listen(form, only=["after_push"])
    door.push()
    assert form.notes == ["after_push"]
    for names, message in ((["after_pus"], "has no method after_pus"), (["before_save"], "before_save belongs to no state")):
        with pytest.raises(DefinitionError, match=message):
            door.listen(form, only=names)


PLAIN = Chart("plain", states=["a"], events=["before", "after", "on_transition", "on_refused"], rows=[
    row(name, "a", name) for name in ("before", "after", "on_transition", "on_refused")
])  # fmt: skip


def test_an_event_called_like_a_listener_method_takes_none_from_other_objects() -> None:
    session, note = Session.of(PLAIN)(), listener("before", "after", "on_transition")
    session.listen(note)
    session.fire("after")
    assert note.notes == ["before", "after", "on_transition"]


def test_partial_methods_listen() -> None:
    class Mine(Door):
        __slots__ = ("seen",)

        def note(self, word: str, step: Step) -> None:
            self.seen = (word, step.event)  # type: ignore[misc]

        after_push = partialmethod(note, "word")

    mine = Mine()
    mine.push()
    assert mine.seen == ("word", "push")


# --------------------------------------------------------------------------------------------------- refusals


def test_a_refusal_is_told_to_listeners_before_it_is_raised() -> None:
    class Strict(Door):
        __slots__ = ("refused",)

        def on_refused(self, refused: Refused) -> None:
            self.refused = refused  # type: ignore[misc]

    door, told = Strict(), []
    door.listen(type("L", (), {"on_refused": lambda self, refused: told.append((refused.session, refused.verdict.event))})())
    with pytest.raises(Refused) as caught:
        door.pull()
    assert door.refused is caught.value
    assert told == [(door, "pull")]
    door.push()
    assert len(told) == 1


def test_in_a_refusal_a_listener_may_post_but_not_fire() -> None:
    class Again:
        receipt: Receipt
        error: Exception

        def on_refused(self, refused: Refused) -> None:
            session: Any = refused.session
            self.receipt = session.post("push")
            try:
                session.push()
            except StepInProgress as error:
                self.error = error

    door, again = Door(), Again()
    door.listen(again)
    with pytest.raises(Refused):
        door.pull()
    assert again.receipt.result() is True
    assert again.error.during == "pull"  # type: ignore[attr-defined]
    assert door.state == "shut"


# ------------------------------------------------------------------------------------------ which guards are called

CALLS: list[str] = []


def asked(name: str, answer: bool = True) -> Callable[..., bool]:
    def guard(session: object) -> bool:
        CALLS.append(name)
        return answer

    return guard


GUARDED = Chart("guarded", states=["a", "b"], events=["go", "load", "back", "stop"], rows=[
    row("go", "a", "go", guard=asked("go"), target="b"), row("load", "a", "load", guard=asked("load")),
    row("back", "b", "back", guard=asked("back"), target="a"), row("stop", "a", "stop", guard=asked("stop", False)),
])  # fmt: skip


def test_only_the_guards_of_the_event_in_question_are_called() -> None:
    session = Session.of(GUARDED)()
    session.listen(listener("on_transition"))
    for ask, called in (
        (lambda: session.may("load"), ["load"]), (lambda: session.fire("load"), ["load"]),
        (lambda: session.verdicts(), ["go", "load", "stop"]), (lambda: session.may("back"), []),
    ):  # fmt: skip
        CALLS.clear()
        ask()
        assert called == CALLS
    CALLS.clear()
    with pytest.raises(Refused, match=r"cannot stop while a: needs .*legal now: nothing; perhaps go, load") as caught:
        session.fire("stop")
    assert set(CALLS) == {"stop"}
    assert (caught.value.verdict.legal, caught.value.verdict.undecided) == ((), ("go", "load"))
    verdict = session.verdicts()["stop"]
    assert (verdict.legal, verdict.undecided) == (("go", "load"), ())


def test_a_guard_that_changes_its_mind_is_named_all_the_same() -> None:
    answers = iter([False, True])

    def fickle(session: object) -> bool:
        return next(answers)

    chart = Chart("f", states=["a"], events=["go"], rows=[row("r", "a", "go", guard=fickle)])
    with pytest.raises(Refused, match=r"needs .*fickle\(\)"):
        Session.of(chart)().fire("go")


# ----------------------------------------------------------------------------------------------- posted events


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_was_posted_never_runs_after_a_later_trigger(stop: type[BaseException]) -> None:
    class Hasty:
        receipts: tuple[Receipt, ...] = ()

        def after_push(self, step: Step) -> None:
            if not self.receipts:
                self.receipts = tuple(step.session.post(event) for event in ("pull", "push", "burn"))

        def after_pull(self, step: Step) -> None:
            raise stop

    door, hasty = Door(), Hasty()
    door.listen(hasty)
    with pytest.raises(stop):
        door.push()
    pull, push, burn = hasty.receipts
    assert all(receipt.done for receipt in hasty.receipts)
    assert isinstance(pull.error, stop)
    for receipt in (push, burn):
        with pytest.raises(RuntimeError, match=f"{receipt.event} was posted and dropped: the step was interrupted"):
            receipt.result()
    assert door.state == "open"
    door.forget(hasty)
    door.push()
    assert door.state == "shut"
    assert door._dispatcher is None


def test_an_interrupt_of_the_step_itself_lets_what_was_posted_run_first() -> None:
    class Hasty:
        def after_push(self, step: Step) -> None:
            self.receipt = step.session.post("pull")
            raise KeyboardInterrupt

    door, hasty = Door(), Hasty()
    door.listen(hasty)
    with pytest.raises(KeyboardInterrupt):
        door.push()
    assert hasty.receipt.result() is True
    assert door.state == "open"


# -------------------------------------------------------------------------------------------- many threads, no traces


def test_the_machine_and_the_triggers_are_made_once_by_many_threads() -> None:
    for _ in range(20):
        kind: Any = type("Fresh", (Door,), {"__slots__": ()}, chart=DOOR)
        barrier, machines, seen = Barrier(4), set(), []

        def first(kind: Any = kind, barrier: Any = barrier, machines: Any = machines, seen: Any = seen) -> None:
            barrier.wait()
            machine = kind.machine()
            machine.after_push(lambda data: seen.append(data))
            machines.add(id(machine))
            kind().push()

        threads = [Thread(target=first) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(machines) == 1
        kind().push()
        assert len(seen) >= 4 + 4


def test_charts_that_are_gone_leave_no_source_behind() -> None:
    gc.collect()
    before = set(linecache.cache)
    for size in range(5):
        chart = Chart(f"gone {size}", states=["a"], events=["go"], rows=[row("r", "a", "go")])
        session = Session.of(chart)()
        session.listen(listener("on_transition"))
        session.fire("go")
    assert len(set(linecache.cache) - before) == 10
    del chart, session
    gc.collect()
    assert set(linecache.cache) - before == set()


@dataclass(eq=True)
class Alike:
    """A listener that equals all others."""

    def on_transition(self, step: Step) -> None:
        CALLS.append("alike")


def test_two_equal_listeners_are_two() -> None:
    door, one, other = Door(), Alike(), Alike()
    door.listen(one)
    door.listen(other)
    CALLS.clear()
    door.push()
    door.forget(one)
    door.pull()
    assert CALLS == ["alike"] * 3


N = Counter("n")
RING = [f"s{place}" for place in range(40)]


@pytest.mark.parametrize("listening", [False, True])
def test_a_step_among_many_states_is_the_step_of_its_row(listening: bool) -> None:
    chart = Chart("ring", states=RING, events=["go", "skip"], variables=[N], rows=[
        *(row(f"go-{name}", name, "go", target=RING[(place + 1) % 40], effects=[N.becomes(N + 1)]) for place, name in enumerate(RING)),
        *(row(f"skip-{name}", name, "skip", guard=N >= 3, target=RING[(place + 2) % 40]) for place, name in enumerate(RING[::2])),
    ])  # fmt: skip
    session = Session.of(chart)()
    note = listener("on_transition")
    if listening:
        session.listen(note)
    with pytest.raises(Refused, match="needs n >= 3"):
        session.fire("skip")
    for _ in range(81):
        session.fire("go")
    assert session.configuration == ("s1", 81)
    with pytest.raises(Refused, match="not legal in s1"):
        session.fire("skip")
    assert len(note.notes) == 81 * listening
