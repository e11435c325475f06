"""C's words for a chart: its identifiers, and its expressions, in which sums are computed in 64 bits."""

from __future__ import annotations

from typing import Final

from fsm.condition import label
from fsm.export import reserved
from fsm.export.lowered import Comparison, Label, Table, Total, initial
from fsm.export.naming import Names, in_comment
from fsm.export.words import Words
from fsm.variable import Choice, Variable

__all__ = ["ANSWERS", "MOST", "CWords", "literal", "note"]

MOST: Final = 2**32 - 1
"""The largest count."""
ANSWERS: Final = ("ACCEPTED", "ILLEGAL", "REFUSED", "FINISHED", "FULL")
FUNCTIONS: Final = ("start", "fire", "flags", "sound", "delay", "state_name", "event_name", "data")


def literal(text: str) -> str:
    """Return text as a string literal of C."""
    octets = text.encode("utf-8", "surrogatepass")
    return '"' + "".join(chr(o) if 32 <= o < 127 and chr(o) not in '"\\?' else f"\\{o:03o}" for o in octets) + '"'


def note(text: str) -> str:
    """Return a comment that stands behind something, if there is anything to say."""
    return f" /* {in_comment(text)} */" if text else ""


class CWords(Words):
    """The identifiers and expressions of one header."""

    always, never = "1", "0"

    def __init__(self, table: Table) -> None:
        """Name everything in the chart's order."""
        chart, self.data = table.chart, table.numbers
        self.names, self.members = Names(reserved.C | reserved.C_LIBRARY), Names(reserved.C)
        self.prefix = self.names.give("chart", chart.name)
        upper = self.prefix.upper()
        for name in FUNCTIONS:
            self.names.give("function", name, self.prefix + "_{}")
        for name in (*ANSWERS, "H"):
            self.names.give("answer", name, upper + "_{}")
        for kind, names in (("state", chart.states), ("event", chart.events), ("is", [o.name for o in chart.outputs])):
            for name in names:
                self.names.give(kind, str(name), f"{upper}_{kind.upper()}_{{}}", str.upper)
        for variable in chart.variables:
            member = self.members.give("variable", variable.name)
            if isinstance(variable, Choice):
                self.names.give("names of", variable.name, f"{self.prefix}_{{}}_name")
                for value in variable.values:
                    self.names.give(f"{variable.name} is", label(value), f"{upper}_{member.upper()}_{{}}", str.upper)
        for name in table.numbers:
            self.members.give("datum", name)
        for event in chart.events:
            self.names.give("trigger", str(event), self.prefix + "_{}")

    def answer(self, name: str) -> str:
        """One of ANSWERS."""
        return self.names("answer", name)

    def function(self, name: str) -> str:
        """One of the header's own functions."""
        return self.names("function", name)

    def state(self, name: str) -> str:
        """The constant of a state."""
        return self.names("state", str(name))

    def variable(self, name: str) -> str:
        """A member of `s`, or a parameter."""
        return self.members("datum", name) if name in self.data else f"s->{self.members('variable', name)}"

    def kept(self, name: str) -> str:
        """A constant of the block."""
        return f"before_{self.members('variable', name)}"

    def value(self, name: str, value: Label) -> str:
        """The constant of a value."""
        return self.names(f"{name} is", label(value))

    def starts_with(self, variable: Variable) -> str:
        """What a variable has at the start."""
        value = initial(variable)
        return self.number(value) if type(value) is int else self.value(variable.name, value)  # type: ignore[arg-type]

    def number(self, number: int) -> str:
        """A number of 32 bits where it fits."""
        return f"{number}u" if number <= MOST else f"{number}ull"

    def term(self, name: str, factor: int) -> str:
        """A product of 64 bits."""
        return super().term(name, 1) if factor == 1 else f"{factor}ull * {super().term(name, 1)}"

    def total(self, total: Total) -> str:
        """A sum of 64 bits, unless it is a name alone, or less a number."""
        text = super().total(total)
        grows = len(total.terms) > 1 or (total.terms and total.constant > 0)
        return f"(uint64_t){text}" if grows and not text[0].isdigit() else text

    def comparison(self, guard: Comparison) -> str:
        """More than 0 is unequal to it; what no count can reach is decided here, as compilers would say."""
        left, op, right = guard
        most = left.weight * MOST + left.constant
        if not right.terms and (most < right.constant or (most == right.constant and op in ("<=", ">"))):
            return self.always if op in ("<", "<=", "!=") else self.never
        if op == ">" and right == Total(()):
            return f"{self.total(left)} != 0u"
        return super().comparison(guard)
