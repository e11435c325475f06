"""SCXML's words for a chart: its names, and its expressions, as conditions or as the numbers 1 and 0."""

from __future__ import annotations

from fsm.condition import label
from fsm.export import reserved
from fsm.export.lowered import Comparison, Guard, Kept, Label, Membership, Table
from fsm.export.naming import Names
from fsm.export.words import Words
from fsm.variable import Boolean, Choice

__all__ = ["Arithmetic", "ScxmlWords"]


class ScxmlWords(Words):
    """The names and conditions of one document."""

    operators = {"==": "===", "!=": "!=="}
    always, never = "1 === 1", "1 === 0"

    def __init__(self, table: Table) -> None:
        """Name everything in the chart's order."""
        self.names, self.events, self.numbers = Names(reserved.XML), Names(reserved.XML), table.numbers
        self.values: dict[tuple[str, str], str] = {}
        for name in ("flags", "accepted"):
            self.names.give("datum of the document", name)
        for name in (*table.chart.names, *table.data):
            self.names.give("value", name)
        for kept in dict.fromkeys(e.name for one in table.rows for e in one.effects if isinstance(e.name, Kept)):
            self.names.give("earlier value of", kept, "before_{}")
        for v in table.chart.variables:
            values = Names()
            for value in v.values if isinstance(v, Choice) and not isinstance(v, Boolean) else ():
                self.values[v.name, label(value)] = values.give(f"{v.name} is", label(value))
            self.names.changed += values.changed
        for state in table.chart.states:
            self.names.give("state", str(state))
        for event in table.chart.events:
            self.events.give("event", str(event))

    def variable(self, name: str) -> str:
        """A datum of the document, or of the event."""
        found = self.names("value", name)
        return f"_event.data.{found}" if name in self.numbers else found

    def kept(self, name: str) -> str:
        """A datum of the document's own."""
        return self.names("earlier value of", name)

    def value(self, name: str, value: Label) -> str:
        """A string, 1 or 0."""
        return str(int(value)) if isinstance(value, bool) else f"'{self.values[name, label(value)]}'"

    def is_one(self, name: str, value: Label, negated: bool) -> str:
        """A value is compared, true and false as 1 and 0."""
        op = "!=" if negated else "=="
        return f"{self.variable(name)} {self.operators[op]} {self.value(name, value)}"


class Arithmetic(ScxmlWords):
    """Conditions as numbers: 1 when they hold, otherwise 0."""

    operators = {"==": "==", "!=": "!="}

    @classmethod
    def of(cls, words: ScxmlWords) -> Arithmetic:
        """With the names of the conditions."""
        numbers = cls.__new__(cls)
        numbers.__dict__ = words.__dict__
        return numbers

    def guard(self, guard: Guard, nested: bool = False) -> str:
        """A product is all of its parts, a sum above 0 any."""
        if isinstance(guard, (Comparison, Membership)) and (isinstance(guard, Comparison) or len(guard.values) == 1):
            return f"({super().guard(guard)})"
        if isinstance(guard, Membership):
            parts = [f"({self.is_one(guard.name, value, guard.negated)})" for value in guard.values]
            return " * ".join(parts) if guard.negated else f"({' + '.join(parts)} > 0)"
        parts = [self.guard(part) for part in guard.parts]
        return (" * ".join(parts) or "1") if guard.every else f"({' + '.join(parts) or '0'} > 0)"
