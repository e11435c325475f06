"""Journals of sessions, as append-only JSON Lines: written, read and replayed."""

from __future__ import annotations

from fsm.journal.reader import Divergence, JournalError, Record, Replayed, TornLine, records, replay, replayed
from fsm.journal.recorder import Recorder

__all__ = [
    "Divergence", "JournalError", "Record", "Recorder", "Replayed", "TornLine", "records", "replay", "replayed",
]  # fmt: skip
