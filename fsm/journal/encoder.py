"""Accepted events as lines of a journal, written quickly: the same as `journal.entry` says, as JSON.

Theory.
1. What an entry says of the configuration after it depends on that alone, so its text is made once and remembered.
2. Names are few; each is quoted once.

This file does not know where lines go.
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
"""Configurations, for each session."""


class Encoder:
    """Writes the lines of one session of a chart.  They have no line end."""

    def __init__(self, chart: Chart, session: str) -> None:
        self._chart = chart
        self._head = f'{{"session":{ENCODE(session)},"seq":'
        self._names = [ENCODE(name) for name in chart.names]
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._configuration)
        self._flags = lru_cache(maxsize=REMEMBERED)(self._outputs)

    def line(
        self, seq: int, event: str, before: Configuration, after: Configuration, flags: int, more: Mapping[str, object]
    ) -> str:
        """The line of an accepted event; `flags` are those after it.

        `more` is what else the line says (no keys of an entry).
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
