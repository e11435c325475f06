"""The words of MAPI's store logoff: five flags in, four out, and the result codes.

`Logoff.ORDERLY` is MAPI's LOGOFF_ORDERLY, and so on; the values are the bits of MAPI's words.
A call takes exactly one flag, so `Logoff` is an Enum; it returns any mixture, so `LogoffStatus` is an IntFlag.
"""

from __future__ import annotations

from enum import Enum, IntEnum, IntFlag
from typing import Final

__all__ = ["ALL_INPUT", "Logoff", "LogoffStatus", "MapiError", "Result"]


class Logoff(Enum):
    """How to log off a store.  The value is the bit of MAPI's input word."""

    NO_WAIT = 0x01
    """Send what is ready to be sent, then release (S9)."""
    ORDERLY = 0x02
    """Finish what is in flight, start nothing more, then release (S11, S12)."""
    PURGE = 0x04
    """As NO_WAIT, after one flush of the deferred mail (S13, S54)."""
    ABORT = 0x08
    """Release if nothing is in flight; otherwise change nothing and wait until it is (S5 to S8)."""
    QUIET = 0x10
    """Release only if there is no activity at all, queued mail included (S15, S16)."""


class LogoffStatus(IntFlag):
    """Status of a store after a call (S17).  COMPLETE with OUTBOUND_QUEUE: released, with mail left in the queue."""

    COMPLETE = 0x10000
    """The store is released; only Release may follow (S18 to S21)."""
    INBOUND = 0x20000
    """A message is coming in (S22)."""
    OUTBOUND = 0x40000
    """A message is being sent (S23)."""
    OUTBOUND_QUEUE = 0x80000
    """Messages are in the outbound queue (S24)."""


ALL_INPUT: Final = 0x1F


class Result(IntEnum):
    """MAPI result codes, unsigned."""

    S_OK = 0
    MAPI_E_INVALID_PARAMETER = 0x80070057
    MAPI_E_UNKNOWN_FLAGS = 0x80040106
    MAPI_E_INVALID_OBJECT = 0x80040108
    MAPI_E_BUSY = 0x8004010B
    MAPI_E_UNABLE_TO_ABORT = 0x80040114
    MAPI_E_NOT_IN_QUEUE = 0x80040601


class MapiError(Exception):
    """A wrong call.  Nothing has changed.  `hresult` is the MAPI result code, unsigned."""

    def __init__(self, result: Result, explanation: str) -> None:
        self.result, self.explanation = result, explanation
        super().__init__(result, explanation)

    @property
    def hresult(self) -> int:
        """The result code as an unsigned 32-bit number."""
        return int(self.result)

    def __str__(self) -> str:
        return f"{self.result.name} (0x{self.result:08X}): {self.explanation}"
