"""The other engines on the same four states, made from the same rows, so that the race is over the same machine.

`stock` is transitions itself: one shared Machine, each condition of a guard a named method of the model, the effects
a named `before` callback.  `statechart` is python-statemachine 3 with the same guards and effects.  `skeleton` is
automat, which has no guards by design: it is told which row to take and does no effects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import statemachine
import transitions
from automat import TypeMachineBuilder

from fsm.chart import Row
from fsm.condition import All, Condition
from fsm.logoff import LOGOFF, Logoff

FLAGS = {flag.name: flag for flag in Logoff}


def predicate(guard: Condition) -> Callable[[Any], bool]:
    """A condition as a person writes it in Python: `lambda self: self.ready > 0`."""
    names: dict[str, Any] = {}
    text = str(guard).replace("always", "True").replace("request", "self.request")
    for counter in LOGOFF.names[1:]:
        text = text.replace(counter, f"self.{counter}")
    names |= FLAGS
    return eval(f"lambda self: {text.replace('none', 'None')}", names)  # type: ignore[no-any-return]


def effects(row: Row) -> Callable[[Any], None]:
    """The effects as a person writes them: `self.ready -= 1`."""
    names: dict[str, Any] = dict(FLAGS)
    lines = [f"    self.{effect}".replace("+= d", "+= self.d").replace("none", "None") for effect in row.effects]
    exec("def apply(self):\n" + "\n".join(lines or ["    pass"]), names)
    return names["apply"]  # type: ignore[no-any-return]


class Model:
    """What the counters are kept in."""

    def __init__(self) -> None:
        for variable in LOGOFF.variables:
            setattr(self, variable.name, variable.initial)


def listened() -> Callable[[], Model]:
    """As `stock`, with one callback after each step."""
    return stock(after_state_change=lambda: None)


def stock(**options: Any) -> Callable[[], Model]:
    """A maker of models on one shared transitions.Machine, which gets these options."""
    model = type("StockModel", (Model,), {})
    named: dict[str, str] = {}
    rows = []
    for number, row in enumerate(LOGOFF.rows):
        parts = row.guard.parts() if isinstance(row.guard, All) else (row.guard,)
        for part in parts:
            if str(part) not in named:
                named[str(part)] = f"condition_{len(named)}"
                setattr(model, named[str(part)], predicate(part))
        setattr(model, f"effects_{number}", effects(row))
        rows.append({
            "trigger": row.event, "source": row.source, "dest": row.target if row.moves else None,
            "conditions": [named[str(part)] for part in parts],
            "before": [f"effects_{number}"] if row.effects else [],
        })  # fmt: skip
    machine = transitions.Machine(
        model=None, states=[str(s) for s in LOGOFF.states], transitions=rows, initial="open", auto_transitions=False,
        **options,
    )

    def make() -> Model:
        one: Model = model()
        machine.models.clear()  # adding is quadratic in the models it knows; forgetting them keeps the race fair
        machine.add_model(one)
        return one

    return make


def statechart() -> Callable[[], Any]:
    """A maker of python-statemachine machines."""
    states = {str(s): statemachine.State(initial=s == LOGOFF.initial, name=str(s)) for s in LOGOFF.states}
    body: dict[str, Any] = {f"s_{name}": state for name, state in states.items()}
    for number, row in enumerate(LOGOFF.rows):
        guard, effect = predicate(row.guard), effects(row)
        body[f"guard_{number}"], body[f"effect_{number}"] = guard, effect
        how: dict[str, Any] = {"cond": f"guard_{number}", "on": f"effect_{number}"}
        if row.moves:
            one = states[row.source].to(states[row.target], **how)
        else:
            one = states[row.source].to.itself(internal=True, **how)  # type: ignore[no-untyped-call]
        body[row.event] = one if row.event not in body else body[row.event] | one
    for variable in LOGOFF.variables:
        body[variable.name] = variable.initial
    return type("Statechart", (statemachine.StateMachine,), body)


def skeleton() -> tuple[Callable[[], Any], dict[str, str]]:
    """A maker of automat machines, and the input for each row id."""
    inputs = {row.id: f"row_{number}" for number, row in enumerate(LOGOFF.rows)}

    space: dict[str, Any] = {}
    for name in inputs.values():
        exec(f"def {name}(self) -> bool: ...", space)
    protocol = type("Rows", (Protocol,), {name: space[name] for name in inputs.values()})
    builder: Any = TypeMachineBuilder(protocol, object)
    states = {str(s): builder.state(str(s)) for s in LOGOFF.states}
    for row in LOGOFF.rows:
        states[row.source].upon(getattr(protocol, inputs[row.id])).to(states[row.target]).returns(True)
    factory = builder.build()
    return lambda: factory(object()), inputs
