"""The journal in a store's database as a file of lines, for the commands that read journals.

A database is a URL `postgresql://…`, or a file that begins as SQLite's do.  It is read, never changed, and the
libraries that this takes are loaded only then.

SQLite's locks belong to a process, and reading the first bytes of a file drops those that this process holds on it: a
program that has the store open itself reads `fsm.store.sql.read_journal(where)` instead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from fsm.commands import CommandError
from fsm.install import install_command
from fsm.journal.reader import JournalError

if TYPE_CHECKING:
    from fsm.store.sql import JournalFollower

__all__ = ["database_name", "follow", "is_database", "open_database"]

MAGIC: Final = b"SQLite format 3\0"
NEEDED: Final = {"sqlalchemy": "store", "psycopg": "postgresql"}
"""The libraries, and the extras that bring them."""


def is_database(where: str) -> bool:
    """True when this names a database; what cannot be read is none."""
    if where.startswith(("postgresql://", "postgresql+psycopg://")):
        return True
    try:
        path = Path(where)
        if not path.is_file():  # reading would take bytes from a pipe
            return False
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False


def open_database(where: str) -> BinaryIO:
    """Open the journal in this database as a file.  CommandError when it cannot be read, even halfway."""
    with _command_errors():
        from fsm.store.sql import read_journal

        return cast("BinaryIO", BufferedReader(_Lines(read_journal(where))))


def database_name(where: str) -> str:
    """Return the name of a database for a page: without a password, and without the folder."""
    with _command_errors():
        from fsm.store.sql.connect import display_name, is_sqlite, url_for

        url = url_for(where)
        return Path(display_name(url)).name if is_sqlite(url) else display_name(url)


def follow(where: str) -> BinaryIO:
    """Open it while it is written: `readline()` is empty while nothing is new.  JournalError when it is lost."""
    with _command_errors():
        from fsm.store.sql import JournalFollower

        return cast("BinaryIO", _FollowedLines(JournalFollower(where)))


class _Lines(RawIOBase):
    """An iterator of lines as a binary file."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines, self._rest = lines, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> int:
        view = memoryview(cast("bytearray", buffer))
        with _command_errors():
            while len(self._rest) < len(view) and (line := next(self._lines, b"")):
                self._rest += line
        count = min(len(view), len(self._rest))
        view[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


class _FollowedLines(RawIOBase):
    """The lines written so far, one by one; empty while there are no more."""

    def __init__(self, followed: JournalFollower) -> None:
        self._followed = followed
        self._waiting: deque[bytes] = deque()

    def readline(self, size: int | None = -1, /) -> bytes:
        from fsm.store.errors import StorageError

        if not self._waiting:
            try:
                self._waiting.extend(self._followed.more())
            except StorageError as error:
                raise JournalError(str(error)) from error
        return self._waiting.popleft() if self._waiting else b""

    def close(self) -> None:
        self._followed.close()
        super().close()


@contextmanager
def _command_errors() -> Iterator[None]:
    try:
        from fsm.store.errors import StorageError

        try:
            yield
        except StorageError as error:
            raise CommandError(f"cannot read it: {error}") from error
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in NEEDED:
            raise
        raise CommandError(f"a store's database needs {library}: {install_command(NEEDED[library])}") from None
