"""Promela's words for a chart: its names, and its expressions."""

from __future__ import annotations

from fsm.condition import label
from fsm.export import reserved
from fsm.export.lowered import Label, Table
from fsm.export.naming import Names
from fsm.export.words import Words
from fsm.variable import Choice

__all__ = ["PromelaWords"]


class PromelaWords(Words):
    """The names and expressions of one model."""

    def __init__(self, table: Table) -> None:
        """Name everything in the chart's order."""
        self.names, self.data = Names(reserved.PROMELA), dict[str, int]()
        chart = table.chart
        for name in chart.names:
            self.names.give("variable", name)
            self.names.give("earlier value of", name, "before_{}")
        for kind, names in (("state", chart.states), ("event", chart.events)):
            for one in names:
                self.names.give(kind, str(one), "{}" if kind == "state" else "on_{}")
        for v in chart.variables:
            for value in v.values if isinstance(v, Choice) else ():
                self.names.give(f"{v.name} is", label(value), f"{v.name}_{{}}")

    def variable(self, name: str) -> str:
        """A variable, or the number that the event brings in this step."""
        return str(self.data[name]) if name in self.data else self.names("variable", name)

    def kept(self, name: str) -> str:
        """A hidden variable."""
        return self.names("earlier value of", name)

    def value(self, name: str, value: Label) -> str:
        """The constant of a value."""
        return self.names(f"{name} is", label(value))

    def state(self, name: str) -> str:
        """The constant of a state."""
        return self.names("state", str(name))
