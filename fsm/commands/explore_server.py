"""The explorer page, served to this machine alone, with the events of a journal while it grows.

Theory.
1. The server listens on 127.0.0.1 and answers two addresses: `/`, the page, and `/events`, the journal as server-sent
   events.  A request with another host name is refused, so that no web page can ask through its reader's browser.
2. `FollowedJournal` is a journal that does not end: it waits for the rest of a line that is not whole yet.  So
   `fsm.journal.replayed` reads it as any other, and the page gets what a replay says, up to the first divergence.
3. Each client gets a replay of the file from its beginning: first a few large messages with what is there already,
   then each record as it is written.
4. A journal that is shortened or replaced during the reading is no longer the same journal: the last message says so.
"""

from __future__ import annotations

import errno
import json
import sys
import webbrowser
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Event, Thread
from typing import BinaryIO, Final

from fsm.chart import Chart
from fsm.commands import CommandError
from fsm.journal.reader import LONGEST, JournalError, Replayed, data_of, replayed
from fsm.snapshot import encode

__all__ = ["FollowedJournal", "make_server", "messages", "serve"]

HOST: Final = "127.0.0.1"
PATIENCE: Final = 0.1
"""Seconds before looking again at a journal that has not grown."""
MOST: Final = 500
"""The most records of one message."""
QUIET: Final = 10.0
"""Seconds of silence after which a comment is sent, which fails when the client has gone."""


class FollowedJournal(BytesIO):
    """A journal that is being written, as a file that ends only when `stop` is set.

    `idle` is called every QUIET seconds while there is nothing to read; an exception from it ends the reading.
    """

    def __init__(self, path: Path, stop: Event, idle: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.path, self.stop, self.idle = path, stop, idle
        self._file: BinaryIO = path.open("rb")
        self._begun = b""

    @property
    def drained(self) -> bool:
        """True when no complete line can be read now."""
        return not self._begun.endswith(b"\n")

    def readline(self, size: int | None = -1, /) -> bytes:
        """Wait for the next complete line.  Empty at the end; JournalError when the file was shortened or replaced."""
        most = LONGEST + 1 if size is None or size < 0 else size
        waited = 0.0
        while self.drained and len(self._begun) < most:
            more = self._file.readline(most - len(self._begun))
            self._begun += more
            if not more:
                self._check()
                if self.stop.wait(PATIENCE):
                    return b""
                waited += PATIENCE
                if waited >= QUIET:
                    waited = 0.0
                    self.idle()
        line, self._begun = self._begun, self._file.readline(most)
        return line

    def _check(self) -> None:
        try:
            there, here = self.path.stat().st_size, self._file.tell()
        except OSError:
            raise JournalError("the journal has gone") from None
        if there < here:
            raise JournalError("the journal was shortened or replaced")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


class _FollowedDatabase(FollowedJournal):
    """The same for a journal in a database."""

    def __init__(self, where: str, stop: Event, idle: Callable[[], None]) -> None:
        from fsm.commands.journals import follow

        BytesIO.__init__(self)
        self.stop, self.idle, self._begun = stop, idle, b""
        self._file = follow(where)

    def _check(self) -> None:
        """Nothing to check: the journal in a database only grows."""


def messages(chart: Chart, journal: FollowedJournal) -> Iterator[dict[str, object]]:
    """Yield the messages of a journal: `records`, `again` in the first, and in the last `over`, the reason why."""
    records: list[dict[str, object]] = []
    again = True
    over = "the server was stopped"
    try:
        for one in replayed(chart, journal):
            records.append(_record(chart, one))
            if one.divergence is not None:
                over = str(one.divergence)
                break
            if journal.drained or len(records) >= MOST:
                yield {"records": records, "again": again}
                records, again = [], False
    except (JournalError, OSError) as error:
        over = str(error)
    yield {"records": records, "again": again, "over": over}


def _record(chart: Chart, one: Replayed) -> dict[str, object]:
    record = one.record
    at = encode(chart, one.configuration)
    if record.start is not None:
        return {"session": record.session, "start": True, "at": at}
    event = chart.event(record.event)
    step = {"session": record.session, "event": record.event, "at": at}
    step |= {"data": dict(data_of(event, record.data))} if event.data else {}
    return {**step, "accepted": one.entry["accepted"], "reason": one.entry["reason"]}


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        names = {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}
        if self.headers.get("Host") not in names:
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", f"this server answers as {self.server.address} only\n")
        elif self.path in ("/", "/index.html"):
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)
        elif self.path == "/events" and self.server.journal is not None:
            self._events(self.server.journal)
        elif self.path == "/favicon.ico":
            self._answer(HTTPStatus.NO_CONTENT, "", "")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there is nothing here; the page is at /\n")

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self._send_usual_headers()
        if kind:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_usual_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")

    def _events(self, path: Path | str) -> None:
        self.send_response(HTTPStatus.OK)
        self._send_usual_headers()
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            journal = _follow(path, self.server.stopped, self._send_comment)
        except (OSError, CommandError) as error:
            why = f"cannot read {Path(path).name}: {error.strerror}" if isinstance(error, OSError) else str(error)
            self._send({"records": [], "again": True, "over": why})
            return
        try:
            for message in messages(self.server.chart, journal):
                self._send(message)
        except OSError:
            return  # the client has gone
        finally:
            journal.close()

    def _send_comment(self) -> None:
        """Send a comment.  OSError when the client has gone."""
        self.wfile.write(b": nothing new\n\n")
        self.wfile.flush()

    def _send(self, message: dict[str, object]) -> None:
        self.wfile.write(f"data: {json.dumps(message)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the terminal is for errors."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, page: str, chart: Chart, journal: Path | str | None) -> None:
        self.page, self.chart, self.journal = page, chart, journal
        self.stopped = Event()
        super().__init__((HOST, port), _Handler)

    @property
    def address(self) -> str:
        """The URL of the page."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect; report everything else."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def make_server(page: str, chart: Chart, journal: Path | str | None = None, port: int = 0) -> _Server:
    """Return a server that listens; `serve_forever()` answers.  Call `stopped.set()` before `shutdown()`.

    OSError when the port is taken; OverflowError when it is no port number.
    """
    return _Server(port, page, chart, journal)


def _follow(where: Path | str, stop: Event, idle: Callable[[], None]) -> FollowedJournal:
    """Open a journal's file, or (when it is named by a string) the journal in a store's database."""
    if isinstance(where, Path):
        return FollowedJournal(where, stop, idle)
    return _FollowedDatabase(where, stop, idle)


def serve(page: str, chart: Chart, journal: Path | str | None, port: int, opens: bool) -> int:
    """Serve until interrupted, and return the exit status.  CommandError when the port or the journal fails."""
    if not 0 <= port <= 65535:
        raise CommandError(f"--port is 0 to 65535, not {port}")
    if isinstance(journal, str):
        from fsm.commands.journals import follow

        follow(journal).close()
    elif journal is not None:
        try:
            journal.open("rb").close()
        except OSError as error:
            raise CommandError(f"cannot read {journal}: {error.strerror}", 1) from None
    try:
        serving = make_server(page, chart, journal, port)
    except OSError as error:
        why = "it is taken; another, or none, would do" if error.errno == errno.EADDRINUSE else error.strerror
        raise CommandError(f"cannot listen on port {port}: {why}", 1) from None
    print(f"{serving.address}  (Ctrl-C ends it)", flush=True)
    if opens:
        Thread(target=partial(webbrowser.open, serving.address), daemon=True).start()
    try:
        serving.serve_forever()
    except KeyboardInterrupt:
        print("stopped")
    finally:
        serving.stopped.set()
        serving.server_close()
    return 0
