"""The two faces of durable sessions behind one: `Looped` gives AsyncSessions the shape of Sessions.

Its loop runs in a thread of its own; it decides nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Self

from fsm.sessions import AsyncSessions, Sessions

MOST = 120.0


class Loop:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def __call__(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(MOST)

    def end(self) -> None:
        self(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class _Transaction:
    def __init__(self, run: Loop, inner: Any) -> None:
        self.run, self.inner = run, inner

    def fire(self, *args: Any, **data: Any) -> Any:
        return self.run(self.inner.fire(*args, **data))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        return (lambda **data: self.run(found(**data))) if name in ("pay", "ship") else found


class Looped:
    def __init__(self, *args: Any, **options: Any) -> None:
        self.run = Loop()
        try:
            self.inner = self.run(self._make(*args, **options))
        except BaseException:
            self.run.end()
            raise

    async def _make(self, *args: Any, **options: Any) -> AsyncSessions[Any]:
        return AsyncSessions(*args, **options)

    @property
    def _core(self) -> Any:
        return self.inner._core

    def fire(self, *args: Any, **data: Any) -> Any:
        coroutine = self.inner.fire(*args, **data)
        if data.get("connection") is None:
            return self.run(coroutine)
        try:  # a connection is for the thread that has made it; nothing is awaited
            coroutine.send(None)
        except StopIteration as end:
            return end.value
        raise AssertionError("it waits for something")

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        return lambda *args, **data: self.run(found(*args, **data))

    @contextmanager
    def transaction(self, key: str) -> Iterator[Any]:
        block = self.inner.transaction(key)
        inner = self.run(block.__aenter__())
        try:
            yield _Transaction(self.run, inner)
        except BaseException as error:
            if not self.run(block.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            self.run(block.__aexit__(None, None, None))

    def follow(self, after: str | None = None) -> Iterator[Any]:
        async def begin() -> Any:
            return self.inner.follow(after)

        stream = self.run(begin())

        def told() -> Iterator[Any]:
            try:
                while True:
                    try:
                        yield self.run(anext(stream))
                    except StopAsyncIteration:
                        return
            finally:
                self.run(stream.aclose())

        return told()

    def close(self) -> None:
        if not self.run.loop.is_closed():
            self.run(self.inner.close())
            self.run.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


FACES: dict[str, Any] = {"threads": Sessions, "asyncio": Looped}
