"""Fingerprints: what a chart does, as one short word that changes whenever that does.

Taken of plain data, so that no two behaviours are written alike; prose, ids and the order of the rows are left out.
This file does not know what a fingerprint is used for.
"""

from __future__ import annotations

from importlib import import_module

from fsm.condition import written
from fsm.variable import Choice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fsm.chart import Chart

__all__ = ["behaviour", "fingerprint"]


def behaviour(chart: Chart) -> tuple[str, ...]:
    """What the machine does, a line each, without the prose."""
    lines: list[tuple[object, ...]] = [("chart", chart.name, chart.initial)]
    lines += [("state", s.name, s.final, s.invariant.key()) for s in chart.states]
    lines += [("event", e.name) for e in chart.events]
    for v in chart.variables:
        values = tuple(map(written, v.values)) if isinstance(v, Choice) else ()
        lines.append(("variable", v.name, values, written(v.initial)))
    rows = [("row", r.source, r.event, r.guard.key(), [e.key() for e in r.effects], r.target) for r in chart.rows]
    lines += sorted(rows, key=repr)
    for o in chart.outputs:
        lines.append(("output", o.name, int(o.bit), o.states and tuple(map(str, o.states)), o.guard.key()))
    return tuple(map(repr, lines))


def fingerprint(chart: Chart) -> str:
    """16 hexadecimal digits."""
    return _sha256("\n".join(behaviour(chart)).encode())[:16]


def _sha256(text: bytes) -> str:
    """As the standard library's `random` does it: `hashlib` loads OpenSSL, which takes longer than everything here."""
    for module in ("_sha2", "_sha256", "hashlib"):
        try:
            return str(import_module(module).sha256(text).hexdigest())
        except ImportError:
            continue
    raise AssertionError("hashlib is part of Python")
