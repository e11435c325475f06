"""Explicit finite-state machines as one table of plain data, checked when built, run by `transitions` at table speed.

    from fsm import Chart, Counter, row            # the words of a machine
    from fsm import Session, trigger, Refused      # one position in it, with typed triggers
    from fsm.logoff import StoreSession, Logoff    # the flagship: the orderly release of a message store

Names are loaded when they are asked for.
"""

from __future__ import annotations

from fsm._version import __version__

TYPE_CHECKING = False  # as type checkers know it by name
if TYPE_CHECKING:
    from fsm.chart import Chart, Configuration, Event, Output, Row, State, row
    from fsm.condition import Condition, DefinitionError
    from fsm.machine import Machine
    from fsm.session import Receipt, Session, Step, trigger
    from fsm.snapshot import SnapshotError
    from fsm.variable import Choice, Counter
    from fsm.verdict import Refused, StepInProgress, UnknownEvent, Verdict

_HOME = {
    "Chart": "chart", "Configuration": "chart", "Event": "chart", "Output": "chart", "Row": "chart", "State": "chart",
    "row": "chart", "Condition": "condition", "DefinitionError": "condition", "Machine": "machine",
    "Receipt": "session", "Session": "session", "Step": "session", "trigger": "session",
    "SnapshotError": "snapshot", "Choice": "variable", "Counter": "variable",
    "Refused": "verdict", "StepInProgress": "verdict", "UnknownEvent": "verdict", "Verdict": "verdict",
}

__all__ = [
    "Chart", "Choice", "Condition", "Configuration", "Counter", "DefinitionError", "Event", "Machine", "Output",
    "Receipt", "Refused", "Row", "Session", "SnapshotError", "State", "Step", "StepInProgress", "UnknownEvent",
    "Verdict", "__version__", "row", "trigger",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'fsm' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"fsm.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
