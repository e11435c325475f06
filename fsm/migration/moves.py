"""Migrations as plain data: where each configuration of an old table goes in a new one.

    moves=[move("paid", "settled", guard=TOTAL == 0), move("paid", "charged", guard=TOTAL > 0)],
    renamed={"tries": "attempts"}, values={"rest": TOTAL - REFUNDED, "mode": {"fast": "express"}}, removed=["note"]

Theory.
1. A migration leads from one fingerprint to another.  It is applied to snapshots, which are JSON values, so it needs
   neither chart when it runs.
2. A *move* says: in its source, a state of the old table, if its guard holds of the old values, the state is its
   target.  A state of which no move speaks keeps its name.
3. In every configuration exactly one move of its state must hold.  The order of the moves has no meaning.
4. All new values are computed from the old ones, in the ways that `values.py` lists.  The values of a move go before
   those of the migration; a variable of which neither speaks keeps its name and value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from fsm.chart import Chart
from fsm.condition import ALWAYS, Condition, Conditional, condition, name_of
from fsm.errors import DefinitionError, SnapshotError
from fsm.migration.values import Copy, Json, NewValue, Written, computed, holds, in_json, read
from fsm.snapshot import VERSION, decode
from fsm.table import Name
from fsm.variable import Sum

__all__ = ["Move", "Moves", "is_fingerprint", "move"]

T = TypeVar("T")


class Move(NamedTuple):
    """Where the configurations of one old state go while `guard` holds of the old values."""

    source: str
    target: str
    guard: Condition
    values: Mapping[str, Written]

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}{'' if self.guard == ALWAYS else f' [{self.guard}]'}"


def move(
    source: Name,
    target: Name | None = None,
    *,
    guard: Condition | Conditional = ALWAYS,
    values: Mapping[str, Written] | None = None,
) -> Move:
    """Return a Move.  Without `target` the state keeps its name; `values` are for these configurations alone."""
    to = source if target is None else target
    return Move(name_of(source), name_of(to), condition(guard), dict(values or {}))


class Moves:
    """The moves from one table to another, each given as a chart or by its fingerprint, not yet checked against them.

    DefinitionError names every mistake that can be seen without the charts.
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
        self.old_chart = old if isinstance(old, Chart) else None
        self.new_chart = new if isinstance(new, Chart) else None
        self.old, self.new = _fingerprint(old), _fingerprint(new)
        self.moves = tuple(moves)
        self.renamed = {str(one): str(other) for one, other in (renamed or {}).items()}
        self.removed = frozenset((removed,) if isinstance(removed, str) else map(str, removed))
        problems = list(self._mistakes())
        self._guards: list[Condition] = []
        self._own: list[dict[str, NewValue]] = []
        self._values = self._read(values or {}, "values", problems)
        for one in self.moves if not problems else ():
            try:
                self._guards.append(in_json(one.guard))
            except DefinitionError as error:
                problems.append(f"move {one}: {error}")
            self._own.append(self._read(one.values, f"move {one}", problems))
        if problems:
            raise DefinitionError(str(self), tuple(problems))

    def _mistakes(self) -> Iterable[str]:
        for one in (self.old, self.new):
            if not is_fingerprint(one):
                yield f"{one!r} is no fingerprint: give a chart, or the 16 hexadecimal digits of its fingerprint"
        if self.old == self.new:
            yield "both fingerprints are the same, so there is nothing to migrate"
        yield from (f"{o!r} is no move; write move(source, target)" for o in self.moves if not isinstance(o, Move))
        yield from (f"two variables are renamed to {name!r}" for name in _doubles(self.renamed.values()))
        yield from (f"variable {name!r} is renamed and removed" for name in sorted(self.removed & self.renamed.keys()))

    def _read(self, written: Mapping[str, Written], where: str, problems: list[str]) -> dict[str, NewValue]:
        before = {new: old for old, new in self.renamed.items()}
        found: dict[str, NewValue] = {}
        for name, value in written.items():
            try:
                found[str(name)] = read(value, before.get(str(name), str(name)))
            except DefinitionError as error:
                problems.append(f"{where}, {name}: {error}")
        return found

    def __str__(self) -> str:
        old, new = (chart.name if chart is not None else fingerprint for chart, fingerprint in (
            (self.old_chart, self.old), (self.new_chart, self.new)))
        return f"migration from {old} to {new}" if old != new else f"migration of {old} from {self.old} to {self.new}"

    def __repr__(self) -> str:
        return f"<{self}>"

    # ------------------------------------------------------------------------------------------------ looking up

    def moves_from(self, state: str) -> tuple[tuple[Move, Condition], ...]:
        """The moves of an old state, each with its guard as it is asked of a snapshot."""
        found = tuple((one, guard) for one, guard in zip(self.moves, self._guards, strict=True) if one.source == state)
        return found or ((Move(state, state, ALWAYS, {}), ALWAYS),)

    def values_of(self, move: Move, old_names: Iterable[str], new_names: Iterable[str] | None) -> dict[str, NewValue]:
        """The value of each new variable after a move, by name.

        `new_names` are the variables of the new table; None if that is not known: then those that the old one keeps,
        and those that get a value here.
        """
        own = next((given for one, given in zip(self.moves, self._own, strict=True) if one is move), {})
        kept = {self.renamed.get(name, name): Copy(name) for name in old_names if name not in self.removed}
        found: dict[str, NewValue] = {**kept, **self._values, **own}
        return found if new_names is None else {name: found[name] for name in new_names if name in found}

    def given(self) -> frozenset[str]:
        """The names of all new variables that the migration or a move gives a value."""
        return frozenset((*self._values, *(name for own in self._own for name in own)))

    def outcomes(self, old: Chart, new: Chart) -> Iterator[tuple[Move, dict[str, NewValue]]]:
        """Every move from a state of the old table, with the values of the new variables after it."""
        for state in old.states:
            for one, _ in self.moves_from(str(state)):
                yield one, self.values_of(one, old.names, new.names)

    # --------------------------------------------------------------------------------------------------- applying

    def migrated(self, snapshot: Mapping[str, object]) -> dict[str, object]:
        """Return the snapshot of the new table for one of the old.  Its other keys stay as they are.

        SnapshotError if it is of another table, no move (or more than one) holds, or the result is not legal.
        """
        def wrong(problem: str) -> SnapshotError:
            return SnapshotError(self._name(snapshot), f"{problem} ({self})", self.old, snapshot.get("fingerprint"))

        if snapshot.get("snapshot") != VERSION or type(snapshot.get("snapshot")) is not int:
            raise wrong(f"its version is {snapshot.get('snapshot')!r}, this program reads {VERSION}")
        if snapshot.get("fingerprint") != self.old:
            raise wrong(f"its fingerprint is {snapshot.get('fingerprint')!r}")
        state, values = snapshot.get("state"), snapshot.get("values")
        if not isinstance(state, str) or not isinstance(values, Mapping):
            raise wrong("it has no state and values")
        try:
            target, found = self.apply(state, values)
        except ValueError as error:
            raise wrong(str(error)) from None
        fired = {"fired": 0} if "elapsed" in snapshot else {}  # nothing that is due in the new state has been fired
        words = {"chart": self._name(snapshot), "fingerprint": self.new, "state": target, "values": found}
        new = {**snapshot, **words, **fired}
        if self.new_chart is not None:
            try:
                decode(self.new_chart, new)
            except SnapshotError as error:
                raise wrong(f"{state} would become {target}, and {error.problem}") from None
        return new

    def apply(self, state: str, values: Mapping[str, Json]) -> tuple[str, dict[str, Json]]:
        """Return the new state and values.  ValueError if not exactly one move holds, or a value cannot be computed."""
        holding = [one for one, guard in self.moves_from(state) if holds(guard, values)]
        if len(holding) != 1:
            said = "none of its moves holds" if not holding else f"{' and '.join(map(str, holding))} hold together"
            raise ValueError(f"in {state}, {_described(values)}, {said}")
        names = self.new_chart.names if self.new_chart is not None else None
        new = self.values_of(holding[0], values, names)
        found = {name: computed(value, values) for name, value in new.items()}
        for name, count in found.items():
            if isinstance(new[name], Sum) and isinstance(count, int) and count < 0:
                raise ValueError(f"{name} would be {count}, and no count is less than 0")
        return holding[0].target, found

    def _name(self, snapshot: Mapping[str, object]) -> str:
        return self.new_chart.name if self.new_chart is not None else str(snapshot.get("chart"))


def is_fingerprint(text: str) -> bool:
    """Whether this is written like the fingerprint of a chart."""
    return len(text) == 16 and not set(text) - set("0123456789abcdef")


def _fingerprint(table: object) -> str:
    return table.fingerprint if isinstance(table, Chart) else str(table)


def _doubles(names: Iterable[T]) -> list[T]:
    found = list(names)
    return [name for place, name in enumerate(found) if name in found[:place]]


def _described(values: Mapping[str, Json]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
