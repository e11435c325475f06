"""A store in an ASGI server: opened and closed with the application, which says at once that it is closing.

    mail = serving(Database("mail.db"), "notice 5s -> NO_WAIT 20s -> cancel 3s", workers=[deliver])

    app = FastAPI(lifespan=mail)                       # or Starlette(lifespan=mail)
    app.add_middleware(mail.middleware)
    app = mail.middleware(Litestar(lifespan=[mail], exception_handlers=mail.exception_handlers))
    app = mail.wrap(app)                               # any ASGI application

    await mail.store.submit(content)                   # in a request
    async def deliver(store): ...                      # a worker: async for item in store.outgoing(): ...

Theory.
1. The server's signal closes the store first, while the server still serves: `/ready` answers 503 from the first
   moment, new work is answered 503 when the plan's `notice` is over, and what is in flight ends.  After the plan the
   server gets the signal again, and ends as it always does.
2. A StoreClosing that leaves a request is answered with 503 and Retry-After, a websocket is closed with 1013 (try
   again later).  Requests that `inbound` selects are in flight as long as they last, named by their method and path.
3. Where signals cannot be handled (under a test client), the store is closed when the application is shut down.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Final, TypeAlias

from fsm.contrib.requirements import check_loaded
from fsm.store.aio import AsyncStore
from fsm.store.errors import Stopped, StoreClosing
from fsm.store.log import about
from fsm.store.plan import DEFAULT, Plan
from fsm.store.signals import on_signals
from fsm.store.storage import Storage

__all__ = ["Serving", "serving"]

log: Final = logging.getLogger("fsm.store")
RETRY_AFTER: Final = b"5"
"""Seconds after which a client may try again, when another process has taken over."""
LIFESPAN: Final = {"fastapi": (0, 93)}
"""The versions from which on frameworks take `lifespan=`; those before leave it out without a word."""
TRY_AGAIN_LATER: Final = 1013
"""The close code of a websocket (registered with IANA)."""

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Worker: TypeAlias = Callable[[AsyncStore], Awaitable[object]]
Opens: TypeAlias = Callable[[], "AsyncStore | Awaitable[AsyncStore]"]


def serving(
    store: Storage | Opens, plan: Plan | str = DEFAULT, *, workers: Sequence[Worker] = (),
    inbound: bool | Callable[[Scope], bool] = False, ready: str = "/ready", live: str = "/live",
) -> Serving:  # fmt: skip
    """Return what an application needs to keep a store: a lifespan, and a middleware.

    `store` is a storage, or a function that opens the store (in the loop; it may be async).  `workers` are started with
    it, one task each, and get the store.  `inbound` says which requests count as messages that come in: all, or those
    for which it returns True.  Raise ValueError for a plan that makes no sense.
    """
    chosen = Plan.parse(plan) if isinstance(plan, str) else plan
    selects: Callable[[Scope], bool] = inbound if callable(inbound) else lambda _: bool(inbound)
    return Serving(store, chosen, tuple(workers), selects, ready, live)


class Serving:
    """The lifespan of a store in an ASGI application; call it with the application, as frameworks do."""

    def __init__(
        self, store: Storage | Opens, plan: Plan, workers: tuple[Worker, ...], inbound: Callable[[Scope], bool],
        ready: str, live: str,
    ) -> None:  # fmt: skip
        self._source, self._plan, self._workers, self._inbound = store, plan, workers, inbound
        self._answers: dict[object, Callable[[], tuple[int, bytes]]] = {ready: self._is_ready, live: _is_live}
        self._store: AsyncStore | None = None
        self._failed: str | None = None

    @property
    def store(self) -> AsyncStore:
        """The open store.  RuntimeError before the application has started, and after it was shut down.

        ImportError if the framework is too old to know `lifespan=`.
        """
        if self._store is None:
            for library, least in LIFESPAN.items():
                check_loaded("asgi", library, *least)
            raise RuntimeError(
                "the store is open while the application runs: give `lifespan=` what `serving` returned, and with a "
                "test client enter its block (`with TestClient(app) as client:`)"
            )
        return self._store

    @asynccontextmanager
    async def __call__(self, app: object = None) -> AsyncGenerator[None, None]:
        """Open the store and start the workers; at the end close it by the plan and wait for the workers."""
        store = self._store = await self._open()
        tasks = [asyncio.create_task(self._work(worker, store)) for worker in self._workers]
        released = False
        try:
            with on_signals(store, self._plan, then="previous"):
                try:
                    yield
                finally:
                    released = bool(await store.close(self._plan))
        finally:
            for task in tasks if not released else ():
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            store.let_go()
            self._store = None

    async def _open(self) -> AsyncStore:
        if not callable(self._source):
            return AsyncStore(self._source)
        opened = self._source()
        return await opened if inspect.isawaitable(opened) else opened

    async def _work(self, worker: Worker, store: AsyncStore) -> None:
        try:
            await worker(store)
        except Stopped:  # by the plan
            pass
        except Exception as error:
            name = getattr(worker, "__qualname__", repr(worker))
            self._failed = f"the worker {name} has failed: {type(error).__name__}: {error}"
            log.exception("%s: %s", store.name, self._failed, extra=about(store.name))

    # ------------------------------------------------------------------------------------------------ the requests

    def middleware(self, app: App) -> App:
        """Return this application with the answers of the theory, 2; also for `add_middleware`."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                return await app(scope, receive, send)
            if scope["type"] == "http" and (answer := self._answers.get(scope["path"])) is not None:
                return await _respond(send, *answer())
            return await self._serve(app, scope, receive, send)

        return guarded

    def wrap(self, app: App) -> App:
        """Return this application with the lifespan and the middleware, for applications without a framework."""
        inner = self.middleware(app)

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await self._live(receive, send)
            else:
                await inner(scope, receive, send)

        return wrapped

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            phase = "startup" if self._store is None else "shutdown"
            await send({"type": f"lifespan.{phase}.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def sends(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with self._in_flight(scope):
                await app(scope, receive, sends)
        except StoreClosing as closing:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": str(closing)[:100]})
            elif started:
                raise
            else:
                await _respond(send, 503, str(closing).encode(), (b"retry-after", RETRY_AFTER))

    def _in_flight(self, scope: Scope) -> AbstractAsyncContextManager[object]:
        if not self._inbound(scope):
            return nullcontext()
        client = scope.get("client")
        what = f"{scope.get('method', 'websocket')} {scope['path']}"
        return self.store.inbound(peer=str(client[0]) if client else "", what=what)

    def _is_ready(self) -> tuple[int, bytes]:
        if self._failed is not None:
            return 503, self._failed.encode()
        if self._store is None or not self._store.in_service:
            return 503, b"closing"
        return 200, b"ready"

    @property
    def exception_handlers(self) -> dict[type[Exception], Callable[[object, StoreClosing], object]]:
        """For Litestar, which answers errors before a middleware sees them."""
        from litestar import Response

        def unavailable(request: object, closing: StoreClosing) -> object:
            headers = {"Retry-After": RETRY_AFTER.decode()}
            return Response(str(closing), status_code=503, headers=headers, media_type="text/plain")

        return {StoreClosing: unavailable}


def _is_live() -> tuple[int, bytes]:
    return 200, b"live"


async def _respond(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    plain = (b"content-type", b"text/plain; charset=utf-8")
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [plain, length, *headers]})
    await send({"type": "http.response.body", "body": body})
