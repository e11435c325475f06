"""The HTTP port: how a server stands, for probes, Prometheus and people; it can be read only, from this computer only.

    /live      200 while the server answers        /metrics   for Prometheus
    /ready     200 while new mail is taken;        /status    the stores, as JSON
               503 from the first moment of a      /events    the same at each change, as server-sent events
               plan on                             /          the page: the machine, its state, what is in the way

Theory.
1. A request is its head alone, of at most `LONGEST` octets in `PATIENCE` seconds; one connection answers one.
2. A browser sends the name of the server it means.  Any other name than this computer's is refused, so that no page of
   somebody else can read here (DNS rebinding).  The page loads nothing from anywhere, by its policy.
3. Watchers are told of changes `PAUSE` seconds apart at most, whatever happens in between: first of all stores, then of
   those that have changed.  Who does not read is cut off.
"""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from hashlib import sha256
from html import escape
from http import HTTPStatus
from importlib.resources import files
from re import DOTALL, findall
from typing import TYPE_CHECKING, Final, cast

from fsm.mail.mailboxes import Mailboxes
from fsm.mail.status import status_of
from fsm.store.aio import AsyncStore
from fsm.store.errors import StorageError

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

__all__ = ["StatusPage"]

log: Final = logging.getLogger("fsm.mail")
LONGEST: Final = 8 * 1024
PATIENCE: Final = 10.0
PAUSE: Final = 0.5
QUIET: Final = 5.0
"""Seconds after which watchers are told all the same: what is in flight grows older."""
UNREAD: Final = 256 * 1024
"""Octets that a watcher may leave unread."""
MOST: Final = 64
"""Connections at a time."""
MOST_LINES: Final = 100
"""Stores that `/ready` tells of."""
NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
TEXT, JSON, HTML = "text/plain; charset=utf-8", "application/json", "text/html; charset=utf-8"
USUAL: Final = (
    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n"
)

Answer = tuple[HTTPStatus, str, bytes]
Gauges = Callable[[], Mapping[str, Mapping[str, float]]]
"""Returns further numbers for /metrics: name of the gauge, port, value."""


class StatusPage:
    """The answers of the HTTP port, for these mailboxes.  Calling it makes the protocol of a new connection."""

    def __init__(self, mailboxes: Mailboxes, gauges: Gauges, picture: str) -> None:
        self._mailboxes, self._gauges = mailboxes, gauges
        self._page, self.policy = _page(picture)
        self.connections: dict[_Connection, None] = {}
        self.watchers: dict[_Connection, None] = {}
        self._loop = asyncio.get_running_loop()
        self._telling: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._followed: dict[AsyncStore, Callable[[], None]] = {}
        """The stores whose changes are told, and how to end that."""
        self._changed: dict[AsyncStore, None] = {}

    @classmethod
    async def drawn(cls, mailboxes: Mailboxes, gauges: Gauges = dict) -> StatusPage:
        """Return the page with the picture of the machine, or without it when there is no program to draw it."""
        return cls(mailboxes, gauges, await asyncio.to_thread(_picture))

    def __call__(self, peer: str) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection."""
        return _Connection(self)

    async def close(self) -> None:
        """Tell the watchers how it ended, and close all connections."""
        for unsubscribe in self._followed.values():
            unsubscribe()
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
            self._tell_watchers(await self._snapshot(self._stores(), whole=True))
        for connection in list(self.connections):
            connection.close()

    # --------------------------------------------------------------------------------------------------- answers

    async def answer(self, path: str) -> Answer:
        """Return the answer to a request for this path."""
        answer = PATHS.get(path.partition("?")[0])
        if answer is None:
            return HTTPStatus.NOT_FOUND, TEXT, b"there is nothing here; the page is at /\n"
        return await answer(self)

    async def _live(self) -> Answer:
        return HTTPStatus.OK, TEXT, b"live\n"

    async def _ready(self) -> Answer:
        """Ready is who takes mail for any mailbox and means to go on; those that do not are told first."""
        told = sorted(((one, one.progress_now()) for one in self._stores()), key=lambda told: told[1].in_service)
        lines = []
        for store, now in told[:MOST_LINES]:
            step = f" by {now.step}" if now.step is not None else ""
            lines.append(f"{store.name}: {'ready' if now.in_service else f'not ready, closing{step}'} ({now.state})\n")
        if len(told) > len(lines):
            lines.append(f"and {len(told) - len(lines):,} more\n")
        ready = self._mailboxes.whole.in_service and any(now.in_service for _, now in told)
        return HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, TEXT, "".join(lines).encode()

    async def _metrics(self) -> Answer:
        try:
            from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
            from prometheus_client.registry import CollectorRegistry

            from fsm.store.metrics import StoreCollector
        except ModuleNotFoundError as missing:
            return HTTPStatus.NOT_IMPLEMENTED, TEXT, f"{missing}\n".encode()
        registry = CollectorRegistry()
        registry.register(StoreCollector(*self._stores()))
        registry.register(_Gauges(self._gauges()))
        return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry)

    async def _status(self) -> Answer:
        return HTTPStatus.OK, JSON, await self._snapshot(self._stores(), whole=True)

    async def _whole_page(self) -> Answer:
        return HTTPStatus.OK, HTML, self._page

    def _stores(self) -> list[AsyncStore]:
        return [one.store for one in self._mailboxes]

    async def _snapshot(self, stores: Iterable[AsyncStore], *, whole: bool) -> bytes:
        """Return how these stores stand; `whole` if these are all there are."""
        found = []
        for store in stores:
            try:
                found.append(await status_of(store))
            except StorageError as error:
                found.append({"name": store.name, "state": store.state, "problem": str(error)})
        return json.dumps({"stores": found, "whole": whole}).encode()

    # --------------------------------------------------------------------------------------------------- watchers

    async def watch(self, watcher: _Connection) -> None:
        """Tell this connection of each change from now on."""
        self._follow()
        watcher.tell(await self._snapshot(self._stores(), whole=True))
        self.watchers[watcher] = None
        if self._telling is None or self._telling.done():
            self._telling = self._loop.create_task(self._tell_all())

    def _follow(self) -> bool:
        """Follow the stores that are open now; return whether they are others than before."""
        before, stores = list(self._followed), self._stores()
        for store in before:
            if store not in stores:
                self._followed.pop(store)()
        for store in stores:
            if store not in self._followed:
                self._followed[store] = store.subscribe(partial(self._change, store))
        return before != list(self._followed)

    def _change(self, store: AsyncStore) -> None:
        """A store has changed; called from any thread, and for each change once until it is told."""
        if store not in self._changed and not self._loop.is_closed():
            self._changed[store] = None
            self._loop.call_soon_threadsafe(self._wake.set)

    async def _tell_all(self) -> None:
        while self.watchers:
            with suppress(TimeoutError):
                async with asyncio.timeout(QUIET):
                    await self._wake.wait()
            quiet = not self._wake.is_set()
            self._wake.clear()
            whole = self._follow()
            changed, self._changed = self._changed, {}
            if quiet:
                changed |= dict.fromkeys(one for one in self._followed if one.blockers() or one.current_step)
            stores = list(self._followed) if whole else [one for one in changed if one in self._followed]
            self._tell_watchers(await self._snapshot(stores, whole=whole))
            await asyncio.sleep(PAUSE)

    def _tell_watchers(self, told: bytes) -> None:
        for watcher in list(self.watchers):
            watcher.tell(told)


PATHS: Final[dict[str, Callable[[StatusPage], Awaitable[Answer]]]] = {
    "/live": StatusPage._live, "/ready": StatusPage._ready, "/metrics": StatusPage._metrics,
    "/status": StatusPage._status, "/": StatusPage._whole_page,
}  # fmt: skip


class _Connection(asyncio.Protocol):
    """One connection: it reads a request, and answers it."""

    _transport: asyncio.Transport

    def __init__(self, page: StatusPage) -> None:
        self._page, self._loop = page, asyncio.get_running_loop()
        self._head, self._task = bytearray(), None
        self._timer: asyncio.TimerHandle | None = None

    _task: asyncio.Task[None] | None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop has its own
        self._transport = transport
        if len(self._page.connections) >= MOST:
            transport.abort()
            return
        self._page.connections[self] = None
        self._timer = self._loop.call_later(PATIENCE, transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._task is not None:
            return
        self._head += data
        if b"\r\n\r\n" in self._head or b"\n\n" in self._head:
            self._task = self._loop.create_task(self._answer())
        elif len(self._head) > LONGEST:
            self._say(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, TEXT, b"the request is too long\n")

    def connection_lost(self, error: Exception | None) -> None:
        self._page.connections.pop(self, None)
        self._page.watchers.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Close the connection once everything written has left."""
        self._transport.close()

    def tell(self, told: bytes) -> None:
        """Send an event, unless too many were not read."""
        if self._transport.get_write_buffer_size() > UNREAD:
            self._transport.abort()
        else:
            self._transport.write(b"data: " + told + b"\n\n")

    async def _answer(self) -> None:
        try:
            first, *lines = self._head.decode("latin-1").split("\n")
            method, path, *_ = (*first.split(), "", "")
            host = next((one.partition(":")[2].strip() for one in lines if one.lower().startswith("host:")), "")
            if method not in ("GET", "HEAD"):
                self._say(HTTPStatus.METHOD_NOT_ALLOWED, TEXT, b"this server can be read only\n")
            elif host.rpartition(":")[0] not in NAMES and host not in NAMES:
                self._say(HTTPStatus.FORBIDDEN, TEXT, f"ask for {' or '.join(NAMES)}, not {host[:80]!r}\n".encode())
            elif path == "/events" and method == "GET":
                self._begin(HTTPStatus.OK, "text/event-stream")
                await self._page.watch(self)
            else:
                self._say(*await self._page.answer(path), body=method == "GET")
        except Exception as error:
            log.error("the HTTP port could not answer: %s: %s", type(error).__name__, error)
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, TEXT, b"that could not be answered; the log says why\n")

    def _begin(self, status: HTTPStatus, kind: str, length: str = "") -> None:
        if self._timer is not None:
            self._timer.cancel()
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\n{length}{USUAL}"
        self._transport.write(f"{head}Content-Security-Policy: {self._page.policy}\r\n\r\n".encode())

    def _say(self, status: HTTPStatus, kind: str, text: bytes, *, body: bool = True) -> None:
        self._begin(status, kind, f"Content-Length: {len(text)}\r\n")
        if body:
            self._transport.write(text)
        self._timer = self._loop.call_later(PATIENCE, self._transport.abort)
        self._transport.close()


class _Gauges:
    """The server's own numbers, as a collector of Prometheus."""

    def __init__(self, gauges: Mapping[str, Mapping[str, float]]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import GaugeMetricFamily

        for name, values in self._gauges.items():
            family = GaugeMetricFamily(f"fsm_mail_{name}", name.replace("_", " "), labels=("port",))
            for port, value in values.items():
                family.add_metric((port,), value)
            yield family


def _picture() -> str:
    """Return the machine as SVG, or nothing if it cannot be drawn here."""
    from fsm import draw
    from fsm.logoff.chart import LOGOFF

    try:
        return draw.svg(LOGOFF, brief=True)
    except draw.DrawingError as error:
        log.warning("the status page has no picture: %s", error)
        return ""


def _page(picture: str) -> tuple[bytes, str]:
    """Return the page, and the policy that allows its own style sheets and script only."""
    from fsm.logoff.chart import LOGOFF

    states = "".join(f'<li data-state="{escape(str(state))}">{escape(str(state))}</li>' for state in LOGOFF.states)
    text = files("fsm.mail").joinpath("status_page.html").read_text("utf-8")
    text = text.replace("<!-- picture -->", picture or f'<ol class="states">{states}</ol>')
    hashes = {
        kind: " ".join(f"'sha256-{b64encode(sha256(one.encode()).digest()).decode()}'"
                       for one in findall(rf"<{tag}>(.*?)</{tag}>", text, DOTALL))
        for kind, tag in (("style-src", "style"), ("script-src", "script"))
    }  # fmt: skip
    rules = "; ".join(f"{kind} {allowed}" for kind, allowed in hashes.items())
    nothing_else = (
        "default-src 'none'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )
    return text.encode(), f"{nothing_else}; {rules}"
