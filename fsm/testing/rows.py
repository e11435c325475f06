"""Which rows of a chart did a test run take?  `pytest --fsm-rows module:CHART` tells, in text and as a picture.

Theory.
1. A row is taken when a trigger of a session of that chart has succeeded by it: of any class, fired by whoever.  Charts
   are recognised by their fingerprint.  Models of `fsm.Machine` are not counted: they have transitions' own events.
2. Sessions are counted from the first one of a class on.  The row is found before the trigger is called, so a callable
   guard is asked twice.
3. Several processes of one run (pytest-xdist) are added up.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsm.chart import Chart
from fsm.engine import Engine
from fsm.verdict import judge

if TYPE_CHECKING:
    from fsm.compiler import Compiled, Refuse

__all__ = ["TakenRows", "chart_named"]


class TakenRows:
    """The rows of a chart, and how often each was taken."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.taken: Counter[str] = Counter()

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count, as long as the block lasts, the steps of sessions whose class takes its first step in it."""
        plain = Engine.compile

        def compile(engine: Engine, refuse: Refuse) -> Compiled:
            made = engine.compiled is None
            compiled = plain(engine, refuse)
            if made and engine.chart.fingerprint == self.chart.fingerprint:
                triggers = {event: self._counted(event, compiled) for event in compiled.triggers}
                engine.compiled = compiled = compiled._replace(triggers=triggers)
            return compiled

        Engine.compile = compile  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            Engine.compile = plain  # type: ignore[method-assign]

    def _counted(self, event: str, compiled: Compiled) -> Callable[..., Any]:
        trigger = compiled.triggers[event]

        def counted(session: Any, *given: object, **data: Any) -> object:
            verdict = judge(self.chart, compiled.read(session), event, session, data)
            result = trigger(session, *given, **data)
            if verdict.row is not None:
                self.taken[verdict.row.id] += 1
            return result

        return counted

    def add(self, taken: Mapping[str, int]) -> None:
        """Add the rows that another process has taken."""
        self.taken.update(taken)

    @property
    def missed(self) -> tuple[str, ...]:
        """The ids of the rows that were not taken, in the chart's order."""
        return tuple(row.id for row in self.chart.rows if not self.taken[row.id])

    def __str__(self) -> str:
        rows = len(self.chart.rows)
        head = f"{self.chart.name}: {rows - len(self.missed)} of {rows} rows taken"
        missed = map(self.chart.row, self.missed)
        lines = [f"  {row.id}: {row.source} --{row.event}--> {row.target}" for row in missed]
        return "\n".join([head + (", not" if lines else ""), *lines])

    def svg(self) -> str:
        """Return the chart's picture, the rows that were taken highlighted.  DrawingError without a renderer."""
        from fsm import draw

        ids = [row.id for row in self.chart.rows if self.taken[row.id]]
        caption = [f"{len(ids)} of {len(self.chart.rows)} rows"]
        title = f"{self.chart.name}: taken by the tests"
        taken = draw.rows(self.chart, ids, name="taken", title=title, caption=caption, meaning="taken")
        return draw.svg(self.chart, taken)


def chart_named(text: str) -> Chart:
    """Return the chart `module:NAME`, also of a module in the present folder.  ValueError if there is none."""
    module, _, name = text.partition(":")
    sys.path.append(str(Path.cwd()))  # `python -m pytest` has it there, `pytest` has not
    try:
        chart = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"--fsm-rows takes a chart as module:NAME, and {text!r} is none ({error})") from None
    if not isinstance(chart, Chart):
        raise ValueError(f"--fsm-rows takes a chart, and {text} is {type(chart).__name__}")
    return chart
