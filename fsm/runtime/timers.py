"""Timers: fire the events that states send themselves after some time (`State("ringing", after={30: "timeout"})`).

    timers = Timers()                          # for threads; AsyncTimers() in asyncio
    timers.attach(session)                     # from now on; what is due in a state that is left is cancelled

Theory.
1. A time counts from entering the state.  A row that stays does not restart it; a row that leaves and comes back does.
   When the time is over, the event is fired like any other: a guard may refuse it, and a journal records it.
2. All sessions share one queue, and the clock is asked for one call at a time, as a rule.  A session with nothing due
   is in no queue; one that waits is kept alive.
3. Whether the state was left in the meantime is checked with the session's lock held.  So an event that comes late,
   because the clock was busy or has jumped ahead, is never fired in another state.  Each event is fired once, in the
   order in which they were due.
4. An error that a listener raises goes to `on_error`.  Without it, the clock gets the error once everything due has
   been fired: `advance` of a simulated clock raises it, and the other clocks log it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import Final, NamedTuple, Self, TypeAlias, TypeVar
from weakref import ref

from fsm.errors import StepInProgress
from fsm.runtime.clock import SYSTEM, LoopClock, SystemClock, Timer, TimerClock
from fsm.session import Session, Step
from fsm.snapshot import Migrates, migrated, seconds_in_state
from fsm.verdict import Refused

__all__ = ["AsyncTimers", "OnError", "Timers"]

S = TypeVar("S", bound=Session)
OnError: TypeAlias = Callable[[Exception, Session, str], object]
"""Called with an error, the session, and the event that was due."""
TICK: Final = 1e-6
"""Seconds by which a clock may call too early."""
BUSY: Final = 0.1
"""Seconds after which an event is fired again that was due in the middle of a step in the same thread."""
SPARE: Final = 64
"""Entries of the queue that may be superfluous before it is cleaned."""
log: Final = logging.getLogger("fsm.runtime")
EVERYWHERE: Final[dict[int, _Attached]] = {}
"""The attached sessions of all timers, by their ids: two timers would fire each event twice."""


class _Attached:
    """The listener of an attached session: when it entered its state, and what is yet due there."""

    __slots__ = ("__weakref__", "_session", "_timers", "entered", "entry", "kept", "waiting")

    def __init__(self, timers: Timers, session: Session) -> None:
        self._timers, self._session = timers, ref(session, lambda _: timers.lost(self, key))
        key = id(session)
        self.entered = 0.0
        self.waiting: list[tuple[float, str]] = []
        self.entry: _Entry | None = None
        """The entry in the queue.  Any other one is superfluous."""
        self.kept: Session | None = None
        """The session, as long as it has an entry."""

    def is_of(self, session: Session) -> bool:
        return self._session() is session

    def enter(self, after: Mapping[float, str], entered: float, fired: float = 0.0) -> None:
        """Begin to wait in a state; what is due up to `fired` seconds after entering it has been fired."""
        self.entered = entered
        self.waiting = [(seconds, event) for seconds, event in after.items() if seconds > fired]

    def on_step(self, step: Step) -> None:
        self._timers.stepped(self, step)


class _Entry(NamedTuple):
    """A moment at which something is due in a session."""

    moment: float
    number: int
    attached: _Attached

    @property
    def live(self) -> bool:
        return self.attached.entry is self


class Timers:
    """Fires what is due in the sessions attached to it.  A context manager; or call `close()`.

    The system's clock has a thread of its own for that, one for all; then a session must be of a guarded class.  A
    simulated clock (`fsm.testing.clock`) fires in the thread that advances it.
    """

    def __init__(self, clock: TimerClock = SYSTEM, *, on_error: OnError | None = None) -> None:
        self._clock, self._on_error = clock, on_error
        self._lock = threading.RLock()  # held for moments, and never while anything of a session is called
        self._attached: dict[int, _Attached] = {}
        self._queue: list[_Entry] = []
        self._calls: list[tuple[float, int, Timer]] = []
        """The calls that the clock has been asked for, by their moments, as a heap."""
        self._numbers = itertools.count()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def attach(self, session: S, *, elapsed: float = 0.0, away: float = 0.0) -> S:
        """Fire what is due in this session from now on; return the session.

        For a session that was stored, `elapsed` are the seconds that it had been in its state then, and what was due
        up to then has been fired; `away` are the seconds since then, and what was due in them is fired at once.
        ValueError if it is attached already, here or to other timers, for seconds that are no finite number or less
        than 0, and for a session without a lock if the clock has a thread of its own; RuntimeError if these timers are
        closed.
        """
        for seconds in (elapsed, away):
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < math.inf:
                raise ValueError(f"seconds are a finite number, 0 or more, not {seconds!r}")
        if isinstance(self._clock, SystemClock) and isinstance(session.lock, nullcontext):
            name = type(session).__name__
            problem = f"timers have a thread of their own, so {name} must be guarded: class {name}(..., guarded=True)"
            raise ValueError(problem)
        attached = _Attached(self, session)
        with session.lock:
            with self._lock:
                if self._closed:
                    raise RuntimeError("these timers are closed")
                if self._find(session) is not None:
                    raise ValueError("this session is attached already")
                if (other := EVERYWHERE.get(id(session))) is not None and other.is_of(session):
                    raise ValueError("this session is attached to other timers; detach it there first")
                self._attached[id(session)] = EVERYWHERE[id(session)] = attached
            attached.enter(session.due, self._clock.monotonic() - elapsed - away, elapsed)
            session.listen(attached)
            self._arm(attached, session)
        return session

    def detach(self, session: Session) -> None:
        """Fire nothing more in this session.  Do nothing if it is not attached."""
        with session.lock:
            attached = self._find(session)
            if attached is not None:
                self.lost(attached, id(session))
                session.forget(attached)

    def due(self, session: Session) -> tuple[tuple[float, str], ...]:
        """Return what is due in the present state: after how many seconds from now (0 if it is late), which event.

        ValueError if the session is not attached.
        """
        with session.lock:
            attached, now = self._known(session), self._clock.monotonic()
            return tuple((max(0.0, attached.entered + after - now), event) for after, event in attached.waiting)

    def elapsed(self, session: Session) -> float:
        """Return the seconds that the session has been in its state, less than those after which something is yet due.

        ValueError if it is not attached.
        """
        with session.lock:
            attached = self._known(session)
            seconds = max(0.0, self._clock.monotonic() - attached.entered)
            return min([seconds, *(math.nextafter(after, 0.0) for after, _ in attached.waiting[:1])])

    def snapshot(self, session: Session) -> dict[str, object]:
        """Return the session's snapshot with the seconds that it has been in its state, for `restore`.

        ValueError if it is not attached.
        """
        with session.lock:
            return {**session.snapshot(), "elapsed": self.elapsed(session)}

    def restore(
        self, cls: type[S], snapshot: object, migrations: Iterable[Migrates] = (), *, away: float = 0.0
    ) -> S:
        """Return an attached session in the configuration of a snapshot, with what is left of its times.

        Where the snapshot has no elapsed seconds, the times begin anew.  After a migration they count as well, and what
        the new table would have had due up to then is fired at once.  `away` and errors as for `attach`, and errors as
        for `Session.restore`.
        """
        known = tuple(migrations)
        session = cls.restore(snapshot, known)
        assert isinstance(snapshot, Mapping)  # anything else was refused
        spent, fired = seconds_in_state(cls.chart, migrated(cls.chart, snapshot, known))
        return self.attach(session, elapsed=fired, away=spent - fired + away)

    def close(self) -> None:
        """Fire nothing more in any session.  It waits for nothing, and can be called again.

        A step that is under way in another thread runs to its end.
        """
        with self._lock:
            self._closed = True
            ended, calls = dict(self._attached), self._calls
            self._calls = []
            self._queue.clear()
        for _, _, call in calls:
            call.cancel()
        for key, attached in ended.items():
            self.lost(attached, key)

    # ------------------------------------------------------------------------------------------ what sessions do

    def stepped(self, attached: _Attached, step: Step) -> None:
        """Take note of a step.  Called with the session's lock held."""
        if self._closed:
            step.session.forget(attached)
        elif step.row.leaves:
            attached.enter(step.session.chart.state(step.target).after, self._clock.monotonic())
            self._arm(attached, step.session)

    def lost(self, attached: _Attached, key: int) -> None:
        """Forget a session that is gone or detached."""
        attached.entry = attached.kept = None
        for known in (self._attached, EVERYWHERE):
            if known.get(key) is attached:
                del known[key]

    def _find(self, session: Session) -> _Attached | None:
        attached = self._attached.get(id(session))
        return attached if attached is not None and attached.is_of(session) else None

    def _known(self, session: Session) -> _Attached:
        attached = self._find(session)
        if attached is None:
            raise ValueError("this session is not attached to these timers")
        return attached

    # ------------------------------------------------------------------------------------------------- the queue

    def _arm(self, attached: _Attached, session: Session, earliest: float = 0.0) -> None:
        """Queue what is due next.  The session's lock is held."""
        attached.entry = attached.kept = None
        if not attached.waiting:
            return
        moment = max(earliest, attached.entered + max(attached.waiting[0][0], 2 * TICK))
        with self._lock:
            if self._closed or self._find(session) is not attached:
                return
            attached.entry = _Entry(moment, next(self._numbers), attached)
            attached.kept = session
            heapq.heappush(self._queue, attached.entry)
            if len(self._queue) > 2 * len(self._attached) + SPARE:
                self._queue = [entry for entry in self._queue if entry.live]
                heapq.heapify(self._queue)
            self._call()

    def _call(self) -> None:
        """Have the clock call when something is due, unless it will call before.  The lock is held."""
        while self._queue and not self._queue[0].live:
            heapq.heappop(self._queue)
        if self._queue and not (self._calls and self._calls[0][0] <= self._queue[0].moment):
            moment = self._queue[0].moment
            call = self._clock.call_later(max(0.0, moment - self._clock.monotonic()), self._wake)
            heapq.heappush(self._calls, (moment, next(self._numbers), call))

    def _wake(self) -> None:
        """Fire what is due.  Called by the clock."""
        errors: list[Exception] = []
        now = self._clock.monotonic()
        with self._lock:
            if self._calls:
                heapq.heappop(self._calls)
        try:
            while (entry := self._take(now)) is not None:
                self._fire(entry, errors)
        finally:
            with self._lock:
                self._call()
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ExceptionGroup("several events that were due raised", errors)

    def _take(self, now: float) -> _Entry | None:
        with self._lock:
            while self._queue and (self._queue[0].moment <= now + TICK or not self._queue[0].live):
                entry = heapq.heappop(self._queue)
                if entry.live:
                    return entry
        return None

    def _fire(self, entry: _Entry, errors: list[Exception]) -> None:
        session, event = entry.attached.kept, ""
        if session is None:
            return
        try:
            with session.lock:
                if not entry.live:  # the state was left while this waited for the lock
                    return
                _, event = due = entry.attached.waiting.pop(0)
                self._arm(entry.attached, session)
                try:
                    session.fire(event)
                except StepInProgress as error:
                    if error.event != event:
                        raise
                    entry.attached.waiting.insert(0, due)
                    self._arm(entry.attached, session, self._clock.monotonic() + BUSY)
        except Refused as refusal:
            if (refusal.verdict.event, refusal.verdict.chart) != (event, session.chart):
                self._failed(refusal, session, event, errors)  # of another session, which a listener has fired
        except Exception as error:
            self._failed(error, session, event, errors)

    def _failed(self, error: Exception, session: Session, event: str, errors: list[Exception]) -> None:
        if self._on_error is None:
            errors.append(error)
            return
        try:
            self._on_error(error, session, event)
        except Exception:
            log.exception("on_error raised, called with %r", error)


class AsyncTimers(Timers):
    """Timers that fire in the running asyncio loop, by its time.  RuntimeError outside of one."""

    def __init__(self, *, on_error: OnError | None = None) -> None:
        super().__init__(LoopClock(asyncio.get_running_loop()), on_error=on_error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
