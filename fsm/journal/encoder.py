"""Encode accepted events as lines of a journal: what `reader.entry` returns, as JSON, and faster.

The part of an entry that describes the configuration after it depends on that alone, and is cached.  So are the quoted
names, of which there are few.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from fsm.chart import Chart, Configuration
from fsm.condition import Value
from fsm.snapshot import jsonable

__all__ = ["ENCODE", "Encoder"]

ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode
REMEMBERED: Final = 4096
"""The number of configurations that are cached for each session."""


class Encoder:
    """Encodes the lines of one session of a chart, without line ends."""

    def __init__(self, chart: Chart, session: str) -> None:
        self._chart = chart
        self._head = f'{{"session":{ENCODE(session)},"seq":'
        self._names = [ENCODE(name) for name in chart.names]
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._configuration)
        self._flags = lru_cache(maxsize=REMEMBERED)(self._outputs)

    def line(
        self, seq: int, event: str, before: Configuration, after: Configuration, flags: int, more: Mapping[str, object]
    ) -> str:
        """Return the line of an accepted event; `flags` are those after it.

        `more` are further keys and values, which must not be keys of an entry.
        """
        head = f'{self._head}{seq},"event":{_quoted(event)},"accepted":true,"from":{_quoted(before[0])}'
        end = "".join([f",{_quoted(key)}:{ENCODE(value)}" for key, value in more.items()])
        return f"{head},{self._remembered(after)},{self._flags(flags)}{end}}}"

    def _configuration(self, after: Configuration) -> str:
        values = [
            f",{name}:{value if type(value) is int else _quoted(value)}"
            for name, value in zip(self._names, after[1:], strict=True)
        ]
        return f'"state":{_quoted(after[0])}{"".join(values)}'

    def _outputs(self, flags: int) -> str:
        return f'"flags":{flags},"flag_names":{ENCODE(self._chart.flag_names(flags))},"reason":null'


@lru_cache(maxsize=1024, typed=True)
def _quoted(value: Value) -> str:
    return ENCODE(jsonable(value))
