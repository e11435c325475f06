"""Spans of OpenTelemetry for what is submitted to a store, sent from it, and closed; one trace across processes.

    instrument(store)                                  # or several, or a spooler: all its stores
    store.submit(b"...", recipients=("a@example.org",))
    for item in store.outgoing():
        with item:                                     # here the submitter's trace goes on, in whatever process
            httpx.post(...)                            # so that this is a span of it

    order.submit_message(b"...", headers=current_headers())       # of `fsm.sessions`, which no store submits

Theory.
1. The context is propagated in the message's headers (W3C's `traceparent`, `tracestate`, `baggage`, or whatever the
   global propagators write).  Headers with a context of their own are left alone.
2. The spans follow the semantic conventions for messaging: "submit outbox" is a producer, "send outbox" a consumer,
   whose parent is the context that the message was submitted in; it is linked to it, too.  Each attempt is a span, and
   one that does not end in "sent" has an error.
3. "close outbox" has the plan, its steps, the outcome and what was in the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from fsm.contrib.requirements import check_version, without

try:
    from opentelemetry import context, propagate, trace
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode
except ModuleNotFoundError as missing:
    raise without("opentelemetry", "opentelemetry-api", missing) from None

from fsm._version import __version__
from fsm.store.base import BaseSpooler, BaseStore
from fsm.store.in_flight import Ending, Item
from fsm.store.message import LONGEST_HEADERS
from fsm.store.observer import Observer
from fsm.store.outcome import Outcome
from fsm.store.plan import Plan

__all__ = ["current_headers", "instrument"]

check_version("opentelemetry", "opentelemetry-api", 1, 30)

SHOWN: Final = 20
"""Blockers that a span names."""


def instrument(*stores: BaseStore | BaseSpooler, tracer_provider: trace.TracerProvider | None = None) -> None:
    """Make spans of what these stores do from now on; by this provider, or by the global one.

    Of a spooler these are all stores, also those that are opened later.  `store.observe(None)` ends it.
    """
    observer = _Spans(trace.get_tracer("fsm.store", __version__, tracer_provider))
    for store in stores:
        store.observe(observer)


def current_headers() -> dict[str, str]:
    """Return the current context as headers for a message, for what is submitted by other means than a store."""
    headers: dict[str, str] = {}
    _inject(headers, context.get_current())
    return headers


class _Spans(Observer):
    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def submitting(self, store: str, headers: dict[str, str]) -> Callable[[str | BaseException], object]:
        given = _context_in(headers)
        span = self._tracer.start_span(
            f"submit {store}", kind=SpanKind.PRODUCER, links=_link(given),
            attributes=_operation(store, "send", "submit"),
        )  # fmt: skip
        if not given.is_valid:
            _inject(headers, trace.set_span_in_context(span))

        def submitted(came: str | BaseException) -> None:
            if isinstance(came, str):
                span.set_attribute("messaging.message.id", came)
            else:
                _fail(span, f"{type(came).__module__}.{type(came).__qualname__}", str(came))
            span.end()

        return submitted

    def sending(self, store: str, item: Item) -> Callable[[Ending], object]:
        assert item.message is not None
        headers, here = item.message.headers, context.get_current()
        theirs = propagate.extract(headers, here) if headers else here
        span = self._tracer.start_span(
            f"send {store}", theirs, SpanKind.CONSUMER, links=_link(_context_in(headers)),
            attributes={
                **_operation(store, "process", "send"), "messaging.message.id": item.id,
                "fsm.message.attempts": item.message.attempts,
                **({"fsm.message.provider": item.provider} if item.provider else {}),
            },
        )  # fmt: skip
        token = context.attach(trace.set_span_in_context(span, theirs))

        def left(ending: Ending) -> None:
            context.detach(token)
            span.set_attribute("fsm.message.ending", ending.kind)
            if ending.kind != "sent":
                _fail(span, ending.kind, ending.reason)
            span.end()

        return left

    def closing(self, store: str, plan: Plan) -> Callable[[Outcome], object]:
        span = self._tracer.start_span(f"close {store}", attributes={"fsm.store": store, "fsm.plan": str(plan)})

        def closed(outcome: Outcome) -> None:
            span.set_attribute("fsm.released", outcome.released)
            span.set_attribute("fsm.outcome", str(outcome))
            span.set_attribute("fsm.steps", outcome.steps)
            span.set_attribute("fsm.blockers", [str(one) for one in outcome.blockers[:SHOWN]])
            if not outcome:
                _fail(span, "not released", str(outcome))
            span.end()

        return closed


def _operation(store: str, kind: str, name: str) -> dict[str, str]:
    return {
        "messaging.system": "fsm", "messaging.destination.name": store,
        "messaging.operation.type": kind, "messaging.operation.name": name,
    }  # fmt: skip


def _context_in(headers: Mapping[str, str]) -> SpanContext:
    """Return the span's context that is in these headers; an invalid one if there is none."""
    return trace.get_current_span(propagate.extract(headers, Context()) if headers else Context()).get_span_context()


def _link(to: SpanContext) -> list[Link]:
    return [Link(to)] if to.is_valid else []


def _inject(headers: dict[str, str], here: Context) -> None:
    """Write a context into headers, as far as these may be that long: no message is refused because of its trace."""
    found: dict[str, str] = {}
    propagate.inject(found, here)
    left = LONGEST_HEADERS - sum(len(name) + len(value) for name, value in headers.items())
    for name, value in found.items():
        if name not in headers and (left := left - len(name) - len(value)) >= 0:
            headers[name] = value


def _fail(span: Span, error: str, why: str) -> None:
    span.set_attribute("error.type", error)
    span.set_status(StatusCode.ERROR, why)
