"""How languages write expressions: what is the same in all of them is here, and each language says where it differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from fsm._version import __version__
from fsm.chart import Chart, Output
from fsm.export.lowered import ALWAYS, Comparison, Guard, Kept, Label, Membership, Table, Total

__all__ = ["Words", "made_by"]


def made_by(chart: Chart, format: str) -> str:
    """Say how a file was made, for its header."""
    return (
        f"Written by fsm {__version__} (fsm export --format {format}) from the chart {chart.fingerprint}; do not edit"
    )


class Words:
    """The expressions of a language.  `variable` and `value` are what a language has to say itself."""

    both: ClassVar[str] = " && "
    either: ClassVar[str] = " || "
    opposite: ClassVar[str] = "!"
    always: ClassVar[str] = "true"
    never: ClassVar[str] = "false"
    operators: ClassVar[Mapping[str, str]] = {}

    def variable(self, name: str) -> str:
        """The present value of a variable, or a datum of the event."""
        raise NotImplementedError

    def kept(self, name: str) -> str:
        """The temporary that holds the value which a variable had before the step."""
        raise NotImplementedError

    def value(self, name: str, value: Label) -> str:
        """A value of an enumerated variable."""
        raise NotImplementedError

    def number(self, number: int) -> str:
        """A whole number, 0 or more."""
        return str(number)

    def term(self, name: str, factor: int) -> str:
        """A name with a factor above 0."""
        text = self.kept(name) if isinstance(name, Kept) else self.variable(name)
        return text if factor == 1 else f"{self.number(factor)} * {text}"

    def total(self, total: Total) -> str:
        """A sum: what is added first, then what is taken away."""
        more = [self.term(name, factor) for name, factor in total.terms if factor > 0]
        more += [self.number(total.constant)] if total.constant > 0 or not more else []
        less = [self.term(name, -factor) for name, factor in total.terms if factor < 0]
        less += [self.number(-total.constant)] if total.constant < 0 else []
        return " - ".join([" + ".join(more), *less])

    def comparison(self, guard: Comparison) -> str:
        """Two sums compared."""
        return f"{self.total(guard.left)} {self.operators.get(guard.op, guard.op)} {self.total(guard.right)}"

    def is_one(self, name: str, value: Label, negated: bool) -> str:
        """A variable has (or has not) a value."""
        if isinstance(value, bool):
            return self.variable(name) if value is not negated else f"{self.opposite}{self.variable(name)}"
        op = "!=" if negated else "=="
        return f"{self.variable(name)} {self.operators.get(op, op)} {self.value(name, value)}"

    def guard(self, guard: Guard, nested: bool = False) -> str:
        """A guard; `nested` in parentheses, if it needs them beside others."""
        if isinstance(guard, Comparison):
            return self.comparison(guard)
        if isinstance(guard, Membership):
            parts = [self.is_one(guard.name, value, guard.negated) for value in guard.values]
            return self._joined(parts, every=guard.negated, nested=nested)
        return self._joined([self.guard(part, len(guard.parts) > 1) for part in guard.parts], guard.every, nested)

    def _joined(self, parts: list[str], every: bool, nested: bool) -> str:
        if not parts:
            return self.always if every else self.never
        text = (self.both if every else self.either).join(parts)
        return f"({text})" if nested and len(parts) > 1 else text

    def new(self, name: str, value: Total | tuple[Label]) -> str:
        """The new value of a variable."""
        return self.total(value) if isinstance(value, Total) else self.value(name, value[0])

    def output(self, table: Table, output: Output, here: str) -> str:
        """When the output's bit is said; `here` is the condition that the state is one of its own."""
        tests = [here] if output.states is not None else []
        tests += [self.guard(table.outputs[output.name], True)] if table.outputs[output.name] != ALWAYS else []
        return self.both.join(tests) or self.always
