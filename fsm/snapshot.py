"""Snapshots: a configuration as a small JSON value, with the fingerprint of the chart it belongs to.

    {"snapshot": 1, "chart": "store-logoff", "fingerprint": "…", "state": "open", "values": {"request": null, …}}

Enumerated values are written by name, None as null.  A snapshot of a chart that behaves differently is refused, since
this chart might never reach its configuration, unless migrations lead from that chart to this one (`fsm.migration`).
A snapshot may say how many seconds were spent in the state, as `"elapsed"`, and up to which of them what was due has
been fired, as `"fired"`; a session does not need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol, TypeVar

from fsm.chart import Chart, Configuration
from fsm.condition import Value, label
from fsm.errors import SnapshotError
from fsm.variable import Choice

__all__ = ["REMEDY", "VERSION", "Migrates", "decode", "encode", "jsonable", "migrated", "route", "seconds_in_state"]

VERSION: Final = 1
REMEDY: Final = ", to which a migration (fsm.migration) can lead"


def jsonable(value: Value) -> str | int | None:
    """Return a variable's value for JSON: a number, a name, or None."""
    return value if value is None or type(value) in (int, bool) else label(value)  # type: ignore[return-value]


def encode(chart: Chart, configuration: Configuration) -> dict[str, object]:
    """Return the snapshot of a configuration."""
    values = {name: jsonable(value) for name, value in chart.values(configuration).items()}
    return {
        "snapshot": VERSION, "chart": chart.name, "fingerprint": chart.fingerprint,
        "state": str(configuration[0]), "values": values,
    }


class Migrates(Protocol):
    """What leads from the snapshots of one behaviour to those of another, each given by its fingerprint."""

    @property
    def old(self) -> str:
        """The fingerprint from which it leads."""

    @property
    def new(self) -> str:
        """The fingerprint to which it leads."""

    def migrated(self, snapshot: Mapping[str, object]) -> dict[str, object]:
        """Return the snapshot in the new table.  SnapshotError if that is not possible."""


def decode(chart: Chart, snapshot: object, migrations: Iterable[Migrates] = ()) -> Configuration:
    """Return the configuration of a snapshot, moved to this chart by those of the migrations that lead here.

    SnapshotError if it is no snapshot, is of another chart, or describes a configuration that is impossible.
    """
    if isinstance(snapshot, Mapping):
        snapshot = migrated(chart, snapshot, migrations)

    def wrong(problem: str, found: object = None) -> SnapshotError:
        return SnapshotError(chart.name, problem, chart.fingerprint, found)

    if not isinstance(snapshot, Mapping):
        raise wrong(f"it is {type(snapshot).__name__}, not an object")
    if type(snapshot.get("snapshot")) is not int or snapshot["snapshot"] != VERSION:
        raise wrong(f"its version is {snapshot.get('snapshot')!r}, this program reads {VERSION}")
    seconds_in_state(chart, snapshot)
    found = snapshot.get("fingerprint")
    if found != chart.fingerprint:
        older = snapshot.get("chart") == chart.name
        whose = "the same name but another behaviour" if older else "another chart"
        other = f"{found!r}, of {whose} ({snapshot.get('chart')!r})"
        problem = f"its fingerprint is {other}; expected {chart.fingerprint!r}{REMEDY if older else ''}"
        raise wrong(problem, found)
    values = snapshot.get("values")
    if not isinstance(values, Mapping) or set(values) != set(chart.names):
        raise wrong(f"its values are {values!r}; it needs {', '.join(chart.names)}", found)
    try:
        found_values = [_value(chart, name, values[name]) for name in chart.names]
    except ValueError as error:
        raise wrong(str(error), found) from None
    try:
        return chart.checked((str(snapshot.get("state")), *found_values))
    except ValueError as error:
        raise wrong(str(error), found) from None


def seconds_in_state(chart: Chart, snapshot: Mapping[str, object]) -> tuple[float, float]:
    """Return how many seconds the session had been in its state, and up to which of them what was due has been fired.

    Where the snapshot does not say so, these are 0 and all of them.  SnapshotError if they are no finite numbers, 0 or
    more.
    """
    found: list[float] = []
    for name, default in (("elapsed", 0), ("fired", snapshot.get("elapsed", 0))):
        seconds = snapshot.get(name, default)
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
            problem = f"its {name} seconds are {seconds!r}, not a number, 0 or more"
            raise SnapshotError(chart.name, problem, chart.fingerprint, snapshot.get("fingerprint"))
        found.append(float(seconds))
    return found[0], min(found)


M = TypeVar("M", bound=Migrates)


def route(chart: Chart, fingerprint: object, migrations: Iterable[M]) -> tuple[M, ...]:
    """Return as few migrations as lead from a fingerprint to this chart; none if none begins there, or none is needed.

    SnapshotError if those that begin there lead elsewhere; TypeError for what is no migration.
    """
    known = tuple(migrations)
    for one in known:
        if not hasattr(one, "migrated"):
            raise TypeError(f"{one!r} is no migration (see fsm.migration)")
    ways: dict[str, tuple[M, ...]] = {}
    waiting: list[tuple[object, tuple[M, ...]]] = [(fingerprint, ())]
    while waiting and fingerprint != chart.fingerprint:
        here, way = waiting.pop(0)
        for one in known:
            if one.old == here and one.new not in ways:
                ways[one.new] = (*way, one)
                waiting.append((one.new, ways[one.new]))
    if ways and chart.fingerprint not in ways:
        problem = f"its fingerprint is {fingerprint!r}, and the migrations from there lead to {', '.join(ways)}"
        raise SnapshotError(chart.name, f"{problem}, not to {chart.fingerprint!r}", chart.fingerprint, fingerprint)
    return ways.get(chart.fingerprint, ())


def migrated(chart: Chart, snapshot: Mapping[str, object], migrations: Iterable[Migrates]) -> Mapping[str, object]:
    """Return the snapshot after the migrations that lead to this chart; the same if none begins there.

    SnapshotError if they lead elsewhere, or cannot be applied.
    """
    for one in route(chart, snapshot.get("fingerprint"), migrations):
        snapshot = one.migrated(snapshot)
    return snapshot


def _value(chart: Chart, name: str, value: object) -> Value:
    variable = chart.variable(name)
    if isinstance(variable, Choice):
        return variable.value_named(value)
    return value  # type: ignore[return-value]  # chart.checked looks at counts
