"""Closing a store by a plan, and following it: readiness, the steps, the time that is left, the outcome.

Theory.
1. Readiness flips first, then those who asked for notice are told, then the first step asks for its flag.  Nothing is
   refused before that.
2. A step ends when the store is released and nothing is in flight here, or when its time is over; then comes the next.
   `next_step` (another signal) ends its time at once.
3. Being released to peers is not the end while this process still has messages in flight: it would exit under its own
   open socket.  So the plan goes on, and its cancel step stops them.
4. Closing again joins the closing under way; nobody can lengthen it.  When a plan is over and the store is not
   released, the outcome says what is in the way, the store is as it is, and it may be closed again.

This file does not know how one waits (`sync.py`, `aio.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, cast

from fsm.logoff.flags import Logoff
from fsm.store.outcome import Outcome, Progress
from fsm.store.plan import DEFAULT, Plan, PlanStep

if TYPE_CHECKING:
    from fsm.store.clock import Timer
    from fsm.store.core import Core
    from fsm.store.group_commit import Draft

__all__ = ["Closer"]

log: Final = logging.getLogger("fsm.store")
AGAIN: Final = 1.0
"""Seconds until a step that could not ask asks again."""


class Closer:
    """The closing of a store, and the news of it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._plan: Plan | None = None
        self._place = -1
        self._turn = 0
        """Counts the steps that were taken, of all plans: a timer or an answer of an earlier one means nothing now."""
        self._steps: list[str] = []
        self._began = self._until = 0.0
        self._timer: Timer | None = None
        self._waiting: list[Future[Outcome]] = []
        self._news: list[Future[bool]] = []
        self._unanswered = False
        """Whether the present step's question is still at the desk; its time is not over before the answer."""
        self.on_notice: list[Callable[[], object]] = []
        self.on_released: list[Callable[[], object]] = []
        self.version = 0
        """Counts the changes."""
        core.told.append(self._changed)

    # --------------------------------------------------------------------------------------------------- the plan

    @property
    def in_service(self) -> bool:
        """Whether the store is open for new work and means to stay so: what a readiness probe answers."""
        return self._plan is None and self._core.session.may("submit").accepted

    @property
    def step(self) -> PlanStep | None:
        """The plan's present step."""
        return self._plan.steps[self._place] if self._plan is not None and self._place >= 0 else None

    @property
    def next(self) -> PlanStep | None:
        """The step that would come next."""
        steps = self._plan.steps if self._plan is not None else ()
        return steps[self._place + 1] if self._place + 1 < len(steps) else None

    def close(self, plan: Plan | str | None = None) -> Future[Outcome]:
        """Start the plan, or join the one under way.  Cancelling the future ends the waiting, not the closing."""
        chosen = Plan.parse(plan) if isinstance(plan, str) else plan or DEFAULT
        future: Future[Outcome] = Future()
        notice = False
        with self._core.lock:
            self._waiting.append(future)
            if self._plan is None:
                self._place, self._steps = -1, []
                self._began = self._core.clock.monotonic()
                if self.ended:
                    self._finish()
                    return future
                self._plan = chosen
                log.info("%s: closing: %s", self._core.name, chosen)
                self._core.tell()
                notice = True
        if notice:
            self._call(self.on_notice)  # not under the lock: they may use the store
            with self._core.lock:
                if self._plan is chosen and self._place < 0:
                    self.next_step()
        return future

    def _call(self, calls: Sequence[Callable[[], object]]) -> None:
        for call in calls:
            try:
                call()
            except Exception:
                log.exception("%s: who was to be told failed", self._core.name)

    def next_step(self) -> None:
        """The present step's time is over: the next one now; after the last, the plan is over."""
        with self._core.lock:
            if self._plan is None:
                return
            self._told()
            if self._timer is not None:
                self._timer.cancel()
            if self.next is None:
                self._finish()
                return
            self._place += 1
            self._take(self._plan.steps[self._place])

    def _take(self, step: PlanStep) -> None:
        self._turn += 1
        core, turn = self._core, self._turn
        self._until = core.clock.monotonic() + step.seconds
        self._timer = core.clock.call_later(step.seconds, lambda: self._time_over(turn))
        log.info("%s: %s", core.name, step)
        self._unanswered = step.act != "notice" and not core.session.complete
        if self._unanswered:
            self._ask(step, turn)
        self._stop(step)
        core.tell()

    def _ask(self, step: PlanStep, turn: int) -> None:
        flag = step.act if isinstance(step.act, Logoff) else Logoff.ORDERLY
        self._core.ask(f"logoff_{flag.name.lower()}").add_done_callback(lambda done: self._asked(done, turn))

    def _ask_again(self, step: PlanStep, turn: int) -> None:
        with self._core.lock:
            if turn == self._turn and step is self.step and not self._core.session.complete:
                self._unanswered = True
                self._ask(step, turn)

    def _stop(self, step: PlanStep | None) -> None:
        if step is not None and step.act == "cancel":
            self._core.stop(list(self._core.items.values()), "the store closes and its time is over")

    def _asked(self, done: Future[Outcome], turn: int) -> None:
        with self._core.lock:
            if failed := (error := done.exception()) is not None and not self._core.session.complete:
                told = f"could not ask: {error}"
                if told not in self._steps[-1:]:
                    self._steps.append(told)
                log.error("%s: could not ask for the logoff: %s", self._core.name, error)
            if turn == self._turn and (step := self.step) is not None:
                self._unanswered = False
                self._stop(step)  # also what had been claimed before, and began meanwhile
                if self._core.clock.monotonic() >= self._until:
                    self._time_over(turn)
                elif failed:
                    self._core.clock.call_later(AGAIN, lambda: self._ask_again(step, turn))

    def _time_over(self, turn: int) -> None:
        with self._core.lock:
            if self._plan is not None and turn == self._turn and not self._unanswered:
                self.next_step()

    def _told(self) -> None:
        """Write down what the present step did."""
        if (step := self.step) is not None:
            took = self._core.clock.monotonic() - self._until + step.seconds
            session, items = self._core.session, len(self._core.items)
            flight = f", {items} in flight" if items else ""
            self._steps.append(f"{step}: {session.state} after {took:.1f} s{flight}")

    def _changed(self) -> None:
        self.version += 1
        news, self._news = self._news, []
        for future in news:
            if future.set_running_or_notify_cancel():
                future.set_result(True)
        if self._core.session.complete:
            released, self.on_released = self.on_released, []
            self._call(released)
        if self._plan is not None and self._place >= 0 and self.ended:
            self._told()
            self._finish()

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._plan, self._place = None, -1
        waiting, self._waiting = self._waiting, []
        core, steps, seconds = self._core, tuple(self._steps), self._core.clock.monotonic() - self._began
        core.tell()

        def finish(done: Future[Outcome]) -> None:
            if (error := done.exception()) is not None:
                log.error("%s: what is left in the queue cannot be read: %s", core.name, error)
            outcome = core.outcome(core.session, steps, seconds, reads=False) if error else done.result()
            log.log(logging.INFO if outcome else logging.WARNING, "%s: %s", core.name, outcome)
            for future in waiting:
                if future.set_running_or_notify_cancel():
                    future.set_result(outcome)

        def decide(draft: Draft) -> None:  # what was asked before it may be of the same batch, and is done after it
            draft.answer = lambda: core.outcome(core.session, steps, seconds)

        cast("Future[Outcome]", core.desk.ask(decide)).add_done_callback(finish)

    # --------------------------------------------------------------------------------------------------- following

    def news(self, since: int) -> Future[bool]:
        """Done when something has changed since that version; False when nothing more will."""
        future: Future[bool] = Future()
        with self._core.lock:
            if self.ended or self.version != since:
                future.set_result(not self.ended)
            else:
                self._news.append(future)
        return future

    @property
    def ended(self) -> bool:
        """Whether the store is released and nothing is in flight here, or everything was let go."""
        return self._core.closed or (self._core.session.complete and not self._core.items)

    def progress(self) -> Progress:
        """How it stands."""
        core, session = self._core, self._core.session
        with core.lock:
            step, then = self.step, self.next
            left = max(0.0, self._until - core.clock.monotonic()) if step is not None else None
            return Progress(
                session.state, session.request, session.status, session.inbound, session.outbound, session.ready,
                session.deferred, core.aside, session.peers, str(step) if step else None, str(then) if then else None,
                left, core.blockers(), dict(core.counters),
            )  # fmt: skip
