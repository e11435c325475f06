"""The steps of a session as a stream, for asyncio: `async for step in session.steps(): …`.

Theory.
1. The stream has every step that is taken after it was created, once and in order, from whichever thread.  A step does
   not wait for the reader: the listener puts it into a queue, and the reader takes it from there in its loop.
2. Memory is bounded.  When `most` steps wait and another is taken, the reader is too slow: the stream stops following
   the session, and the reader gets what waits and then TooSlow.
3. The stream ends after the step that enters a final state, or when it is closed.  One that nobody keeps leaves the
   session with the next step.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Self, TypeVar
from weakref import ref

from fsm.errors import TooSlow

__all__ = ["Stream"]

T = TypeVar("T")


class _Tap(Generic[T]):
    """The listener.  It does not keep the stream alive."""

    def __init__(self, stream: Stream[T], leave: Callable[[object], object]) -> None:
        self._stream, self._leave = ref(stream), leave

    def on_step(self, step: T) -> None:
        stream = self._stream()
        if stream is None or not stream.put(step):
            self._leave(self)


class Stream(Generic[T]):
    """An asynchronous iterator over the steps of a session; also a context manager that closes it.

    For one reader, in the loop in which it was created.
    """

    def __init__(self, most: int, last: Callable[[T], bool], leave: Callable[[object], object]) -> None:
        """Create a stream for at most `most` waiting steps; its `tap` is to listen to the session.

        `last(step)` says whether the session ends with a step; `leave(tap)` stops listening.
        ValueError if `most` is not a whole number above 0; RuntimeError outside a running loop.
        """
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise ValueError(f"a stream holds a whole number of waiting steps, 1 or more, not {most!r}")
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            problem = "steps() is for asyncio: call it in a coroutine; elsewhere use session.listen"
            raise RuntimeError(problem) from None
        self._thread = threading.get_ident()
        self._most, self._last, self._leave = most, last, leave
        self._steps: deque[T] = deque()
        self._ended = self._overrun = False
        self._reader: asyncio.Future[None] | None = None
        self.tap = _Tap(self, leave)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """Return the next step, when there is one.

        StopAsyncIteration at the end; TooSlow if steps were missed; RuntimeError if another task reads this stream.
        """
        if self._reader is not None:
            raise RuntimeError("another task is reading this stream; let each have one of its own: session.steps()")
        while True:
            ended, overrun = self._ended, self._overrun  # read first: what was put before them is in the queue
            if self._steps:
                return self._steps.popleft()
            if ended:
                raise StopAsyncIteration
            if overrun:
                self._ended = True
                raise TooSlow(self._most)
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    def put(self, step: T) -> bool:
        """Add a step, from any thread; return False if no further one is wanted."""
        if self._ended or self._overrun:
            return False
        if len(self._steps) >= self._most:
            self._overrun = True
        else:
            self._steps.append(step)
            self._ended = self._last(step)
        try:
            if threading.get_ident() == self._thread:
                self._wake()
            else:
                self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop is closed: there is no reader any more
            self._ended = True
        return not (self._ended or self._overrun)

    def close(self) -> None:
        """End the stream, and drop what waits.  For the loop's thread; it can be called again."""
        self._ended = True
        self._steps.clear()
        self._leave(self.tap)
        self._wake()

    async def aclose(self) -> None:
        """End the stream, as `close` does."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
