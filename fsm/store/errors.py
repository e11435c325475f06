"""The exceptions of `fsm.store`, but for `NotReleased`, which is defined with the `Outcome` that it carries."""

from __future__ import annotations

__all__ = ["RuntimeFolderError", "Stopped", "StorageError", "StoreClosing"]


class StoreClosing(Exception):
    """The store is closing and takes nothing new in (MAPI_E_BUSY).  Nothing has changed; try again elsewhere or later.

    `smtp`, `http` and `websocket` are what to answer; `reason` says why in words.
    """

    smtp = "421 4.3.2 The store is closing, try again later"
    http = 503
    websocket = 1013

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Stopped(Exception):
    """An item was stopped by the plan's cancel step, or for want of an inbox.  `reason` says which."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class StorageError(Exception):
    """The storage failed: it is full, locked, damaged, missing, or of a newer version.  Nothing has changed.

    `problem` is the reason in one sentence.  `busy` is true if the same call may succeed a little later.  `certain` is
    false if a server was lost during a commit and could not be asked in time: the change may have been made.  `lost` is
    true if the connection to a server ended.
    """

    def __init__(self, problem: str, *, busy: bool = False, certain: bool = True, lost: bool = False) -> None:
        self.problem, self.busy, self.certain, self.lost = problem, busy, certain, lost
        super().__init__(problem)


class RuntimeFolderError(Exception):
    """The folder for the sockets of running stores cannot be made, or other users have access to it."""
