"""Python's words for a chart: its names, and its expressions."""

from __future__ import annotations

from fsm.export import reserved
from fsm.export.lowered import Label, Table
from fsm.export.naming import Names, camel, in_comment
from fsm.export.words import Words
from fsm.variable import Choice

__all__ = ["PythonWords", "quoted"]


def quoted(text: str) -> str:
    """Return text for a docstring."""
    shown = in_comment(text).replace("\\", "\\\\")
    return f"{shown} " if shown.endswith('"') else shown


class PythonWords(Words):
    """The names and expressions of one module."""

    both, either, opposite, always, never = " and ", " or ", "not ", "True", "False"

    def __init__(self, table: Table) -> None:
        """Name everything in the chart's order."""
        self.names, self.numbers, self.timed = Names(reserved.PYTHON), table.numbers, table.timed
        self.local: frozenset[str] = frozenset()
        self.reads: dict[str, int] = {}
        for name in (*table.chart.names, *table.data):
            self.names.give("value", name)
        for event in table.chart.events:
            self.names.give("event", str(event))
        for output in table.chart.outputs:
            self.names.give("output", output.name)
        for v in table.chart.variables:
            if isinstance(v, Choice):
                self.names.give("values of", v.name, "{}_VALUES", str.upper)
        self.cls = self.names.give("class", camel(table.chart.name))

    def variable(self, name: str) -> str:
        """An attribute, or a parameter; an attribute that is read more than once is a local variable."""
        found = self.names("value", name)
        self.reads[name] = self.reads.get(name, 0) + 1
        return found if name in self.numbers or name in self.local else f"self.{found}"

    def kept(self, name: str) -> str:
        """A local variable."""
        return f"_{self.names('value', name)}"

    def value(self, name: str, value: Label) -> str:
        """A string, True, False or None."""
        return repr(value)

    def is_one(self, name: str, value: Label, negated: bool) -> str:
        """None is compared by identity."""
        if value is None:
            return f"{self.variable(name)} is {'not ' if negated else ''}None"
        return super().is_one(name, value, negated)
