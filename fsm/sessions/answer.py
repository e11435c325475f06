"""What became of an event: the answer that its sender gets, the history keeps, and a follower is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fsm.condition import Datum

__all__ = ["Answer", "event_text", "to_json"]

Json = str | int | float | bool | None
to_json: Final = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to an event.  True if the event was accepted.

    `reason` says why it was refused; a refused event is recorded and has changed nothing.  `state` and `values` are
    those of the session after it, values by name as in a snapshot; `seq` counts the answers of the session from 1, and
    `at` is the time in seconds since 1970.  `repeated` is true if the event had been answered before under its id, and
    does not count when answers are compared.  `note` is what its sender had to say, `"due"` for an event that fell due.
    An answer without an event is a migration to the chart of `fingerprint`.
    """

    key: str
    seq: int
    event: str
    data: Mapping[str, Datum]
    reason: str | None
    state: str
    values: Mapping[str, Json]
    at: float
    fingerprint: str
    event_id: str | None = None
    note: str | None = None
    repeated: bool = field(default=False, compare=False)
    position: str | None = field(default=None, compare=False)
    """Where it stands in `follow()`, to go on after it; None elsewhere."""

    @property
    def accepted(self) -> bool:
        """Whether the event was accepted."""
        return self.reason is None

    def __bool__(self) -> bool:
        return self.reason is None

    def __str__(self) -> str:
        if not self.event:
            return f"{self.key}: moved to the chart {self.fingerprint}, {self.state}"
        said = f"-> {self.state}" if self.accepted else f"refused in {self.state}: {self.reason}"
        return f"{self.key}: {event_text(self.event, self.data)} {said}"


def event_text(event: str, data: Mapping[str, Datum]) -> str:
    """Return an event with its data for people: `pay(amount=5)`."""
    return f"{event}({', '.join(f'{name}={value!r}' for name, value in data.items())})" if data else event
