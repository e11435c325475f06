"""Session classes: what they must declare, what fails when they are defined, and every shape they may have."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable
from enum import Enum, StrEnum
from typing import Any

import pytest

from fsm import Chart, Counter, DefinitionError, Session, row, trigger
from fsm.logoff import LOGOFF, StoreSession
from tests.test_session import DOOR, Door


def test_declared_triggers_keep_their_names_and_docs_and_run() -> None:
    door = Door()
    assert Door.push.__doc__ == "Push it."
    assert Door.push.__qualname__ == "Door.push"
    assert door.push() is True
    assert (door.state, door.configuration) == ("shut", ("shut", 1))
    assert not hasattr(door, "__dict__")
    assert "push" not in Door.__slots__


def declare(*events: str, slots: tuple[str, ...] = ("_n",), **body: object) -> Callable[[], type]:
    def make() -> type:
        space: dict[str, Any] = {"__slots__": slots, **body}
        for event in events:

            def declared(self: object) -> None: ...

            space[event] = trigger(declared)
        return type("Wrong", (Session,), space, chart=DOOR)

    return make


def listener(self: object, step: object) -> None: ...


WRONG = {
    "lacks one": (declare("push", "pull"), "class Wrong: it lacks the trigger burn"),
    "one too many": (declare("push", "pull", "burn", "kick"), "its trigger kick is no event of door"),
    "misspelt": (declare("push", "pul", "burn"), r"it lacks the trigger pull; its trigger pul is .*did you mean pull"),
    "no slot": (declare("push", "pull", "burn", slots=()), "its __slots__ lack _n"),
    "listener state": (declare("push", "pull", "burn", on_enter_shutt=listener), r"on_enter_shutt .*did you mean on_enter_shut"),
    "listener event": (declare("push", "pull", "burn", before_pus=listener), r"before_pus .*did you mean before_push"),
    "listener kind": (declare("push", "pull", "burn", on_entr_shut=listener), r"on_entr_shut belongs to no state or event"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_class_fails_when_it_is_defined(case: str) -> None:
    make, message = WRONG[case]
    with pytest.raises(DefinitionError, match=message):
        make()


def test_a_subclass_with_a_misspelt_listener_fails_when_it_is_defined() -> None:
    with pytest.raises(DefinitionError, match=r"on_enter_drainning .*did you mean on_enter_draining"):
        type("Mine", (StoreSession,), {"on_enter_drainning": listener})


def test_an_object_that_listens_to_nothing_or_misspells_is_refused_and_nothing_changes() -> None:
    session = Door()
    for body, message in (({}, "listens to nothing"), ({"after_pus": listener}, "after_pus")):
        with pytest.raises(DefinitionError, match=message):
            session.listen(type("Listener", (), body)())
    assert not session.has_listeners


def test_a_trigger_is_not_declared_again_without_the_chart() -> None:
    def again(self: object) -> None: ...

    for name in ("submit", "sumbit"):
        with pytest.raises(DefinitionError, match=f"it declares the trigger {name} without chart="):
            type("Again", (StoreSession,), {"__slots__": (), name: trigger(again)})


def test_a_trigger_taken_off_the_class_before_the_first_session_works() -> None:
    fresh = type("Fresh", (Door,), {"__slots__": ()}, chart=DOOR)
    push = fresh.push
    door = fresh()
    assert push(door) is True
    assert door.state == "shut"


@pytest.mark.parametrize("options", [{}, {"chart": LOGOFF}, {"guarded": True}, {"chart": LOGOFF, "guarded": True}])
def test_a_plain_method_overrides_a_trigger_in_every_shape_of_class(options: dict[str, Any]) -> None:
    class Mixin:
        __slots__ = ()

    body: dict[str, Any] = {"__slots__": ()}
    seen = []

    def submit(self: Any) -> bool:
        seen.append(self.ready)
        return bool(super(kind, self).submit())

    body["submit"] = submit
    kind: Any = type("Mine", (Mixin, StoreSession), body, **options)
    session = kind()
    for fire in (session.submit, lambda: session.fire("submit"), lambda: session.post("submit").result()):
        assert fire() is True
    session.outbound_begin()
    assert (seen, session.ready, session.outbound) == ([0, 1, 2], 2, 1)


def test_the_sessions_of_a_guarded_class_have_a_lock_each_and_no_field_for_it() -> None:
    kind: Any = type("Bare", (StoreSession,), {"__slots__": ()}, guarded=True)
    one, two = kind(), kind()
    assert one.lock is not two.lock
    with one.lock, one.lock:
        assert one.submit() is True
    assert sys.getsizeof(one) == sys.getsizeof(StoreSession())
    assert StoreSession().lock is StoreSession().lock


def test_variables_have_no_names_that_sessions_need() -> None:
    from fsm.variable import RESERVED

    own = {name[1:] for name in dir(Session) if name.startswith("_") and not name.startswith("__")}
    assert own <= RESERVED


def test_an_event_called_like_something_of_sessions_is_fired_by_name_alone() -> None:
    from tests.hostile import NAMES, TAKEN

    session = Session.of(TAKEN)()
    for name in NAMES:
        assert session.fire(name) is True
        assert session.post(name).result() is True
    assert (session.state, session.snapshot()["state"]) == ("a", "a")
    with pytest.raises(DefinitionError, match="its event post has the name of something that every session has"):
        type("Taken", (Session,), {}, chart=TAKEN)


# ------------------------------------------------------------------------------------------------- natural names

RETRY = Counter("retry")
NATURAL = ["retry", "post", "fire", "snapshot", "chart", "state", "machine", "may", "listen", "at", "_retry"]
NAMES = Chart("names", states=["a", "b"], events=NATURAL, variables=[RETRY, Counter("events"), Counter("fire"), Counter("machine")], rows=[
    row("first", "a", "retry", effects=[RETRY.becomes(RETRY + 1)], target="b"), row("again", "b", "retry", target="a"),
    *(row(name, "a", name) for name in NATURAL[1:]),
])  # fmt: skip


def test_a_class_made_on_the_spot_fires_events_of_every_name() -> None:
    session = Session.of(NAMES)()
    for name in NATURAL[1:]:
        assert session.fire(name) is True
        assert session.may(name).accepted
    assert session.retry() is True  # type: ignore[attr-defined]
    assert (session.configuration, session.machine().get_triggers("b")) == (("b", 1, 0, 0, 0), ["retry"])


def test_a_written_class_declares_events_of_such_names_with_others() -> None:
    def declared(self: object) -> None: ...

    other = [name for name in NATURAL if hasattr(Session, name) or name in ("chart", "_retry")]
    body: dict[str, Any] = {name: trigger(lambda self: None) for name in NATURAL if name not in other}
    with pytest.raises(DefinitionError) as caught:
        type("Wrong", (Session,), dict(body), chart=NAMES)
    for name in other:
        assert f"its event {name} has the name of something that every session has; declare it with another name: @trigger(event={name!r})" in str(caught.value)
    body |= {f"do{name}": trigger(event=name)(type(declared)(declared.__code__, globals(), name)) for name in other}
    session: Any = type("Right", (Session,), body, chart=NAMES)()
    for name in NATURAL[1:]:
        assert session.fire(name) is True
        assert getattr(session, f"do{name}" if name in other else name)() is True
    session.retry()
    assert session.configuration == ("b", 1, 0, 0, 0)
    assert session.events == 0


@pytest.mark.parametrize("name", ["self", "state", "dispatcher", "own_lock", "class", "a-b", "_a", "", "1"])
def test_a_variable_of_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match=f"variable {name!r}: its name must be a Python identifier"):
        Counter(name)


def test_variables_are_attributes_that_cannot_be_set() -> None:
    class Typed(Door):
        """A door whose counter type checkers know."""

        n: int

    door = Typed(n=3)
    assert (door.n, Typed.n.__doc__) == (3, "")  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        door.n = 4


def test_a_class_has_one_chart() -> None:
    gate = Chart("gate", states=["up"], events=["lift"], rows=[row("r", "up", "lift")])
    plain = type("Plain", (Session,), {name: trigger(lambda self: None) for name in ("push", "pull", "burn")}, chart=DOOR)
    other = type("Other", (Session,), {"lift": trigger(lambda self: None)}, chart=gate)
    with pytest.raises(DefinitionError, match=r"class Both: .*different charts: Other \(gate\) and Plain \(door\)|Plain \(door\) and Other \(gate\)"):
        type("Both", (plain, other), {})
    alike = type("Alike", (plain,), {})
    assert type("Same", (alike, plain), {})().push() is True


def test_a_class_that_is_made_a_second_time_says_so() -> None:
    from dataclasses import dataclass

    with pytest.raises(DefinitionError, match=r"class Order: it is made a second time, as dataclass\(slots=True\) and attrs.define do"):

        @dataclass(slots=True)
        class Order(Session, chart=DOOR):
            name: str

            @trigger
            def push(self) -> None: ...

            @trigger
            def pull(self) -> None: ...

            @trigger
            def burn(self) -> None: ...

    with pytest.raises(DefinitionError, match=r"it has an attribute `chart`; write class …\(Session, chart=…\)"):
        type("Wrong", (Door,), {"chart": DOOR})


def test_a_guarded_class_keeps_the_setters_of_its_properties() -> None:
    class Labelled(Door, guarded=True):
        """A door whose counter may be set."""

        @property
        def n(self) -> int:
            """How often it was pushed."""
            return self._n  # type: ignore[no-any-return, attr-defined]

        @n.setter
        def n(self, value: int) -> None:
            self._n = value

    door = Labelled()
    door.n = 4
    assert (door.n, door.configuration, Labelled.n.__doc__) == (4, ("open", 4), "How often it was pushed.")


def test_what_begins_without_init_has_a_hook() -> None:
    class Named(Door):
        """A door with a name."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def __post_restore__(self) -> None:
            self.name = f"restored {self.state}"

    new = Named("front")
    new.push()
    for one, name in (
        (Named.restore(new.snapshot()), "restored shut"), (Named.at("shut", n=1), "restored shut"),
        (Named.unchecked(("open", 2)), "restored open"), (copy.copy(new), "front"), (pickle.loads(pickle.dumps(Door())), None),
    ):  # fmt: skip
        assert getattr(one, "name", None) == name


@pytest.mark.parametrize(("state", "values", "message"), [
    ("ajar", {}, "'ajar' is not a state of door"), ("open", {"m": 1}, "door has no variable 'm'"),
    ("open", {"n": -1}, "n must be a whole number"), ("shut", {"n": True}, "not True"),
])  # fmt: skip
def test_a_stored_state_is_checked(state: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"a session cannot start like this: .*{message}"):
        Door.at(state, **values)
    assert Door.at("shut", n=7).configuration == ("shut", 7)
    with pytest.raises(ValueError, match="in blocked it always holds"):
        StoreSession.at("blocked")


class Place(Enum):
    """States as members of an Enum."""

    HERE = 1
    THERE = 2


class Deed(StrEnum):
    """Events as members of an Enum of strings."""

    GO = "go"
    COME = "come"


def test_members_name_states_and_events_at_run_time() -> None:
    chart = Chart("m", states=[*Place], events=[*Deed, Place.HERE], rows=[
        row("go", Place.HERE, Deed.GO, target=Place.THERE), row("come", Place.THERE, Deed.COME, target=Place.HERE),
        row("here", (Place.HERE, Place.THERE), Place.HERE),
    ])  # fmt: skip
    session, steps = Session.of(chart)(), []
    session.listen(type("L", (), {"on_enter_THERE": lambda self, step: steps.append(step)})())
    assert session.state == Place.HERE
    assert session.may(Deed.GO).accepted
    assert session.fire(Deed.GO) is True
    assert (session.state == Place.THERE, session.state == "THERE", session.state) == (True, True, "THERE")
    assert (steps[0].source == Place.HERE, steps[0].target == Place.THERE) == (True, True)
    assert session.post(Place.HERE).result() is True
    assert session.post(Deed.COME).result() is True
    assert Session.of(chart).at(Place.THERE).state == Place.THERE
    assert chart.step((Place.THERE,), Deed.COME).after == ("HERE",)  # type: ignore[arg-type]
