"""`python -m tests.crash.launch POINT serve ...` runs the fsm command, which halts at a point.

Operations are where something durable may change: before each SQL statement, after each COMMIT, and before each file is made,
linked or removed in a Maildir.  So a point can be in the middle of opening, of a transaction, or of storing a message.
It is the number of an operation from the beginning (0: never), or words that operations contain, one after the other:
`DELETE FROM fsm_messages,COMMIT` is the end of the transaction that records the first delivery, and with `,committed` after it.
At the point the process writes `POINT` to standard output (perhaps in the middle of a line of another thread), and its thread
stops.  The test kills the process when the other threads have done all they can.  With FSM_OPERATIONS=FILE the operations are
written there, a line each.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

POINT = b"\0point\0"


def main() -> int:
    if sys.argv[1] != "0":
        halt(sys.argv[1])
    from fsm.cli import main

    return main(sys.argv[2:])


def reached(point: str) -> Callable[[str], bool]:
    """Return a function that is called at each operation, and returns whether it is the one at which to halt."""
    if point.isdecimal():
        left = itertools.count(int(point) - 1, -1)
        return lambda operation: next(left) == 0
    words = point.split(",")

    def found(operation: str) -> bool:
        if words and words[0] in operation:
            del words[0]
            return not words
        return False

    return found


def halt(point: str) -> None:
    """Halt at this point, from now on."""
    from sqlalchemy import event
    from sqlalchemy.pool import Pool

    from fsm.store.sql.driver import driver_for

    sqlite: Any = type(driver_for(sqlite3.connect(":memory:"), 0.0))
    here, lock = reached(point), threading.Lock()
    told = Path(os.environ.get("FSM_OPERATIONS", os.devnull)).open("w", buffering=1)  # noqa: SIM115 - to the end

    def passed(operation: str) -> None:
        with lock:
            told.write(" ".join(operation.split()) + "\n")
            halted = here(operation)
        if halted:
            os.write(1, POINT)
            threading.Event().wait()

    def commit(self: Any, *, really: Any = sqlite.commit) -> None:
        really(self)
        passed("committed")

    def connected(connection: Any, _: object) -> None:
        connection.set_trace_callback(passed)  # sees all statements

    def audit(what: str, args: tuple[Any, ...]) -> None:
        if what in ("os.link", "os.remove") or (what == "open" and "/inbox/tmp/" in str(args[0])):
            passed(f"{what} {args[0]}")

    event.listen(Pool, "connect", connected)
    sqlite.commit = commit
    sys.addaudithook(audit)


if __name__ == "__main__":
    sys.exit(main())
