"""Shutdown: a store is closed by a plan, and followed on the way.

Theory.
1. Readiness flips first, then the `on_notice` callbacks are called, then the first step asks for its flag.  Nothing is
   refused before that.
2. A step ends when the store is released and nothing is in flight here, or when its time is over; then the next begins.
   `next_step` (another signal) ends its time at once.
3. Being released to peers is not the end while this process still has messages in flight: it would exit under its own
   open socket.  So the plan goes on, and its cancel step stops them.
4. Closing again joins the closing under way; nobody can lengthen it.  If the store is not released when the plan is
   over, the outcome says what is in the way; the store is as it is, and may be closed again.
5. Closing ends, whatever the storage does.  A step whose logoff is not answered waits a little longer than its time
   (`GRACE` for all steps together), and so does the outcome; then it names the storage as what is in the way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from time import monotonic
from typing import Final

from fsm.logoff.flags import Logoff
from fsm.store.clock import Timer
from fsm.store.core import StoreCore
from fsm.store.group_commit import GRACE, RETRY_SECONDS
from fsm.store.log import about
from fsm.store.observer import Closed, told
from fsm.store.outcome import Outcome, Progress
from fsm.store.plan import DEFAULT, Plan, PlanStep

__all__ = ["Shutdown"]

log: Final = logging.getLogger("fsm.store")


class Shutdown:
    """The closing of a store, and its progress."""

    __slots__ = (
        "_asking", "_began", "_closed", "_core", "_followers", "_grace", "_noticed", "_plan", "_position", "_state",
        "_summary", "_timer", "_turn", "_until", "_waiting", "on_notice", "on_released", "over", "version",
    )  # fmt: skip

    def __init__(self, core: StoreCore) -> None:
        self._core, self._state = core, core.state
        self._plan: Plan | None = None
        self._position = -1
        self._turn = 0
        """Counts the steps taken, of all plans: a timer or an answer of an earlier step is ignored."""
        self._summary: list[str] = []
        self._began = self._until = 0.0
        self._timer: Timer | None = None
        self._waiting: list[Callable[[Outcome], object]] = []
        self._followers: list[Future[bool]] = []
        self._asking = False
        """True until the present step's logoff is answered.  The step's time is not over before, but for the grace."""
        self._grace = 0.0
        self.over = False
        """True once a plan has run to its end, whether or not the store was released."""
        self._noticed = False
        """True once the `on_notice` callbacks were called."""
        self.on_notice: list[Callable[[], object]] = []
        self.on_released: list[Callable[[], object]] = []
        self.version = 0
        """Counts the changes."""
        self._closed: Closed = None
        self._state.subscribe(self._changed)

    # --------------------------------------------------------------------------------------------------- the plan

    @property
    def in_service(self) -> bool:
        """True while the store takes new work and means to go on: what a readiness probe answers."""
        return self._plan is None and self._state.session.accepting

    @property
    def step(self) -> PlanStep | None:
        """The plan's present step."""
        return self._plan.steps[self._position] if self._plan is not None and self._position >= 0 else None

    @property
    def upcoming(self) -> PlanStep | None:
        """The step that would come next."""
        steps = self._plan.steps if self._plan is not None else ()
        return steps[self._position + 1] if self._position + 1 < len(steps) else None

    def announce(self, plan: Plan) -> bool:
        """Let readiness flip, and call the `on_notice` callbacks; return False if the store has ended or is closing."""
        state = self._state
        with state.lock:
            if self._plan is not None or state.ended:
                return False
            self._position, self._summary, self._grace, self._noticed = -1, [], GRACE, False
            self._began, self._plan = state.clock.monotonic(), plan
            log.info("%s: closing: %s", state.name, plan, extra=about(state.name))
            state.notify()
        if state.observer is not None:
            self._closed = told(state.name, state.observer.closing, state.name, plan)
        try:
            self._call(self.on_notice)  # without the lock: they may use the store
        finally:
            self._noticed = True
        return True

    def begin(self, plan: Plan | str | None = None) -> Future[Outcome]:
        """Start the plan, or join the one under way.  Cancelling the future ends the waiting, not the closing."""
        future: Future[Outcome] = Future()

        def hears(outcome: Outcome) -> None:
            if future.set_running_or_notify_cancel():
                future.set_result(outcome)

        self.run(Plan.parse(plan) if isinstance(plan, str) else plan or DEFAULT, hears)
        return future

    def run(self, plan: Plan, hears: Callable[[Outcome], object]) -> None:
        """Start the plan, or join the one under way; `hears` gets the outcome."""
        with self._state.lock:
            self._waiting.append(hears)
            if self._plan is None and self._state.ended:
                self._summary, self._began = [], self._state.clock.monotonic()
                self._finish()
                return
        try:
            self.announce(plan)
        finally:
            with self._state.lock:
                if self._plan is not None and self._position < 0 and self._noticed:
                    self.next_step()

    def _call(self, callbacks: Sequence[Callable[[], object]]) -> None:
        interruption: BaseException | None = None
        for callback in callbacks:
            try:
                callback()
            except Exception:
                log.exception("%s: a callback raised", self._state.name, extra=about(self._state.name))
            except BaseException as error:  # SystemExit and the like are for who has caused the call
                interruption = error
        if interruption is not None:
            raise interruption

    def next_step(self) -> None:
        """End the present step's time and begin the next step; after the last one the plan is over."""
        with self._state.lock:
            if self._plan is None:
                return
            self._summarize()
            if self._timer is not None:
                self._timer.cancel()
            if self.upcoming is None:
                self._finish()
                return
            self._position += 1
            self._take(self._plan.steps[self._position])

    def _take(self, step: PlanStep) -> None:
        self._turn += 1
        state, turn = self._state, self._turn
        self._until = state.clock.monotonic() + step.seconds
        self._timer = state.clock.call_later(step.seconds, lambda: self._time_over(turn))
        log.info("%s: %s", state.name, step, extra=about(state.name))
        self._asking = step.act != "notice" and not state.session.complete
        if self._asking:
            self._ask(step, turn)
        self._stop_items(step)
        state.notify()

    def _ask(self, step: PlanStep, turn: int) -> None:
        flag = step.act if isinstance(step.act, Logoff) else Logoff.ORDERLY
        self._core.ask(f"logoff_{flag.name.lower()}", lambda error: self._answered(error, turn))

    def _ask_again(self, step: PlanStep, turn: int) -> None:
        with self._state.lock:
            if turn == self._turn and step is self.step and not self._state.session.complete:
                self._asking = True
                self._ask(step, turn)

    def _stop_items(self, step: PlanStep | None) -> None:
        if step is not None and step.act == "cancel":
            self._core.stop(list(self._state.items.values()), "the store closes and its time is over")

    def _answered(self, error: BaseException | None, turn: int) -> None:
        state = self._state
        with state.lock:
            if failed := error is not None and not state.session.complete:
                problem = f"could not ask: {error}"
                if problem not in self._summary[-1:]:
                    self._summary.append(problem)
                log.error("%s: could not ask for the logoff: %s", state.name, error, extra=about(state.name))
            if turn == self._turn and (step := self.step) is not None:
                self._asking = False
                self._stop_items(step)  # also what was claimed before and began meanwhile
                if (late := state.clock.monotonic() - self._until) >= 0:
                    self._grace = max(0.0, self._grace - late)
                    self.next_step()
                elif failed:
                    state.clock.call_later(RETRY_SECONDS, lambda: self._ask_again(step, turn))

    def _time_over(self, turn: int) -> None:
        with self._state.lock:
            if self._plan is None or turn != self._turn:
                return
            if self._asking and self._grace > 0:
                grace, self._grace = self._grace, 0.0
                self._timer = self._state.clock.call_later(grace, lambda: self._time_over(turn))
            else:
                self.next_step()

    def _summarize(self) -> None:
        """Write down what the present step did."""
        if (step := self.step) is not None:
            took = self._state.clock.monotonic() - self._until + step.seconds
            session, items = self._state.session, len(self._state.items)
            flight = f", {items} in flight" if items else ""
            self._summary.append(f"{step}: {session.state} after {took:.1f} s{flight}")

    def _changed(self) -> None:
        self.version += 1
        followers, self._followers = self._followers, []
        for future in followers:
            if future.set_running_or_notify_cancel():
                future.set_result(True)
        if self._state.session.complete:
            released, self.on_released = self.on_released, []
            self._call(released)
        if self._plan is not None and self._position >= 0 and self._state.ended:
            self._summarize()
            self._finish()

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        plan, self._plan, self._position, self.over = self._plan, None, -1, True
        waiting, self._waiting = self._waiting, []
        closed: Closed = self._closed
        self._closed = None
        core, state = self._core, self._state
        if plan is not None:  # what is left of its time is the storage's, to close
            seconds_left = self._began + sum(step.seconds for step in plan.steps) - state.clock.monotonic()
            core.commit.allow(monotonic() + (max(0.0, seconds_left) if state.ended else 0.0))
        steps, seconds = tuple(self._summary), state.clock.monotonic() - self._began
        state.notify()

        def finish() -> None:
            outcome = core.outcome(steps, seconds)
            level = logging.INFO if outcome else logging.WARNING
            log.log(level, "%s: %s", state.name, outcome, extra=about(state.name))
            if closed is not None:
                told(state.name, closed, outcome)
            for hears in waiting:
                hears(outcome)

        core.commit.when_settled(finish)

    # ------------------------------------------------------------------------------------------------- the progress

    def news(self, since: int) -> Future[bool]:
        """Return a future that is done when something has changed since this version; False if nothing more will."""
        future: Future[bool] = Future()
        with self._state.lock:
            if self._state.ended or self.version != since:
                future.set_result(not self._state.ended)
            else:
                self._followers.append(future)
        return future

    def progress(self) -> Progress:
        """Return how the store stands now."""
        state, session = self._state, self._state.session
        with state.lock:
            step = self.step
            left = max(0.0, self._until - state.clock.monotonic()) if step is not None else None
            return Progress(
                session.state, session.request, session.status, session.inbound, session.outbound, session.ready,
                session.deferred, state.set_aside, session.peers, step, self.upcoming, left, self._core.blockers(),
                state.counted(), self.in_service,
            )  # fmt: skip
