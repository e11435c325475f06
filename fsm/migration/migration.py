"""A migration: moves that have been checked, as far as the two charts are there to check them against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fsm.chart import Chart
from fsm.errors import DefinitionError
from fsm.migration.moves import Move, Moves
from fsm.migration.shape import shape_problems
from fsm.migration.values import Written

__all__ = ["Migration"]


class Migration(Moves):
    """Where the configurations of an old table go in the new one (see `moves.py`).

    Each table is given as a chart or by its fingerprint; neither chart is needed to apply the migration.  With both
    charts everything is checked now (see `check.py`), and with one of them the names that concern it.
    DefinitionError names every mistake, with a trace to a configuration that would be lost or illegal.

    `values` and `renamed` are by the names of the new and the old variables; `removed` are old variables whose values
    are given up.
    """

    def __init__(
        self,
        old: Chart | str,
        new: Chart | str,
        *,
        moves: Iterable[Move] = (),
        renamed: Mapping[str, str] | None = None,
        values: Mapping[str, Written] | None = None,
        removed: Iterable[str] = (),
    ) -> None:
        super().__init__(old, new, moves=moves, renamed=renamed, values=values, removed=removed)
        found = list(shape_problems(self, self.old_chart, self.new_chart))
        if not found and self.old_chart is not None and self.new_chart is not None:
            from fsm.migration.check import problems  # a program that has only the new chart does not need it

            found = list(problems(self, self.old_chart, self.new_chart))
        if found:
            raise DefinitionError(str(self), tuple(found))
