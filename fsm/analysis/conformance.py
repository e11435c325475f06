"""Three ways to take the same step, compared: the rows as data, the compiled triggers, and the chart's own
`transitions` machine.  In every configuration of a graph, for every event.

The transitions machine is not asked about a cell with a callable guard: the callable expects a session.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fsm.analysis.reachability import Graph
from fsm.analysis.trace import Call
from fsm.chart import Chart, Configuration
from fsm.condition import Facts
from fsm.machine import Machine
from fsm.session import Session
from fsm.verdict import Refused

__all__ = ["Disagreement", "disagreements"]


class Disagreement(NamedTuple):
    """Two ways of taking an event that differ in this configuration (by number).

    `kind` is `rows` (several are enabled), `refusal` (something changed), `compiled` or `machine`.
    """

    kind: str
    number: int
    event: str
    detail: str


class _Model:
    """The model of the transitions machine: a plain object."""


def disagreements(graph: Graph) -> Iterator[Disagreement]:
    """Find all disagreements, in the order of the configurations and events; a sound chart has none."""
    chart = graph.chart
    cls = Session.of(chart)
    session = cls.unchecked(graph.configurations[0])
    run = cls.compiled()
    machine = _TransitionsMachine(chart)
    opaque = {(row.source, row.event) for row in chart.opaque}
    for number, here in enumerate(graph.configurations):
        values = chart.values(here)
        for event in graph.calls:
            cell = chart.rows_for(str(here[0]), event.event)
            run.write(session, here)
            known: Facts = {**values, **event.data}
            enabled = [row for row in cell if row.guard.holds(known, session)]
            if len(enabled) > 1:
                detail = f"{' and '.join(row.id for row in enabled)} are enabled together in {chart.describe(here)}"
                yield Disagreement("rows", number, event, detail)
            expected = chart.after(here, enabled[0], event.data) if enabled else None
            run.write(session, here)
            try:
                run.triggers[event.event](session, **event.data)
                found: Configuration | None = run.read(session)
            except Refused:
                found = None
                if (left := run.read(session)) != here:
                    detail = f"{event} was refused in {chart.describe(here)}, and left {chart.describe(left)}"
                    yield Disagreement("refusal", number, event, detail)
            if found != expected:
                yield Disagreement("compiled", number, event, _disagreement(chart, here, event, expected, found))
            if (str(here[0]), event.event) not in opaque and (other := machine.fire(here, event)) != expected:
                yield Disagreement("machine", number, event, _disagreement(chart, here, event, expected, other))


class _TransitionsMachine:
    """The real `transitions` machine of a chart, with one model that can be put into any configuration."""

    def __init__(self, chart: Chart) -> None:
        self.chart, self.model = chart, _Model()
        # no model and no triggers on it: an event may be called like something that every object has
        self.machine = Machine(chart=chart, model=None, model_attribute="where it stands")

    def fire(self, here: Configuration, event: Call) -> Configuration | None:
        """Return where the event leads, or None when the machine does not take it."""
        for name, value in zip(self.chart.names, here[1:], strict=True):
            setattr(self.model, self.machine.attribute(name, self.model), value)
        self.machine.set_state(str(here[0]), self.model)
        known = self.machine.get_transitions(event.event, str(here[0]))  # without any it would raise MachineError
        if not known or not self.machine.events[event.event].trigger(self.model, **event.data):
            return None
        return self.machine.configuration(self.model)


def _disagreement(
    chart: Chart, here: Configuration, event: str, expected: Configuration | None, found: Configuration | None
) -> str:
    ends = [chart.describe(one) if one is not None else "a refusal" for one in (expected, found)]
    return f"{event} in {chart.describe(here)} should lead to {ends[0]}, and led to {ends[1]}"
