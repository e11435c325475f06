"""Moving stored configurations from one table to the next, checked before they are moved."""

from __future__ import annotations

from fsm.migration.migration import Migration
from fsm.migration.moves import Move, move

__all__ = ["Migration", "Move", "move"]
