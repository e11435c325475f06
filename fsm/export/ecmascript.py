"""Expressions in ECMAScript: for JavaScript, SCXML and XState."""

from __future__ import annotations

import json
from typing import Final

from fsm.export import reserved
from fsm.export.errors import ExportError
from fsm.export.lowered import Label, Table
from fsm.export.naming import Names, camel
from fsm.export.words import Words

__all__ = ["JavaScript", "exact_limit"]

EXACT: Final = 2**53 - 1
"""The largest number up to which JavaScript counts exactly."""


class JavaScript(Words):
    """Expressions in JavaScript; the variables are properties of `subject`."""

    operators = {"==": "===", "!=": "!=="}

    def __init__(self, table: Table, subject: str) -> None:
        """Name everything in the chart's order."""
        self.names, self.subject, self.numbers, self.timed = (
            Names(reserved.JAVASCRIPT_MODULE),
            subject,
            table.numbers,
            table.timed,
        )
        for name in (*table.chart.names, *table.data):
            self.names.give("value", name)
        for event in table.chart.events:
            self.names.give("event", str(event))
        self.cls = self.names.give("class", camel(table.chart.name))

    def variable(self, name: str) -> str:
        """A property, or a parameter."""
        return self.names("value", name) if name in self.numbers else f"{self.subject}.{self.names('value', name)}"

    def kept(self, name: str) -> str:
        """A constant of the block."""
        return f"_{self.names('value', name)}"

    def value(self, name: str, value: Label) -> str:
        """A string, true, false or null."""
        return json.dumps(value)


def exact_limit(table: Table, format: str) -> int:
    """Return the largest count for which every sum of the table is exact.  ExportError if there is none to speak of."""
    limits = [(EXACT - abs(total.constant)) // max(total.weight, 1) for total in table.totals()]
    if min(limits, default=EXACT) < 1 or any(int(o.bit) > EXACT for o in table.chart.outputs):
        raise ExportError(table.chart.name, format, "a number in it is larger than 2**53 - 1, as JavaScript counts")
    return min(limits, default=EXACT)
