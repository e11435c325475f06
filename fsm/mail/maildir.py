"""The inbox: a Maildir in which a message is either wholly there, also after a power failure, or not at all.

Theory.
1. A message is written to `tmp`, made durable there, linked into `new` under its final name, and then `new` itself is
   made durable.  Only then is it stored.  A crash before that leaves at most a file in `tmp`, which nobody reads.
2. Linking fails when the name is taken.  So a name that follows from the message stores it once, however often it is
   tried; names in `cur` count, too, for there a reader moves what it has seen, with its marks behind a colon.
3. Lines end as they do on this system, as every Maildir reader expects.  What came over SMTP has no CR or LF alone, so
   nothing is lost by that.

All of it waits for the disk: call it from a thread.  This file knows no SMTP and no store.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import time
from contextlib import suppress
from pathlib import Path

from fsm.mail.syntax import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["Inbox", "InboxError"]

STALE: Final = 36 * 3600.0
"""Seconds after which a file in `tmp` is nobody's any more (the rule of all who deliver to a Maildir)."""
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class InboxError(Exception):
    """The message is not in the inbox, and nothing of it is.  The same may be tried again.

    Attributes: `problem` (a sentence), `full` (whether there was no room), `smtp` (the reply to give).
    """

    def __init__(self, problem: str, *, full: bool = False) -> None:
        self.problem, self.full = problem, full
        super().__init__(problem)

    @property
    def smtp(self) -> str:
        """452 when there is no room, 451 otherwise: the client keeps the message and tries later."""
        return "452 4.3.1 no room in the inbox" if self.full else "451 4.3.0 the inbox cannot be written"


class Inbox:
    """A Maildir, made when it is not there; for any number of threads.  InboxError when it cannot be written to."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._host = line(socket.gethostname()).replace("/", "\\057").replace(":", "\\072") or "localhost"
        try:
            for part in ("", "tmp", "new", "cur"):
                (self.folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sweep()
            (probe := self.folder / "tmp" / self._unique()).touch(mode=0o600)
            probe.unlink()
        except OSError as error:
            raise self._trouble(error) from error

    def store(self, content: bytes, *, name: str | None = None) -> str:
        """Store a message durably; its file's name.  Under a `name` that was stored before, nothing happens.

        InboxError: nothing is stored.
        """
        if name is not None and ("/" in name or ":" in name or name.startswith(".")):
            raise ValueError(f"a name in a Maildir has no slash, no colon and no dot in front, unlike {name!r}")
        final = name or self._unique()
        try:
            if name is None or not self._has(name):
                self._place(content, final)
            _sync_folder(self.folder / "new")  # also when it was there: whoever put it there may have been cut before
        except OSError as error:
            raise self._trouble(error) from error
        return final

    def messages(self) -> list[Path]:
        """The files of all messages there are, read or not, in the order of their names."""
        return sorted(file for part in ("new", "cur") for file in (self.folder / part).iterdir())

    def _place(self, content: bytes, final: str) -> None:
        temporary = self.folder / "tmp" / self._unique()
        try:
            with open(temporary, "xb", opener=_private) as file:
                file.write(content.replace(b"\r\n", b"\n"))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):  # stored meanwhile
                os.link(temporary, self.folder / "new" / final)
        finally:
            temporary.unlink(missing_ok=True)

    def _has(self, name: str) -> bool:
        if (self.folder / "new" / name).exists() or (self.folder / "cur" / name).exists():
            return True
        return any(file.startswith(f"{name}:") for file in os.listdir(self.folder / "cur"))  # noqa: PTH208 - names only

    def _unique(self) -> str:
        return f"{time.time():.6f}.P{os.getpid()}R{secrets.token_hex(8)}.{self._host}"

    def _sweep(self) -> None:
        for file in (self.folder / "tmp").iterdir():
            with suppress(FileNotFoundError):  # another server delivers here, and is done with this one
                if time.time() - file.stat().st_mtime > STALE:
                    file.unlink()

    def _trouble(self, error: OSError) -> InboxError:
        told = f"cannot store in the inbox {self.folder}: {error.strerror or error}"
        return InboxError(told, full=error.errno in FULL)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
