"""A Maildir in which a message is either wholly there, also after a power failure, or not at all.

Theory.
1. A message is written to `tmp`, made durable there, linked into `new` under its final name, and then `new` itself is
   made durable.  Only then is it stored.  A crash before that leaves at most a file in `tmp`, which nobody reads.
2. If that fails at its last step, the message is taken away again: what was answered 451 is not there, and comes again.
3. Linking fails if the name is taken.  So a name that follows from the message stores it once, however often storing
   is tried.  Names in `cur` count, too: a mail reader moves there what it has seen, with its flags behind a colon.
4. A file system without hard links has a message moved to its final name.  Names are unique, so nothing is replaced but
   a message that is stored a second time under the name that follows from it.
5. Lines end as they do on this system, as every Maildir reader expects.  What came over SMTP has no bare CR or LF, so
   nothing is lost by that.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import socket
import time
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path
from typing import Final

from fsm.mail.errors import MaildirError
from fsm.mail.syntax import line

__all__ = ["Maildir"]

STALE: Final = 36 * 3600.0
"""Seconds after which a file in `tmp` may be removed (the rule of the Maildir specification)."""
LINKLESS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})
"""The errors of file systems without hard links."""
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Maildir:
    """A Maildir, created if it does not exist; for any number of threads.  MaildirError if it cannot be written to.

    `executor` has the threads in which `deliver` waits for the disk (None: those of the event loop).
    """

    def __init__(self, folder: str | Path, executor: Executor | None = None) -> None:
        self.folder, self._executor = Path(folder), executor
        self._host = line(socket.gethostname()).replace("/", "\\057").replace(":", "\\072") or "localhost"
        try:
            for part in ("", "tmp", "new", "cur"):
                (self.folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sweep()
            self._links = self._probe()
        except OSError as error:
            raise self._error(error) from error

    def store(self, content: bytes, *, name: str | None = None, id: str = "") -> str:
        """Store a message durably, and return its file's name.  Nothing happens under a `name` that was stored before.

        Without a name, that of the file is unique, and has the `id` in it.

        MaildirError: nothing is stored.  Waits for the disk.
        """
        if name is not None and ("/" in name or ":" in name or name.startswith(".")):
            raise ValueError(f"a name in a Maildir has no slash, no colon and no dot in front, unlike {name!r}")
        final = name or self._unique(id)
        try:
            if name is None or not self._has(name):
                self._write(content, final)
            try:
                _sync_folder(self.folder / "new")  # also if it was there: who put it there may have crashed
            except OSError:
                if name is None:
                    (self.folder / "new" / final).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise self._error(error) from error
        return final

    async def deliver(self, content: bytes, *, name: str | None = None, id: str = "") -> str:
        """Do the same in a thread.  Cancelling the caller stops nothing, as a thread that writes cannot be stopped."""
        loop = asyncio.get_running_loop()
        storing = loop.run_in_executor(self._executor, lambda: self.store(content, name=name, id=id))
        while not storing.done():
            try:
                await asyncio.shield(storing)
            except asyncio.CancelledError:
                if storing.cancelled():
                    raise
            except Exception:
                break
        return storing.result()

    def problem(self) -> MaildirError | None:
        """Return what is wrong with the folder, or None.  It looks at the disk, but waits for no file to be durable."""
        try:
            self._probe()
            (self.folder / "new").stat()
        except OSError as error:
            return self._error(error)
        return None

    async def take_back(self, name: str) -> None:
        """Remove a message that was just stored, unless a mail reader has it already; a disk that fails is not told."""

        def remove() -> None:
            with suppress(OSError):
                (self.folder / "new" / name).unlink(missing_ok=True)
                _sync_folder(self.folder / "new")

        await asyncio.get_running_loop().run_in_executor(self._executor, remove)

    def messages(self) -> list[Path]:
        """Return the files of all messages, read or not, in the order of their names."""
        return sorted(file for part in ("new", "cur") for file in (self.folder / part).iterdir())

    def _write(self, content: bytes, final: str) -> None:
        temporary = self.folder / "tmp" / self._unique()
        try:
            with open(temporary, "xb", opener=_private) as file:
                file.write(content.replace(b"\r\n", b"\n"))
                file.flush()
                os.fsync(file.fileno())
            if self._links:
                with suppress(FileExistsError):  # stored meanwhile
                    os.link(temporary, self.folder / "new" / final)
            else:
                temporary.rename(self.folder / "new" / final)
        finally:
            temporary.unlink(missing_ok=True)

    def _probe(self) -> bool:
        """Return whether the folder has hard links; OSError if it cannot be written to."""
        probe, other = (self.folder / "tmp" / self._unique() for _ in range(2))
        probe.touch(mode=0o600)
        try:
            os.link(probe, other)
            other.unlink()
        except OSError as error:
            if error.errno not in LINKLESS:
                raise
            return False
        finally:
            probe.unlink()
        return True

    def _has(self, name: str) -> bool:
        if (self.folder / "new" / name).exists() or (self.folder / "cur" / name).exists():
            return True
        return any(file.startswith(f"{name}:") for file in os.listdir(self.folder / "cur"))  # noqa: PTH208 - names only

    def _unique(self, id: str = "") -> str:
        known = f"I{id}" if id else ""
        return f"{time.time():.6f}.P{os.getpid()}R{secrets.token_hex(8)}{known}.{self._host}"

    def _sweep(self) -> None:
        for file in (self.folder / "tmp").iterdir():
            with suppress(FileNotFoundError):  # another server delivers here, and has removed it itself
                if time.time() - file.stat().st_mtime > STALE:
                    file.unlink()

    def _error(self, error: OSError) -> MaildirError:
        problem = f"cannot store in the inbox {self.folder}: {error.strerror or error}"
        return MaildirError(problem, full=error.errno in FULL)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
