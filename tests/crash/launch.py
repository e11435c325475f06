"""`python -m tests.crash.launch POINT serve ...`: the fsm command, which comes to a halt at its POINT-th operation (0: never).

Operations are where something that stays may change: before each SQL statement, after each COMMIT, and before each file is
made, linked or removed in a Maildir.  So a point can be in the middle of opening, of a transaction, of storing a message.
There it says so on standard output (`POINT`, also in the middle of a line that another thread is writing), and its thread
goes no further; whoever started it kills it when the others have done what they would do.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from typing import Any

POINT = b"\0point\0"


def main() -> int:
    at = int(sys.argv[1])
    if at:
        count(at)
    from fsm.cli import main

    return main(sys.argv[2:])


def count(at: int) -> None:
    """Count the operations of this process from now on, and halt at this one."""
    from sqlalchemy import event
    from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite as Dialect
    from sqlalchemy.pool import Pool

    operations = itertools.count(1)

    def passed(*_: object) -> None:
        if next(operations) == at:  # in one piece, whichever threads come by
            os.write(1, POINT)
            threading.Event().wait()

    def commit(self: Any, connection: Any, *, really: Any = Dialect.do_commit) -> None:
        really(self, connection)
        passed()

    def connected(connection: Any, _: object) -> None:
        connection.set_trace_callback(passed)  # of all statements, whoever gives them to the driver

    def audit(what: str, told: tuple[Any, ...]) -> None:
        if what in ("os.link", "os.remove") or (what == "open" and "/inbox/tmp/" in str(told[0])):
            passed()

    event.listen(Pool, "connect", connected)
    Dialect.do_commit = commit
    sys.addaudithook(audit)


if __name__ == "__main__":
    sys.exit(main())
