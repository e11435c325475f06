"""A `transitions.Machine` -> chart: its states and transitions, with the conditions as functions of their names.

Of several transitions of a trigger in a state, transitions takes the first whose conditions hold; here a later row gets
the opposite of those before it.  Callbacks are not part of a table: they are named, and become listeners of a session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from fsm.chart import Chart, Row, State
from fsm.condition import ALWAYS, Condition, Opaque, negated
from fsm.errors import DefinitionError
from fsm.export.errors import ReadError
from fsm.export.lowered import all_of
from fsm.export.naming import plain
from fsm.validation import reachable

__all__ = ["FromMachine", "is_machine", "read"]


class FromMachine(NamedTuple):
    """A chart, what was dropped or changed, and the source of the functions that its guards call."""

    chart: Chart
    notes: tuple[str, ...]
    functions: tuple[str, ...]


def is_machine(value: object) -> bool:
    """Whether this is a machine of transitions."""
    return all(hasattr(value, name) for name in ("states", "events", "get_transitions", "initial"))


def read(machine: Any, name: str) -> FromMachine:
    """Return the chart of a machine.  ReadError for a hierarchical one, or one without a sound table."""
    return _Machine(machine).read(name)


class _Machine:
    def __init__(self, machine: Any) -> None:
        self.machine = machine
        self.notes: list[str] = []
        self.functions: dict[str, Callable[..., bool]] = {}

    def read(self, name: str) -> FromMachine:
        if any(getattr(state, "children", getattr(state, "states", None)) for state in self.machine.states.values()):
            raise ReadError("", "a hierarchical machine cannot be taken over; a chart is flat")
        rows = [row for event in self.machine.events.values() for row in self._rows(event)]
        initial = str(self.machine.initial)
        moves = [(row.source, row.target) for row in rows if row.moves]
        reached = reachable({initial}, moves)
        names = [str(name) for name in self.machine.states]
        self.notes += [f"the state {one!r} cannot be reached and was dropped" for one in names if one not in reached]
        rows = [row for row in rows if row.source in reached]
        final = {
            str(n) for n, state in self.machine.states.items() if getattr(state, "final", False) and str(n) in reached
        }
        for row in [row for row in rows if row.source in final and row.moves]:
            self.notes.append(f"the transition {row.id!r} was dropped: {row.source!r} is final")
            rows.remove(row)
        moves = [(row.target, row.source) for row in rows if row.moves]
        home = reachable(final, moves) if final else set(names)
        leaving = {row.source for row in rows if row.moves}
        stuck = {
            n for n in names if n in reached - final and (n not in home or (n not in leaving and len(reached) > 1))
        }
        self.notes += [f"no way leads from {one!r} to a final state; it is absorbing now" for one in sorted(stuck)]
        self._callbacks()
        states = [State(n, final=n in final, absorbing=n in stuck) for n in names if n in reached]
        try:
            events = list(dict.fromkeys(row.event for row in rows))
            chart = Chart(name, states=states, events=events, rows=rows, initial=initial)
        except DefinitionError as error:
            raise ReadError("", str(error)) from None
        return FromMachine(chart, tuple(dict.fromkeys(self.notes)), tuple(map(_source, self.functions)))

    def _rows(self, event: Any) -> Iterator[Row]:
        if event.name in {f"to_{name}" for name in self.machine.states} and self.machine.auto_transitions:
            self.notes.append("the automatic transitions to_... were dropped; Machine(auto_transitions=False) has none")
            return
        for source, transitions in event.transitions.items():
            before: list[Condition] = []
            for number, one in enumerate(transitions):
                if ALWAYS in before:
                    self.notes.append(
                        f"a transition of {str(source)!r} on {event.name!r} that can never be taken was dropped"
                    )
                    continue
                guard = self._guard(one.conditions)
                id = f"{source}.{event.name}" if not number else f"{source}.{event.name}.{number + 1}"
                whole = all_of(guard, *map(negated, before))
                target, comes_back = (str(source), False) if one.dest is None else (str(one.dest), one.dest == source)
                yield Row(id, str(source), event.name, whole, (), target, (), "", comes_back)
                before.append(guard)

    def _guard(self, conditions: Iterable[Any]) -> Condition:
        return all_of(*(Opaque(self._function(one.func), not one.target) for one in conditions))

    def _function(self, condition: Any) -> Callable[..., bool]:
        """The function that stands for a condition; two of one name are one."""
        name = plain(condition if isinstance(condition, str) else getattr(condition, "__name__", "condition"))
        if name not in self.functions:

            def ask(model: Any) -> bool:
                return bool(getattr(model, name)())

            ask.__name__ = ask.__qualname__ = name
            self.functions[name] = ask
        return self.functions[name]

    def _callbacks(self) -> None:
        """Name what the machine calls, which a table does not."""
        for event in self.machine.events.values():
            for one in (one for several in event.transitions.values() for one in several):
                for moment in ("prepare", "before", "after"):
                    for callback in getattr(one, moment, ()):
                        self.notes.append(f"the callback {_name(callback)} {moment} {event.name!r} was dropped")
        for name, state in self.machine.states.items():
            for moment in ("on_enter", "on_exit"):
                for callback in getattr(state, moment, ()):
                    self.notes.append(f"the callback {_name(callback)} {moment} of {str(name)!r} was dropped")
        for moment in ("prepare_event", "before_state_change", "after_state_change", "finalize_event", "on_exception"):
            for callback in getattr(self.machine, moment, None) or ():
                self.notes.append(f"the callback {_name(callback)} ({moment}) was dropped")


def _name(callback: object) -> str:
    return callback if isinstance(callback, str) else getattr(callback, "__name__", type(callback).__name__)


def _source(name: str) -> str:
    return f'\ndef {name}(model):\n    """Ask the model."""\n    return model.{name}()\n'
