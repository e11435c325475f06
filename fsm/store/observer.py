"""What a store tells of its work, at the moment and in the context of whoever does it: for tracing.

    class Log(Observer):
        def sending(self, store, item):
            print("sending", item.id)
            return lambda ending: print(item.id, ending.kind)
    store.observe(Log())

Theory.
1. Listeners of the session hear what has happened, in the order of commits.  An observer hears who wants it: it is
   called in the submitter's, the worker's or the closer's own thread and task, where their context variables are.
2. Each method may return what is to be called when the work is over.
3. An observer decides nothing: what it raises is logged, and the work goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, ParamSpec, TypeAlias, TypeVar

from fsm.store.in_flight import Ending, Item
from fsm.store.log import about
from fsm.store.outcome import Outcome
from fsm.store.plan import Plan

__all__ = ["Closed", "Left", "Observer", "Submitted", "told"]

P = ParamSpec("P")
T = TypeVar("T")
log: Final = logging.getLogger("fsm.store")

Submitted: TypeAlias = "Callable[[str | BaseException], object] | None"
"""Called with the message's id once it is in the queue, or with the error; in any thread."""
Left: TypeAlias = "Callable[[Ending], object] | None"
"""Called with how the item ends when its block is left, in the same thread and task as before."""
Closed: TypeAlias = "Callable[[Outcome], object] | None"
"""Called with the outcome when the plan is over; in any thread."""


class Observer:
    """Hears of a store's work.  Every method does nothing here; `store` is the store's name."""

    def submitting(self, store: str, headers: dict[str, str]) -> Submitted:
        """Hear of a message that is being submitted, and add to its headers; `checked_headers` says how many may be.

        Over a connection the message is in the queue when its transaction commits, which is later than this tells.
        """

    def sending(self, store: str, item: Item) -> Left:
        """Hear that the block of an outgoing item was entered."""

    def closing(self, store: str, plan: Plan) -> Closed:
        """Hear that the store begins to close by this plan."""


def told(store: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Call the observer of a store and return what that returns; None if it raises, which is logged."""
    try:
        return call(*args, **kwargs)
    except Exception:
        log.exception("%s: an observer raised", store, extra=about(store))
        return None
