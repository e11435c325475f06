"""Three ways to make the same step, held against each other: the rows as data, the compiled triggers, and the real
`transitions` machine made of the chart.  In every configuration of a graph, for every event.

A cell with a callable guard is not asked of the transitions machine: the callable was written for a session.
This file does not know what becomes of a disagreement.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fsm.analysis.reachability import Graph
from fsm.chart import Chart, Configuration
from fsm.machine import Machine
from fsm.session import Session
from fsm.verdict import Refused

__all__ = ["Disagreement", "disagreements"]


class Disagreement(NamedTuple):
    """In this configuration (by number) this event is treated in two ways.

    `kind` is `rows` (several are enabled), `refusal` (something changed), `compiled` or `machine`.
    """

    kind: str
    number: int
    event: str
    detail: str


class _Model:
    """What the transitions machine moves: a plain object."""


def disagreements(graph: Graph) -> Iterator[Disagreement]:
    """All of them, in the order of the configurations and events; none for a sound chart."""
    chart = graph.chart
    cls = Session.of(chart)
    session = cls.at(graph.configurations[0])
    run = cls.compiled()
    machine = _TransitionsMachine(chart)
    opaque = {(row.source, row.event) for row in chart.opaque}
    for number, here in enumerate(graph.configurations):
        values = chart.values(here)
        for event in map(str, chart.events):
            cell = chart.rows_for(str(here[0]), event)
            run.write(session, here)
            enabled = [row for row in cell if row.guard.holds(values, session)]
            if len(enabled) > 1:
                detail = f"{' and '.join(row.id for row in enabled)} are enabled together in {chart.describe(here)}"
                yield Disagreement("rows", number, event, detail)
            expected = chart.after(here, enabled[0]) if enabled else None
            run.write(session, here)
            try:
                run.triggers[event](session)
                found: Configuration | None = run.read(session)
            except Refused:
                found = None
                if (left := run.read(session)) != here:
                    detail = f"{event} was refused in {chart.describe(here)}, and left {chart.describe(left)}"
                    yield Disagreement("refusal", number, event, detail)
            if found != expected:
                yield Disagreement("compiled", number, event, _disagreement(chart, here, event, expected, found))
            if (str(here[0]), event) not in opaque and (other := machine.fire(here, event)) != expected:
                yield Disagreement("machine", number, event, _disagreement(chart, here, event, expected, other))


class _TransitionsMachine:
    """The real `transitions` machine of a chart, with one model that is put wherever it is asked."""

    def __init__(self, chart: Chart) -> None:
        self.chart, self.model = chart, _Model()
        # no model and no triggers on it: an event may be called like something that every object has
        self.machine = Machine(chart=chart, model=None, model_attribute="where it stands")

    def fire(self, here: Configuration, event: str) -> Configuration | None:
        """Where the event leads, or None when the machine does not take it."""
        for name, value in zip(self.chart.names, here[1:], strict=True):
            setattr(self.model, name, value)
        self.machine.set_state(str(here[0]), self.model)
        known = self.machine.get_transitions(event, str(here[0]))  # without any, transitions would raise MachineError
        if not known or not self.machine.events[event].trigger(self.model):
            return None
        return self.machine.configuration(self.model)


def _disagreement(
    chart: Chart, here: Configuration, event: str, expected: Configuration | None, found: Configuration | None
) -> str:
    ends = [chart.describe(one) if one is not None else "a refusal" for one in (expected, found)]
    return f"{event} in {chart.describe(here)} should lead to {ends[0]}, and led to {ends[1]}"
