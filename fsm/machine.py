"""Chart -> `transitions.Machine`.  The machine is a real one, with the whole API of transitions.

Each row becomes a transition whose condition is the row's guard.  Its effects happen together with the change of state:
after the callbacks that can still cancel it (`before`, `on_exit`), and ahead of the others (`on_enter`, `after`).
The semantics are those of transitions: a trigger returns False if no guard holds, and raises MachineError in a state
without rows for the event; models get the triggers as attributes.

Without a chart it is a plain `transitions.Machine`.  No private name of transitions is used here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any, ClassVar, Final, cast

import transitions
from transitions import core
from transitions.core import EventData

from fsm.callables import never_runs
from fsm.chart import Chart, Configuration, Row
from fsm.condition import ALWAYS, Condition, Datum, Opaque, Values
from fsm.data import NO_DATA
from fsm.errors import DefinitionError

__all__ = ["ClassMachine", "GuardCondition", "Machine", "Transition"]


class GuardCondition(core.Condition):
    """A transitions condition that may be the guard of a row, which is evaluated with the model's variables."""

    def check(self, event_data: EventData) -> bool:
        """Whether it holds for the model of this event."""
        guard: object = self.func
        if isinstance(guard, Condition):
            machine = cast("Machine", event_data.machine)
            return guard.holds({**machine.values(event_data.model), **machine.data(event_data)}, event_data.model)
        return bool(super().check(event_data))

    def __repr__(self) -> str:
        return f"<Condition({self.func})@{id(self)}>"  # as transitions prints its own


class Transition(core.Transition):
    """A transition made from a row; `row` is None if it was added by hand."""

    condition_cls = GuardCondition

    def __init__(self, *args: Any, row: Row | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.row = row

    def execute(self, event_data: EventData) -> bool:
        """Take the row: conditions, callbacks before it, effects and state together, callbacks after it."""
        if self.row is None:
            return bool(super().execute(event_data))
        machine = cast("Machine", event_data.machine)
        machine.callbacks(self.prepare, event_data)
        if not all(condition.check(event_data) for condition in self.conditions):
            return False
        machine.callbacks(chain(machine.before_state_change, self.before), event_data)
        if self.row.leaves:
            machine.get_state(self.source).exit(event_data)
        machine.apply(self.row, event_data.model, machine.data(event_data))
        if self.row.leaves:
            target = machine.get_state(self.row.target)
            event_data.update(target.name)
            target.enter(event_data)
            if target.final:
                machine.callbacks(machine.on_final, event_data)
        machine.callbacks(chain(self.after, machine.after_state_change), event_data)
        return True


class Machine(transitions.Machine):
    """A `transitions.Machine` that can be made from a chart: `Machine(chart=LOGOFF, model=my_object)`.

    The chart provides states, transitions and the initial state; all other arguments are those of transitions.
    Any object can be a model.  The variables are attributes of it; those it lacks are set to their initial values.
    A variable with the name of a trigger, or of something that a machine has which is its own model, is the attribute
    of that name with an underscore behind it: `retry_` (see `attribute`).
    """

    transition_cls = Transition
    prefix: ClassVar[str] = ""
    chart: Chart | None = None

    def __init__(self, *args: Any, chart: Chart | None = None, **options: Any) -> None:
        self.chart = chart
        self._attributes: dict[bool, dict[str, str]] = {}
        if chart is not None:
            _fits(chart, args, options)
            options = {"auto_transitions": False, "initial": chart.initial} | options
            options["states"] = [{"name": str(state), "final": state.final} for state in chart.states]
            options["transitions"] = [as_transition(row) for row in chart.rows]
        super().__init__(*args, **options)

    def add_model(self, model: Any, initial: Any = None) -> None:
        """Add a model, or several, and set the chart's variables that it lacks."""
        if self.chart is not None:
            for one in model if isinstance(model, (list, tuple)) else (model,):
                one = self if one is self.self_literal else one
                for variable in self.chart.variables:
                    if not hasattr(one, self.attribute(variable.name, one)):
                        setattr(one, self.attribute(variable.name, one), variable.initial)
        super().add_model(model, initial)

    def attribute(self, name: str, model: object) -> str:
        """The name of the attribute of a model that holds a variable."""
        if self.prefix:
            return self.prefix + name
        own = model is self
        if own not in self._attributes:
            self._attributes[own] = self._named(dir(self) if own else ())
        return self._attributes[own][name]

    def _named(self, taken: Iterable[str]) -> dict[str, str]:
        assert self.chart is not None
        words = {*taken, "trigger", "may_trigger", self.model_attribute}
        words |= {name for event in self.chart.events for name in (str(event), f"may_{event}")}
        words |= {f"is_{state}" for state in self.chart.states}
        found: dict[str, str] = {}
        for name in self.chart.names:
            free = name
            while free in words or (free != name and free in self.chart.names):
                free += "_"
            found[name] = free
        return found

    def values(self, model: object) -> Values:
        """The chart's variables, read from a model."""
        names = self.chart.names if self.chart is not None else ()
        return {name: getattr(model, self.attribute(name, model)) for name in names}

    def configuration(self, model: object) -> Configuration:
        """The state and the variables of a model."""
        return (self.get_model_state(model).name, *self.values(model).values())

    def data(self, event_data: EventData) -> Mapping[str, Datum]:
        """The data of an event of the chart, among the keywords of its trigger.  DataError if they are not right."""
        if self.chart is None or not self.chart.has_event(event_data.event.name):
            return NO_DATA
        event = self.chart.event(event_data.event.name)
        names = {one.name for one in event.data}
        return event.complete({name: one for name, one in event_data.kwargs.items() if name in names})

    def apply(self, row: Row, model: object, data: Mapping[str, Datum] = NO_DATA) -> None:
        """Change a model's variables and state as the row says, with the data of its event."""
        new = row.apply(self.values(model), data)
        for effect in row.effects:
            setattr(model, self.attribute(effect.name, model), new[effect.name])
        if row.moves:
            self.set_state(row.target, model)


def _fits(chart: Chart, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    problems = [f"{name} are the chart's" for name in ("states", "transitions") if name in options]
    if len(args) > 1:
        problems.append("beside chart= everything but the model is given by name")
    if options.get("initial", chart.initial) not in chart.states:
        problems.append(f"the initial state {options['initial']!r} is not one of its states")
    if chart.has_event(held := options.get("model_attribute", "state")):
        problems.append(f"its event {held} has the name of the state attribute; choose another model_attribute=")
    if problems:
        raise DefinitionError(f"a machine of {chart.name}", tuple(problems))


def as_transition(row: Row) -> dict[str, object]:
    """Return the arguments of `add_transition` for a row; one that stays becomes an internal transition."""
    return {
        "trigger": row.event, "source": row.source, "dest": row.target if row.leaves else None,
        "conditions": [row.guard] if row.guard != ALWAYS else [], "row": row,
    }


# ----------------------------------------------------------------------------- the machine behind a session class


class _State(core.State):
    """A state that reports added callbacks to its machine."""

    machine: ClassMachine

    def add_callback(self, trigger: str, func: str | Callable[..., bool | None]) -> None:
        """Add a callback; the events concerned go through transitions from now on."""
        _plain(func)
        super().add_callback(trigger, func)
        self.machine.route()


class _Transition(Transition):
    machine: ClassMachine

    def add_callback(self, trigger: str, func: str | Callable[..., bool | None]) -> None:
        """Add a callback; the events concerned go through transitions from now on."""
        _plain(func)
        super().add_callback(trigger, func)
        self.machine.route()


def _plain(func: object) -> None:
    if kind := never_runs(func):
        problem = f"it is {kind}, which a step would not run; write a plain function, or react with session.steps()"
        raise DefinitionError(f"callback {getattr(func, '__qualname__', func)}", (problem,))


class ClassMachine(Machine):
    """The machine of a session class, for reading its rows and adding transitions callbacks.

    A callback gets an EventData and is called for every session of the class.  The events concerned run at the speed of
    transitions; the others keep their compiled triggers.  States and transitions are the chart's and cannot be changed.
    """

    state_cls = _State
    transition_cls = _Transition
    prefix = "_"
    _sealed = False

    def __init__(
        self,
        chart: Chart,
        owner: str,
        reroute: Callable[[frozenset[str]], object],
        applied: Callable[..., object],
    ) -> None:
        """Create the machine of the class named `owner`.

        `reroute` is called with the events that must go through transitions whenever these change; `applied` with the
        session when the effects of a row have happened, and with the session and the error when there is one.
        """
        self.owner, self._reroute, self._applied = owner, reroute, applied
        super().__init__(chart=chart, model=None, send_event=True, model_attribute="_state")
        for one in chain(self.states.values(), self.get_transitions()):
            cast("_State | _Transition", one).machine = self
        self._sealed = True

    def fire(self, event: str, session: object, data: Mapping[str, Datum] = NO_DATA) -> bool:
        """Take a step of a session.  Return False if a condition added by hand does not hold."""
        return bool(self.events[event].trigger(session, **data))

    def callbacks(self, funcs: Iterable[Any], event_data: EventData) -> None:
        """Call these callbacks; `applied` is told of an error that those of `on_exception` would hide."""
        if event_data.error is not None:
            self._applied(event_data.model, event_data.error)
        super().callbacks(funcs, event_data)

    def apply(self, row: Row, model: object, data: Mapping[str, Datum] = NO_DATA) -> None:
        """Change the session's variables and state as the row says, and call `applied`."""
        super().apply(row, model, data)
        self._applied(model)

    def added(self, row: Row) -> tuple[Condition, ...]:
        """Return the conditions added by hand to the transition of a row."""
        all_of_event = (cast("Transition", one) for one in self.get_transitions(row.event))
        conditions = next(one.conditions for one in all_of_event if one.row is row)
        return tuple(Opaque(cast("Callable[..., bool]", c.func)) for c in conditions if callable(c.func))

    def route(self) -> None:
        """Have events with callbacks go through transitions, and the others through their compiled triggers."""
        if self._sealed:
            self._reroute(frozenset(name for name in self.events if self._has_callbacks(name)))

    def _has_callbacks(self, event: str) -> bool:
        if any(getattr(self, hook) for hook in HOOKS):
            return True
        for one in self.get_transitions(event):
            row = cast("Row", cast("Transition", one).row)
            moved = (self.get_state(row.source).on_exit, self.get_state(row.target).on_enter) if row.leaves else ()
            if any((one.prepare, one.before, one.after, *moved)):
                return True
        return False

    def add_model(self, model: Any, initial: Any = None) -> None:
        """Raise DefinitionError: the sessions of the class are not added to its machine."""
        self._refuse("take models")

    def add_states(self, states: Any, *args: Any, **kwargs: Any) -> None:
        """Raise DefinitionError: the table is the chart's."""
        if self._sealed:
            self._refuse("get states")
        super().add_states(states, *args, **kwargs)

    def add_transition(self, *args: Any, **kwargs: Any) -> None:
        """Raise DefinitionError: the table is the chart's."""
        if self._sealed:
            self._refuse("get transitions")
        super().add_transition(*args, **kwargs)

    def remove_transition(self, *args: Any, **kwargs: Any) -> None:
        """Raise DefinitionError: the table is the chart's."""
        self._refuse("lose transitions")

    def _refuse(self, what: str) -> None:
        problem = f"it cannot {what}: its table is the chart's; Machine(chart=...) is one you may change"
        raise DefinitionError(f"the machine of {self.owner}", (problem,))


HOOKS: Final = (
    "prepare_event", "before_state_change", "after_state_change", "finalize_event", "on_exception", "on_final",
)


def _routing(hook: str) -> property:
    usual = getattr(transitions.Machine, hook)

    def set_and_route(self: ClassMachine, value: Callable[..., object] | Iterable[object] | None) -> None:
        usual.fset(self, value)
        self.route()

    return property(usual.fget, set_and_route, doc=usual.__doc__)


for _hook in HOOKS:
    setattr(ClassMachine, _hook, _routing(_hook))
