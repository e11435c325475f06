"""`fsm serve` in a process of its own, which can be killed at any moment."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from tests.crash.launch import POINT
from tests.mail.support import Client

ROOT = Path(__file__).parents[2]
PATIENCE = float(os.environ.get("PATIENCE", "120"))
"""Seconds a test may take."""
DRAIN = "NO_WAIT 60s"
SOON = ("0.05", "1", "0.05")
"""A retry schedule short enough for a test."""
NEVER = ("3600", "2", "7200")


@contextmanager
def sockets() -> Iterator[None]:
    """Provide a folder with a short name for the control sockets of all servers of a test, and remove it."""
    folder, before = tempfile.mkdtemp(prefix="fsm-"), os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = folder
    try:
        yield
    finally:
        os.environ.pop("XDG_RUNTIME_DIR")
        if before is not None:
            os.environ["XDG_RUNTIME_DIR"] = before
        shutil.rmtree(folder)


class Served:
    """One run of the server in this folder.  `started` begins one; `ready` waits until it is ready."""

    process: asyncio.subprocess.Process
    reading: asyncio.Task[None]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inbound = self.submission = ""
        self.output = b""
        self.halted = False
        """Whether it has halted at its point (`launch.py`)."""
        self.news = asyncio.Event()
        """Set when it is ready, has halted at its point, or has ended."""

    @classmethod
    async def started(
        cls, folder: Path, smarthost: str | None, *more: str, point: int | str = 0, plan: str = DRAIN, retry: Sequence[str] = SOON,
        env: Mapping[str, str] | None = None, before: Sequence[str] = (),
    ) -> Served:  # fmt: skip
        """Begin a run."""
        self = cls(folder)
        words = [*before, sys.executable, "-m", "tests.crash.launch", str(point), "serve", "--store", str(folder), "--plan", plan]
        words += ["--inbound", "127.0.0.1:0", "--submission", "127.0.0.1:0", "--retry", *retry, "--hostname", "mail.example.org"]
        words += ["--smarthost", smarthost] if smarthost is not None else []
        folder.parent.mkdir(parents=True, exist_ok=True)
        with open(folder.parent / "log", "ab") as log:  # noqa: ASYNC230, PTH123, RUF100 - a test
            self.process = await asyncio.create_subprocess_exec(
                *words, *more, cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
                env={**os.environ, **(env or {})}, start_new_session=True,
            )  # fmt: skip
        self.reading = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        assert self.process.stdout is not None
        rest = b""
        while piece := await self.process.stdout.read(65536):
            rest += piece
            if POINT in rest:
                self.halted, rest = True, rest.replace(POINT, b"")
                self.news.set()
            *lines, rest = rest.split(b"\n")
            for line in lines:
                if line.startswith(b"ready "):
                    addresses = dict(word.split("=", 1) for word in line.decode().split()[1:])
                    self.inbound, self.submission = addresses["inbound"], addresses["submission"]
                else:
                    self.output += line + b"\n"
                self.news.set()
        self.output += rest
        self.news.set()

    async def ready(self) -> bool:
        """Wait for the ready line; False if the process ended or halted at its point before it."""
        await asyncio.wait_for(self.news.wait(), PATIENCE)
        return bool(self.submission)

    async def stopped(self) -> None:
        """Wait until it has halted at its point, or has ended."""
        while not (self.halted or self.reading.done()):
            self.news.clear()
            await self.news.wait()

    async def gone_round(self) -> None:
        """Wait until its event loop has gone round, so that all that it could answer by now is answered.

        At the very end the loop itself may wait for the thread that was halted, and answers no more.
        """
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(3):
                for _ in range(2):
                    async with await Client.at(self.submission, None) as client:
                        await client.say("NOOP")

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    def kill(self) -> None:
        """Send SIGKILL to it and to what it runs under, if it has not ended."""
        with suppress(ProcessLookupError):
            if self.alive:
                os.killpg(self.process.pid, signal.SIGKILL)

    def ask_to_close(self) -> None:
        """Send SIGTERM, if it has not ended."""
        with suppress(OSError):
            under = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            os.kill(int(under[0]) if under else self.process.pid, signal.SIGTERM)

    async def ended(self) -> int:
        """Wait for its end, and return the exit status."""
        await asyncio.wait_for(self.reading, PATIENCE)
        return await self.process.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()
        await self.ended()


def log_of(folder: Path) -> str:
    """Return the end of the log of a folder's servers."""
    return (folder.parent / "log").read_text(errors="replace")[-2000:]
