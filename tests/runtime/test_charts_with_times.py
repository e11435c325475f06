"""Charts with times, walked at random in simulated time: the times are kept, and storing a session in between changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings

from fsm import Chart, Refused, Session, Step
from fsm.analysis.trace import Call, call
from fsm.commands.chart_files import module_of
from fsm.runtime import Timers
from fsm.testing.clock import SimulatedClock
from fsm.testing.strategies import Wait, events
from fsm.testing.trace_check import time_problems
from tests.readme import ROOT
from tests.runtime.bell import BELL


def charts() -> list[Chart]:
    files = [ROOT / "examples" / "alarm.py", *sorted((ROOT / "examples" / "charts").glob("*.py"))]
    found = [value for file in files for value in vars(loaded(file)).values() if isinstance(value, Chart)]
    return [BELL, *(chart for chart in found if any(state.after for state in chart.states))]


def loaded(file: Path) -> object:
    return module_of(f"{file}:x")


class Moments:
    """Every event with its moment, as it happens or is refused."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock, self.seen = clock, list[tuple[float, str]]()

    def on_step(self, step: Step) -> None:
        self.note(step.session.chart, step.event, step.data)

    def on_refused(self, refused: Refused) -> None:
        self.note(refused.verdict.chart, refused.verdict.event, refused.verdict.data or {})

    def note(self, chart: Chart, event: str, data: Mapping[str, object]) -> None:
        declared = chart.event(event)
        self.seen.append((self.clock.monotonic(), call(declared, declared.complete(data))))


@pytest.mark.parametrize("chart", charts(), ids=lambda chart: chart.name)
def test_the_times_are_kept_also_by_a_session_that_is_stored_in_between(chart: Chart) -> None:
    new = Session.of(chart)

    @settings(max_examples=40, deadline=None)
    @given(events(chart, waits=True, max_size=12))
    def holds(trace: list[Call | Wait]) -> None:
        clock = SimulatedClock()
        timers, moments = Timers(clock), Moments(clock)
        session, stored = timers.attach(new()), timers.attach(new())
        session.listen(moments)
        for step in trace:
            stored = timers.restore(new, json.loads(json.dumps(timers.snapshot(stored))))
            if isinstance(step, Wait):
                clock.advance(step)
            else:
                session.fire(step.event, **step.data)
                stored.fire(step.event, **step.data)
            assert stored.configuration == session.configuration
        assert [*time_problems(chart, chart.start(), moments.seen, tolerance=1e-5)] == []

    holds()
