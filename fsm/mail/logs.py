"""The log of a server on standard error, which never stops the server and never floods its reader.

Theory.
1. A pipe that nobody reads blocks who writes into it.  So lines go into a queue, and a thread of their own writes them;
   when the queue is full, lines are dropped and counted.
2. One cause (a text before its details are filled in) is told a few times a second.  The next line of its kind says how
   many were left out.  What tells of single messages is not left out: it is no trouble, and asked for.
3. Each message has one line for each thing that happens to it (`tell`): taken, received, refused, sent, deferred,
   bounced, uncertain.  It begins with the message's id, which is the same in all of them.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Final

from fsm.mail.syntax import line

__all__ = ["BackgroundHandler", "JsonLines", "Sparing", "tell"]

log: Final = logging.getLogger("fsm.mail.messages")
WAITING: Final = 10_000
"""Lines that may wait to be written."""
A_SECOND: Final = 3
"""Lines a second of one cause."""
CAUSES: Final = 1000
LAST: Final = 1.0
"""Seconds in which the last lines are to be written."""


class BackgroundHandler(logging.Handler):
    """Writes lines to a file descriptor in a thread.  `say` writes a line that is no record."""

    def __init__(self, descriptor: int = 2) -> None:
        super().__init__()
        self._descriptor, self._dropped = descriptor, 0
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._write_all, name="fsm log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Have the record written."""
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
        else:
            self.say(text)

    def say(self, text: str) -> None:
        """Have a line written, or count it as dropped."""
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self._dropped += 1

    def finish(self) -> None:
        """Write what waits, for a second at most."""
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(LAST)

    def _write_all(self) -> None:
        while (text := self._lines.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            if dropped:
                text += f"\n({dropped} lines were dropped, because nobody read them)"
            data = f"{text}\n".encode("utf-8", "backslashreplace")
            try:
                while data:  # a pipe takes what fits
                    data = data[os.write(self._descriptor, data) :]
            except OSError:
                pass  # there is no reader any more


class Sparing(logging.Filter):
    """Lets a few records a second of one cause through.  `now` returns seconds that never go back."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._seen: dict[tuple[str, int, str], tuple[int, int, int]] = {}
        """The second, the records of a cause in it, and those left out since one was let through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        if record.levelno < logging.WARNING:
            return True
        cause, second = (record.name, record.levelno, str(record.msg)), int(self._now())
        then, count, left_out = self._seen.get(cause, (second, 0, 0))
        count = count + 1 if then == second else 1
        if count > A_SECOND:
            self._seen[cause] = second, count, left_out + 1
            return False
        if len(self._seen) >= CAUSES:
            self._seen.clear()
        self._seen[cause] = second, count, 0
        if left_out:
            record.msg = f"{record.getMessage()} (and {left_out} more of the kind)"
            record.args = None
        return True


def tell(event: str, store: str | None, id: str, **facts: str | int) -> None:
    """Log what happened to a message of a store, or of none yet; `facts` that are empty are left out."""
    if log.isEnabledFor(logging.INFO):
        told = {name: line(value) if isinstance(value, str) else value for name, value in facts.items() if value != ""}
        text = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in told.items())
        extra = {"told": {"event": event, "id": id, **told}, "store": store, "message_id": id or None}
        log.info("%s %s: %s", id or "-", event, text, extra=extra)


class JsonLines(logging.Formatter):
    """Formats a record as a line of JSON: time, level, logger, store, the mail's id, and the text or what is told."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        entry = {"time": moment, "level": record.levelname, "logger": record.name}
        if (store := getattr(record, "store", None)) is not None:
            entry["store"] = store
        id = getattr(record, "message_id", None)
        told = getattr(record, "told", None) or {**({"id": id} if id else {}), "message": record.getMessage()}
        error = {"error": self.formatException(record.exc_info)} if record.exc_info else {}
        return json.dumps({**entry, **told, **error}, ensure_ascii=True)
