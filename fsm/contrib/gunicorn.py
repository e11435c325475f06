"""A store in gunicorn's workers: opened in each of them after the fork, closed by its plan before gunicorn ends it.

    # mail.py
    mail = serving(Database("mail.db"), "NO_WAIT 20s -> cancel 5s", workers=[deliver])

    def deliver(store): ...                            # for item in store.outgoing(): ...

    # gunicorn.conf.py
    from mail import mail
    post_worker_init, worker_exit = mail.post_worker_init, mail.worker_exit

    # app.py
    mail.store.submit(content)                         # in a request
    application = mail.middleware(application)         # any WSGI application; for Flask and Django:
    app.register_error_handler(StoreClosing, mail.unavailable)

Theory.
1. Nothing is opened where the object is made, so that it may be made before the fork, with `--preload`, too.  Each
   worker process opens the store for itself.
2. SIGTERM, which a reload and a stop of gunicorn send to a worker, closes the store first, while the worker still
   serves: `/ready` answers 503, and so does new work.  After the plan gunicorn's own handler gets the signal.
3. A worker that ends in any other way (`max_requests`, SIGINT) closes the store by the same plan on its way out.  What
   a killed worker had in flight is taken over by the others, or by its successor, as uncertain.
4. gunicorn kills a worker `graceful_timeout` seconds after it has told it to end.  A plan that may take longer is named
   in the log when the worker starts.
5. gevent patches threads, which has to happen before this file is imported: begin gunicorn.conf.py with
   `from gevent import monkey; monkey.patch_all()`.  Otherwise the worker does not start, and says so.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from fsm.contrib.requirements import check_version
from fsm.store.errors import StoreClosing
from fsm.store.outcome import Outcome
from fsm.store.plan import DEFAULT, Plan
from fsm.store.signals import Ladder, on_signals
from fsm.store.storage import Storage
from fsm.store.sync import Store

__all__ = ["Serving", "serving"]

log: Final = logging.getLogger("gunicorn.error")
RETRY_AFTER: Final = "5"
"""Seconds after which a client may try again, when another process has taken over."""

_LOCK: Final = threading.Lock
"""What gevent replaces."""

Environ: TypeAlias = dict[str, Any]
App: TypeAlias = Callable[..., Iterable[bytes]]
"""A WSGI application."""
Worker: TypeAlias = Callable[[Store], object]
Opens: TypeAlias = Callable[[], Store]


class _Config(Protocol):
    graceful_timeout: int


class _GunicornWorker(Protocol):
    cfg: _Config


def serving(
    store: Storage | Opens, plan: Plan | str = DEFAULT, *, workers: Sequence[Worker] = (), ready: str = "/ready",
    live: str = "/live",
) -> Serving:  # fmt: skip
    """Return what an application needs to keep a store in gunicorn: two hooks and a middleware.

    `store` is a storage, or a function that opens the store.  `workers` are started with it, one thread each, and get
    the store.  Raise ValueError for a plan that makes no sense.
    """
    chosen = Plan.parse(plan) if isinstance(plan, str) else plan
    return Serving(store, chosen, tuple(workers), ready, live)


class Serving:
    """A store in each worker process of gunicorn."""

    def __init__(
        self, store: Storage | Opens, plan: Plan, workers: tuple[Worker, ...], ready: str, live: str
    ) -> None:
        self._source, self._plan, self._workers = store, plan, workers
        self._answers: dict[object, Callable[[], tuple[str, str]]] = {ready: self._is_ready, live: _is_live}
        self._store: Store | None = None
        self._ladder: Ladder[Outcome] | None = None
        self._threads: list[threading.Thread] = []
        self._failed: str | None = None
        self._pid: int | None = None

    @property
    def store(self) -> Store:
        """This process's store.  RuntimeError before the worker has started."""
        if self._store is None:
            raise RuntimeError(
                "the store is open in gunicorn's workers: write `post_worker_init, worker_exit = "
                "mail.post_worker_init, mail.worker_exit` into gunicorn.conf.py; elsewhere (in a test, say) call "
                "mail.open() first"
            )
        return self._store

    # --------------------------------------------------------------------------------------------------- the hooks

    def post_worker_init(self, worker: _GunicornWorker) -> None:
        """Open the store and start the workers, in a process that gunicorn has just started.

        ImportError if gunicorn is too old.
        """
        check_version("gunicorn", "gunicorn", 22, 0)
        if threading.Lock is not _LOCK:
            raise RuntimeError(
                "gevent has patched threads after fsm was imported, so that a store would wait for ever: begin "
                "gunicorn.conf.py with `from gevent import monkey; monkey.patch_all()`"
            )
        if self._plan.budget >= worker.cfg.graceful_timeout:
            log.warning(
                "the plan %s may take %g s, and gunicorn kills a worker after %d s: raise graceful_timeout",
                self._plan, self._plan.budget, worker.cfg.graceful_timeout,
            )  # fmt: skip
        self.open()
        self._ladder = on_signals(self.store, self._plan, signals=(signal.SIGTERM,), say=log.info, then="previous")
        self._ladder.__enter__()

    def worker_exit(self, server: object, worker: object) -> None:
        """Close the store by the plan, unless the signal has, and wait for the workers.  Without a store do nothing."""
        if self._store is None or self._pid != os.getpid():  # gunicorn's parent calls it, too
            return
        if self._ladder is not None:
            self._ladder.__exit__(None, None, None)
        self.close()

    def open(self) -> Store:
        """Open the store here, and start the workers; what `post_worker_init` does, but for the signals."""
        self._store = self._source() if callable(self._source) else Store(self._source)
        self._pid = os.getpid()
        for worker in self._workers:
            thread = threading.Thread(target=self._work, args=(worker, self._store), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self._store

    def close(self) -> None:
        """Close the store by the plan, wait for the workers if that has released it, and let it go."""
        store = self.store
        if store.close(self._plan):
            for thread in self._threads:
                thread.join()
        store.let_go()
        self._store, self._threads = None, []

    def _work(self, worker: Worker, store: Store) -> None:
        try:
            worker(store)
        except Exception as error:
            name = getattr(worker, "__qualname__", repr(worker))
            self._failed = f"the worker {name} has failed: {type(error).__name__}: {error}"
            log.exception("%s: %s", store.name, self._failed)

    # ------------------------------------------------------------------------------------------------ the requests

    def middleware(self, app: App) -> App:
        """Return this WSGI application with `/ready` and `/live`, where StoreClosing is answered with 503."""

        def guarded(environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
            if (answer := self._answers.get(environ.get("PATH_INFO"))) is not None:
                return _respond(start_response, *answer())
            try:
                return app(environ, start_response)
            except StoreClosing as closing:
                return _respond(start_response, "503 Service Unavailable", str(closing), ("Retry-After", RETRY_AFTER))

        return guarded

    def unavailable(self, closing: StoreClosing) -> tuple[str, int, Mapping[str, str]]:
        """Return the answer to a request that came too late, for `Flask.register_error_handler`."""
        return str(closing), closing.http, {"Retry-After": RETRY_AFTER, "Content-Type": "text/plain; charset=utf-8"}

    def _is_ready(self) -> tuple[str, str]:
        if self._failed is not None:
            return "503 Service Unavailable", self._failed
        if self._store is None or not self._store.in_service:
            return "503 Service Unavailable", "closing"
        return "200 OK", "ready"


def _is_live() -> tuple[str, str]:
    return "200 OK", "live"


def _respond(
    start_response: Callable[..., object], status: str, text: str, *headers: tuple[str, str]
) -> Iterable[bytes]:
    body = text.encode()
    plain, length = ("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))
    start_response(status, [plain, length, *headers])
    return [body]
