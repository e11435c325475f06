"""A step of a session as it is told after the session was saved: without the session, which may have moved on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fsm.chart import Row
from fsm.condition import Datum
from fsm.session import Step

__all__ = ["Taken"]


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that a session has taken: the event with its data, the row, and the states before and after it."""

    event: str
    data: Mapping[str, Datum]
    row: Row
    source: str
    target: str

    @classmethod
    def of(cls, step: Step) -> Taken:
        """Return what a listener got."""
        return cls(step.event, step.data, step.row, step.source, step.target)
