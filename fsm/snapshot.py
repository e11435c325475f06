"""Snapshots: a configuration as a small JSON value, with the fingerprint of the chart it belongs to.

    {"snapshot": 1, "chart": "store-logoff", "fingerprint": "…", "state": "open", "values": {"request": null, …}}

Enumerated values are written by name, None as null.  A snapshot of a chart that behaves differently is refused, since
this chart might never reach its configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fsm.chart import Chart, Configuration
from fsm.condition import Value, label
from fsm.errors import SnapshotError
from fsm.variable import Choice

__all__ = ["VERSION", "decode", "encode", "jsonable"]

VERSION: Final = 1


def jsonable(value: Value) -> str | int | None:
    """Return a variable's value for JSON: a number, a name, or None."""
    return value if value is None or type(value) is int else label(value)


def encode(chart: Chart, configuration: Configuration) -> dict[str, object]:
    """Return the snapshot of a configuration."""
    values = {name: jsonable(value) for name, value in chart.values(configuration).items()}
    return {
        "snapshot": VERSION, "chart": chart.name, "fingerprint": chart.fingerprint,
        "state": str(configuration[0]), "values": values,
    }


def decode(chart: Chart, snapshot: object) -> Configuration:
    """Return the configuration of a snapshot.

    SnapshotError if it is no snapshot, is of another chart, or describes a configuration that is impossible.
    """

    def wrong(problem: str, found: object = None) -> SnapshotError:
        return SnapshotError(chart.name, problem, chart.fingerprint, found)

    if not isinstance(snapshot, Mapping):
        raise wrong(f"it is {type(snapshot).__name__}, not an object")
    if type(snapshot.get("snapshot")) is not int or snapshot["snapshot"] != VERSION:
        raise wrong(f"its version is {snapshot.get('snapshot')!r}, this program reads {VERSION}")
    found = snapshot.get("fingerprint")
    if found != chart.fingerprint:
        whose = "the same name but another behaviour" if snapshot.get("chart") == chart.name else "another chart"
        other = f"{found!r}, of {whose} ({snapshot.get('chart')!r})"
        problem = f"its fingerprint is {other}; expected {chart.fingerprint!r}"
        raise wrong(problem, found)
    values = snapshot.get("values")
    if not isinstance(values, Mapping) or set(values) != set(chart.names):
        raise wrong(f"its values are {values!r}; it needs {', '.join(chart.names)}", found)
    try:
        found_values = [_value(chart, name, values[name]) for name in chart.names]
    except ValueError as error:
        raise wrong(str(error), found) from None
    configuration = (str(snapshot.get("state")), *found_values)
    if complaint := chart.complaint(configuration):
        raise wrong(complaint, found)
    return configuration


def _value(chart: Chart, name: str, value: object) -> Value:
    variable = chart.variable(name)
    if isinstance(variable, Choice):
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{name} is {value!r}, not a name or null")
        return variable.value_named(value)
    return value  # type: ignore[return-value]  # chart.complaint checks counts
