"""Explicit finite-state machines as one table of plain data, checked when built, run by `transitions` at table speed.

    from fsm import Chart, Counter, row            # the words of a machine
    from fsm import Session, trigger, Refused      # one position in it, with typed triggers
    from fsm.logoff import StoreSession, Logoff    # the flagship: the orderly release of a message store
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsm._version import __version__
from fsm.chart import Chart, Configuration, Event, Output, Row, State, row
from fsm.condition import Condition
from fsm.data import Field, Number
from fsm.errors import DataError, DefinitionError, SnapshotError, StepInProgress, TooSlow, UnknownEvent, missing
from fsm.session import Receipt, Session, Step, trigger
from fsm.variable import Boolean, Choice, Counter
from fsm.verdict import Refused, Verdict

if TYPE_CHECKING:
    from fsm.export.formats import export
    from fsm.machine import Machine

__all__ = [
    "Boolean", "Chart", "Choice", "Condition", "Configuration", "Counter", "DataError", "DefinitionError", "Event",
    "Field", "Machine", "Number", "Output", "Receipt", "Refused", "Row", "Session", "SnapshotError", "State", "Step",
    "StepInProgress", "TooSlow", "UnknownEvent", "Verdict", "__version__", "export", "row", "trigger",
]


def __getattr__(name: str) -> object:
    if name == "Machine":  # it takes time to import, and most programs use sessions only
        from fsm.machine import Machine

        return Machine
    if name == "export":  # a module that can be called
        from importlib import import_module

        return import_module("fsm.export")
    raise missing(__name__, name)
