"""The books of programs under load (`loader.py`), and what must hold when they are closed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fsm.store import Database, Store

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0
"""Seconds after which a test gives up."""


class Books:
    """What all programs of a test have written, whole at any moment."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.tried: set[str] = set()
        self.refused: set[str] = set()
        self.sent: dict[str, list[int]] = defaultdict(list)
        """By tag: for each delivery how often the message was uncertain before."""
        self.news = threading.Condition()

    def write(self, line: str) -> str:
        """Write a line; return the outcome, if it is one."""
        kind, _, rest = line.partition(" ")
        with self.news:
            if kind == "try":
                self.tried.add(rest)
            elif kind == "accepted":
                self.accepted.append(rest)
            elif kind == "refused":
                self.refused.add(rest)
            elif kind == "sent":
                tag, _, uncertain = rest.partition(" ")
                self.sent[tag].append(int(uncertain))
            self.news.notify_all()
        return rest if kind == "outcome" else ""

    def until(self, holds: Callable[[], object]) -> None:
        """Wait until this holds.  AssertionError if it does not for too long."""
        with self.news:
            assert self.news.wait_for(holds, PATIENCE), f"stuck: {len(self.accepted)} accepted, {len(self.sent)} sent"

    def go_on(self, count: int = 20) -> None:
        """Wait until so many more are accepted, and as many more sent."""
        accepted, sent = len(self.accepted) + count, len(self.sent) + count
        self.until(lambda: len(self.accepted) >= accepted and len(self.sent) >= sent)

    @property
    def twice(self) -> int:
        """How many messages arrived more than once."""
        return sum(len(found) > 1 for found in self.sent.values())

    def problems(self) -> list[str]:
        """What must not be, when all programs have ended and the queue is empty."""
        found = [f"{tag} was accepted, and has not arrived" for tag in self.accepted if tag not in self.sent]
        found += [f"{tag} was refused, and has arrived" for tag in sorted(self.refused & {*self.sent})]
        found += [f"nobody has tried to submit {tag}" for tag in sorted({*self.sent} - self.tried)]
        for tag, uncertain in self.sent.items():
            for before, times in enumerate(sorted(uncertain)):
                if times < before:
                    found.append(f"{tag} has arrived {len(uncertain)} times, and was uncertain only before {uncertain}")
        return found


class Program:
    """A program under load."""

    def __init__(self, where: str, books: Books) -> None:
        words = [sys.executable, "-m", "tests.crash.loader", where]
        self.process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.outcome = ""
        self._books = books
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):
                self.outcome = self._books.write(line[:-1]) or self.outcome

    def ask_to_close(self, plan: str) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(plan + "\n")
            self.process.stdin.flush()

    def ended(self) -> str:
        """Wait for the end; return the outcome it has written."""
        assert self.process.wait(PATIENCE) in (0, -9), self.process.returncode
        self._reading.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        return self.outcome

    def kill(self) -> None:
        self.process.kill()
        self.ended()


def empty(where: str, books: Books, **options: Any) -> float:
    """Send all that is left, as another program would; return the seconds until the first message went through."""
    began = time.perf_counter()
    with Store(Database(where, **options)) as store:
        took = time.perf_counter() - began

        def send() -> None:
            for item in store.outgoing():
                with item:
                    assert item.message is not None
                    books.write(f"sent {item.message.content.decode()} {item.message.uncertain}")

        workers = [threading.Thread(target=send) for _ in range(4)]
        for worker in workers:
            worker.start()
        outcome = store.close("PURGE 100s")
        for worker in workers:
            worker.join()
        assert outcome, str(outcome)
        assert not outcome.queued, str(outcome)
    return took
