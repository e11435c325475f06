"""Machine is a transitions.Machine, made of a chart; the machine of a session class takes transitions callbacks."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import transitions.core
from transitions.extensions import GraphMachine
from transitions.extensions.markup import MarkupMachine

import fsm.machine
from fsm import Chart, Counter, DataError, DefinitionError, Event, Field, Machine, Number, Refused, StepInProgress, row
from fsm.logoff import LOGOFF, StoreSession
from fsm.session import Session
from tests.support import after, configurations


class Store:
    """A plain model."""


def place(machine: Machine, model: Any, configuration: Any) -> None:
    machine.set_state(configuration[0], model)
    for name, value in zip(LOGOFF.names, configuration[1:], strict=True):
        setattr(model, name, value)


def test_the_machine_and_the_compiled_triggers_agree_everywhere() -> None:
    """The whole product: every configuration within the bounds, every event; the step, and may_ without a step."""
    model = Store()
    machine = Machine(chart=LOGOFF, model=model)
    for here in configurations(1, 2, 1):
        for event in LOGOFF.events:
            there = after(StoreSession, here, event)
            place(machine, model, here)
            assert getattr(model, f"may_{event}")() is (there is not None)
            assert machine.configuration(model) == here
            try:
                accepted = getattr(model, event)()
            except transitions.MachineError:
                accepted = False
            assert accepted is (there is not None)
            assert machine.configuration(model) == (there or here)


def test_everything_of_transitions_works_on_it() -> None:
    calls: list[str] = []
    model = Store()
    machine = Machine(chart=LOGOFF, model=model, after_state_change=lambda: calls.append("changed"))
    assert isinstance(machine, transitions.Machine)
    assert machine.get_triggers("released") == ["release"]
    assert {t.row.id for t in machine.get_transitions("submit")} == {"open.submit", "blocked.submit"}
    machine.on_enter_draining(lambda: calls.append("draining"))
    machine.before_submit(lambda: calls.append("submit"))
    model.submit()
    model.outbound_begin()
    model.logoff_orderly()
    assert calls == ["submit", "changed", "changed", "draining", "changed"]
    assert model.is_draining()
    assert model.trigger("outbound_sent")
    assert (model.state, model.outbound, machine.states["released"].final) == ("released", 0, True)


def test_a_callback_that_raises_before_the_effects_leaves_everything_as_it_was() -> None:
    model = Store()
    machine = Machine(chart=LOGOFF, model=model)

    def no() -> None:
        raise ZeroDivisionError

    machine.on_exit_open(no)
    model.submit()
    with pytest.raises(ZeroDivisionError):
        model.logoff_purge()
    assert machine.configuration(model) == ("open", None, 0, 0, 1, 0, 0)


def test_rows_added_by_hand_are_transitions_own() -> None:
    machine = Machine(chart=LOGOFF, model=None)
    machine.add_transition("reset", "released", "open", conditions=lambda: True)
    model = Store()
    machine.add_model(model)
    machine.set_state("released", model)
    assert model.reset()
    assert model.state == "open"


def test_without_a_chart_it_is_transitions_machine_and_nothing_else() -> None:
    machine = Machine(states=["a", "b"], initial="a")
    assert machine.to_b()
    assert machine.state == "b"


def test_a_model_keeps_the_counts_it_brings() -> None:
    model = Store()
    model.ready = 3
    Machine(chart=LOGOFF, model=[model, other := Store()])
    assert (model.ready, model.deferred, other.ready) == (3, 0, 0)


class Drawn(Machine, GraphMachine):
    """Graphs of a chart, as transitions draws them."""


def test_graphs_and_markup_show_the_guards_of_the_rows() -> None:
    model = Store()
    machine = Drawn(chart=LOGOFF, model=model, show_conditions=True, graph_engine="graphviz")
    source = model.get_graph().source
    assert "outbound_begin [internal] [ready > 0]" in source
    assert "release [peers > 0]" in source
    assert machine.get_triggers("released") == ["release"]

    class Marked(Machine, MarkupMachine):
        pass

    rows = Marked(chart=LOGOFF, model=None).markup["transitions"]
    assert len(rows) == len(LOGOFF.rows)


def test_a_machine_is_pickled_with_its_models() -> None:
    import pickle

    machine = Machine(chart=LOGOFF)
    machine.submit()
    other = pickle.loads(pickle.dumps(machine))
    other.outbound_begin()
    assert (machine.ready, other.ready, other.outbound) == (1, 0, 1)


# ---------------------------------------------------------------------------- the machine of a session class


@pytest.fixture
def kind() -> type[StoreSession]:
    """A session class of its own, so that callbacks do not stay on StoreSession."""
    return type("Mine", (StoreSession,), {"__slots__": ()}, chart=LOGOFF)


def test_callbacks_on_the_class_machine_run_for_all_its_sessions(kind: type[StoreSession]) -> None:
    calls: list[str] = []
    early = kind()
    machine = kind.machine()
    machine.before_submit(lambda data: calls.append(f"before {data.model.ready}"))
    machine.on_enter_draining(lambda data: calls.append(f"entered by {data.event.name}"))
    for session in (early, kind()):
        session.submit()
        session.outbound_begin()
        session.logoff_orderly()
    assert calls == ["before 0", "entered by logoff_orderly"] * 2
    StoreSession().submit()
    assert calls == ["before 0", "entered by logoff_orderly"] * 2
    assert kind._class_engine.routed == {"submit", "logoff_orderly", "logoff_no_wait", "logoff_purge"}


def test_with_callbacks_the_steps_are_the_same(kind: type[StoreSession]) -> None:
    kind.machine().after_state_change = lambda data: None
    assert kind._class_engine.routed == set(LOGOFF.events)
    for here in configurations(1, 1, 1):
        for event in LOGOFF.events:
            assert after(kind, here, event) == after(StoreSession, here, event)
    kind.machine().after_state_change = None
    assert kind._class_engine.routed == frozenset()


def test_a_callback_of_the_class_machine_may_post_but_not_fire(kind: type[StoreSession]) -> None:
    kind.machine().on_enter_draining(lambda data: data.model.post("outbound_sent"))
    session = kind(ready=1)
    session.outbound_begin()
    session.logoff_orderly()
    assert session.complete
    assert session._dispatcher is None
    kind.machine().before_submit(lambda data: data.model.submit())
    with pytest.raises(StepInProgress):
        kind().submit()


def test_a_condition_added_by_hand_refuses(kind: type[StoreSession]) -> None:
    machine = kind.machine()
    machine.before_submit(lambda data: None)
    for one in machine.get_transitions("submit"):
        one.conditions.append(one.condition_cls(lambda data: False))
    session = kind()
    with pytest.raises(Refused):
        session.submit()
    assert session.ready == 0


@pytest.mark.parametrize("change", [
    lambda m: m.add_transition("x", "open", "open"), lambda m: m.add_states(["x"]), lambda m: m.add_model(Store()),
    lambda m: m.remove_transition("submit"),
])  # fmt: skip
def test_the_table_of_a_session_class_cannot_be_changed(change: Any) -> None:
    with pytest.raises(DefinitionError, match=r"machine of StoreSession: it cannot .*Machine\(chart=\.\.\.\)"):
        change(StoreSession.machine())


def test_sessions_of_any_chart_have_a_machine() -> None:
    assert Session.of(LOGOFF).machine().get_triggers("released") == ["release"]


def test_an_error_that_a_callback_hides_does_not_make_a_refusal_of_a_step(kind: type[StoreSession]) -> None:
    machine = kind.machine()
    machine.after_submit(lambda data: 1 // 0)
    machine.on_exception = [lambda data: None]
    session = kind()
    assert session.submit() is True
    assert session.ready == 1


def never_today(data: Any) -> bool:
    return False


def test_a_condition_added_by_hand_is_named_in_the_refusal(kind: type[StoreSession]) -> None:
    machine = kind.machine()
    machine.before_submit(lambda data: None)
    for one in machine.get_transitions("submit"):
        one.conditions.append(one.condition_cls(never_today))
    with pytest.raises(Refused, match=r"cannot submit while open: needs never_today\(\); in open"):
        kind().submit()


def test_posted_events_keep_their_order_with_callbacks_on_the_machine(kind: type[StoreSession]) -> None:
    def post(*events: str) -> Any:
        return lambda data: [data.model.post(event) for event in events]

    kind.machine().after_submit(post("inbound_begin", "outbound_begin", "peer_opened"))
    kind.machine().after_outbound_begin(post("peer_closed"))
    session = kind()
    session.submit()
    assert session.configuration == ("open", None, 1, 1, 0, 0, 0)
    assert session._dispatcher is None


def test_nothing_private_of_transitions_is_used() -> None:
    assert fsm.machine.__file__ is not None
    used = {n.attr for n in ast.walk(ast.parse(Path(fsm.machine.__file__).read_text())) if isinstance(n, ast.Attribute)}
    theirs = {name for kind in vars(transitions.core).values() if isinstance(kind, type) for name in dir(kind)}
    assert {name for name in used & theirs if name.startswith("_") and not name.endswith("__")} == set()


@pytest.mark.parametrize("options", [{"states": ["a"]}, {"transitions": []}, {"initial": "nope"}])
def test_a_machine_of_a_chart_takes_no_other_table(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="a machine of store-logoff"):
        Machine(chart=LOGOFF, **options)


# ------------------------------------------------------------------------------------------------- natural names

RETRY = Counter("retry")
NAMES = Chart("names", states=["a", "b"], events=["retry", "post", "fire"], variables=[
    RETRY, Counter("retry_"), *map(Counter, ("events", "states", "name", "initial", "models", "trigger", "is_a", "may_post")),
], rows=[
    row("first", "a", "retry", guard=RETRY < 5, effects=[RETRY.becomes(RETRY + 1), Counter("events").becomes(Counter("events") + 2)], target="b"),
    row("again", "b", "retry", target="a"), row("post", "a", "post"), row("fire", "b", "fire"),
])  # fmt: skip


@pytest.mark.parametrize("own", [False, True])
def test_a_variable_called_like_a_trigger_or_something_of_the_machine_steps_aside(own: bool) -> None:
    model = Store()
    machine = Machine(chart=NAMES) if own else Machine(chart=NAMES, model=model)
    one: Any = machine if own else model
    assert one.post()
    assert one.retry()
    assert one.fire()
    assert one.trigger("retry")
    assert machine.configuration(one) == ("a", 1, 0, 2, *(0,) * 7)
    assert (one.retry__, one.retry_, getattr(one, machine.attribute("events", one))) == (1, 0, 2)
    assert (one.is_a(), one.may_post()) == (True, True)
    if own:
        assert [str(name) for name in machine.states] == ["a", "b"]


def test_an_event_called_like_the_attribute_for_the_state_is_refused() -> None:
    chart = Chart("c", states=["a"], events=["state"], rows=[row("r", "a", "state")])
    with pytest.raises(DefinitionError, match=r"its event state has the name of the state attribute; choose another model_attribute="):
        Machine(chart=chart)
    model = Store()
    Machine(chart=chart, model=model, model_attribute="place")
    assert model.state()


def test_an_error_that_a_callback_of_on_exception_is_told_of_reaches_the_caller(kind: type[StoreSession]) -> None:
    told: list[BaseException] = []
    machine = kind.machine()
    machine.on_exception = [lambda data: told.append(data.error)]
    machine.before_state_change = [lambda data: 1 // 0]
    session = kind()
    with pytest.raises(ZeroDivisionError):
        session.submit()
    assert isinstance(told[0], ZeroDivisionError)
    assert session.ready == 0
    machine.before_state_change = []
    assert session.submit() is True


def test_a_model_takes_the_data_of_an_event_among_the_keywords() -> None:
    amount, balance = Number("amount"), Counter("balance")
    chart = Chart("account", states=["open"], events=[Event("pay", data=(amount, Field("why", str, default="")))], variables=[balance],
                  rows=[row("pay", "open", "pay", guard=amount > 1, effects=[balance.becomes(balance + amount)])])  # fmt: skip
    model, seen = Store(), []
    machine = Machine(chart=chart, model=model, send_event=True, after_state_change=lambda data: seen.append(data.kwargs))
    assert model.pay(amount=5, other="kept")
    assert model.pay(amount=1) is False
    assert (model.may_pay(amount=2), model.may_pay(amount=0)) == (True, False)
    with pytest.raises(DataError, match="it needs amount"):
        model.pay()
    assert (machine.configuration(model), seen) == (("open", 5), [{"amount": 5, "other": "kept"}])
    kind: Any = Session.of(chart)
    kind.machine().after_pay(lambda data: seen.append(data.kwargs))
    session = kind()
    assert session.pay(amount=7)
    assert (session.configuration, seen[-1]) == (("open", 7), {"amount": 7, "why": ""})
