"""Session classes: what they must declare, what fails when they are defined, and every shape they may have."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from fsm import DefinitionError, Session, trigger
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
