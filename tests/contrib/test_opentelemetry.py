"""The spans of a store, as the SDK's exporter gets them: one trace from whoever submits to whoever sends, also across a database."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from fsm.contrib.opentelemetry import current_headers, instrument
from fsm.store import AsyncStore, Database, Retry, Spooler, Store, StoreClosing
from fsm.store.storage import Storage

LONG = Retry(first=3600, longest=3600)


class Spans:
    """A provider, and what it exported: `[name]` is the one span of this name, `parent(name)` the name of its parent."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("test")

    def __getitem__(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return found

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.exporter.get_finished_spans()]

    def parent(self, name: str) -> str | None:
        parent = self[name].parent
        known = {span.context.span_id: span.name for span in self.exporter.get_finished_spans() if span.context}
        return known[parent.span_id] if parent is not None else None


@pytest.fixture
def spans() -> Iterator[Spans]:
    spans = Spans()
    yield spans
    spans.provider.shutdown()


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage | None:
    return Database(tmp_path / "store.db") if request.param == "sqlite" else None


def send(store: Store, spans: Spans, body: Any = lambda item: None) -> None:
    """Send a message in a thread of its own, in whose block there is a span."""

    def work() -> None:
        for item in store.outgoing(provider="mx1"):
            try:
                with item:
                    with spans.tracer.start_as_current_span("body"):
                        pass
                    body(item)
            except OSError:
                pass
            assert not trace.get_current_span().get_span_context().is_valid, "the block's context ends with it"
            return

    worker = threading.Thread(target=work)
    worker.start()
    worker.join(60)


def test_a_trace_goes_from_the_submitter_through_the_store_to_the_sender(storage: Storage | None, spans: Spans) -> None:
    with Store(storage, name="outbox") as store:
        instrument(store, tracer_provider=spans.provider)
        with spans.tracer.start_as_current_span("request"):
            id = store.submit(b"x", headers={"tenant": "a"})
            assert trace.get_current_span().name == "request"  # type: ignore[attr-defined]
        (message,) = store.messages()
        assert sorted(message.headers) == ["tenant", "traceparent"]
        send(store, spans)
        assert store.close("ORDERLY 60s")
    assert [spans.parent(name) for name in ("submit outbox", "send outbox", "body", "close outbox")] == ["request", "submit outbox", "send outbox", None]
    submit, sent, close = spans["submit outbox"], spans["send outbox"], spans["close outbox"]
    assert (submit.kind, sent.kind, close.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.INTERNAL)
    common = {"messaging.system": "fsm", "messaging.destination.name": "outbox", "messaging.message.id": id}
    assert submit.attributes == {**common, "messaging.operation.type": "send", "messaging.operation.name": "submit"}
    assert sent.attributes == {
        **common, "messaging.operation.type": "process", "messaging.operation.name": "send",
        "fsm.message.attempts": 1, "fsm.message.provider": "mx1", "fsm.message.ending": "sent",
    }  # fmt: skip
    assert submit.context is not None
    assert [link.context.span_id for link in sent.links] == [submit.context.span_id]
    assert close.attributes is not None
    assert {name: close.attributes[name] for name in ("fsm.store", "fsm.plan", "fsm.released", "fsm.blockers")} == {
        "fsm.store": "outbox", "fsm.plan": "ORDERLY 60s", "fsm.released": True, "fsm.blockers": (),
    }  # fmt: skip
    assert {span.status.status_code for span in (submit, sent, close)} == {StatusCode.UNSET}


def test_a_trace_goes_on_in_the_process_that_opens_the_store_later(tmp_path: Path, spans: Spans) -> None:
    first = Spans()
    with Store(Database(tmp_path / "store.db")) as store:
        instrument(store, tracer_provider=first.provider)
        ctx = baggage.set_baggage("customer", "7")
        token = context.attach(ctx)
        store.submit(b"x")
        context.detach(token)
        store.close("ORDERLY 60s")
    seen: list[object] = []
    with Store(Database(tmp_path / "store.db")) as store:
        instrument(store, tracer_provider=spans.provider)
        send(store, spans, lambda item: seen.append(baggage.get_baggage("customer")))
    submit, sent = first["submit store"], spans["send store"]
    assert sent.parent is not None
    assert submit.context is not None
    assert (sent.parent.span_id, sent.parent.trace_id) == (submit.context.span_id, submit.context.trace_id)
    assert seen == ["7"]


def test_tasks_have_their_own_contexts(storage: Storage | None, spans: Spans) -> None:
    async def work(store: AsyncStore) -> None:
        async for item in store.outgoing():
            async with item:
                with spans.tracer.start_as_current_span(f"body {item.message.content.decode()}"):
                    await asyncio.sleep(0)
            assert not trace.get_current_span().get_span_context().is_valid

    async def request(store: AsyncStore, name: str) -> None:
        with spans.tracer.start_as_current_span(f"request {name}"):
            await store.submit(name.encode())

    async def case() -> None:
        store = AsyncStore(storage)
        instrument(store, tracer_provider=spans.provider)  # before it is open
        async with store:
            workers = [asyncio.create_task(work(store)) for _ in range(2)]
            await asyncio.gather(*(request(store, name) for name in "abc"))
            assert await store.close("NO_WAIT 60s")
            await asyncio.gather(*workers)

    asyncio.run(asyncio.wait_for(case(), 60))
    for name in "abc":
        body, begun = spans[f"body {name}"].context, spans[f"request {name}"].context
        assert body is not None
        assert begun is not None
        assert body.trace_id == begun.trace_id
    assert spans.names.count("send store") == 3


def lose(item: Any) -> None:
    item.past_no_return()
    raise OSError("reset")


def refuse(item: Any) -> None:
    item.fail("550 no", reported=True)


def fall_over(item: Any) -> None:
    raise OSError("no route")


@pytest.mark.parametrize(
    ("body", "ending", "why"), [(fall_over, "deferred", "no route"), (refuse, "failed", "550 no"), (lose, "uncertain", "reset")]
)
def test_an_attempt_that_does_not_end_in_sent_is_an_error(body: Any, ending: str, why: str, spans: Spans) -> None:
    with Store(retry=LONG) as store:
        instrument(store, tracer_provider=spans.provider)
        store.submit(b"x")
        send(store, spans, body)
        store.observe(None)
        store.submit(b"not observed")
        store.close("ORDERLY 60s")
    sent = spans["send store"]
    assert sent.attributes is not None
    assert (sent.attributes["fsm.message.ending"], sent.attributes["error.type"]) == (ending, ending)
    assert (sent.status.status_code, sent.status.description) == (StatusCode.ERROR, why)
    assert spans.names == ["submit store", "body", "send store"]


def test_what_is_refused_and_what_is_in_the_way_is_an_error(spans: Spans) -> None:
    with Store() as store:
        instrument(store, tracer_provider=spans.provider)
        with store.inbound(peer="slow.example.org"):
            assert not store.close("ORDERLY 0s")
            with pytest.raises(StoreClosing):
                store.submit(b"x")
        store.observe(None)
    submit, close = spans["submit store"], spans["close store"]
    assert submit.attributes is not None
    assert close.attributes is not None
    assert submit.attributes["error.type"] == "fsm.store.errors.StoreClosing"
    (blocker,) = close.attributes["fsm.blockers"]  # type: ignore[misc, union-attr]
    assert "slow.example.org" in str(blocker)
    assert close.attributes["fsm.released"] is False
    assert {submit.status.status_code, close.status.status_code} == {StatusCode.ERROR}


def test_a_context_that_the_caller_gives_stays_and_is_linked(spans: Spans) -> None:
    given = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    with Store() as store:
        instrument(store, tracer_provider=spans.provider)
        store.submit(b"x", headers=given)
        assert [message.headers for message in store.messages()] == [given]
        send(store, spans)
    sent = spans["send store"]
    assert sent.parent is not None
    assert sent.parent.span_id == int("b" * 16, 16)
    assert [link.context.span_id for link in spans["submit store"].links] == [sent.parent.span_id]


def test_no_message_is_refused_because_of_its_trace(spans: Spans) -> None:
    with Store() as store:
        instrument(store, tracer_provider=spans.provider)
        token = context.attach(baggage.set_baggage("long", "x" * 4000))
        store.submit(b"x", headers={"own": "y" * 4200})
        context.detach(token)
        assert [sorted(message.headers) for message in store.messages()] == [["own", "traceparent"]]
        store.close("ORDERLY 60s")


def test_all_stores_of_a_spooler_and_what_is_submitted_over_a_connection(tmp_path: Path, spans: Spans) -> None:
    with Spooler(Database(tmp_path / "mail.db")) as spooler, sqlite3.connect(tmp_path / "mail.db") as connection:
        alice = spooler.open("alice")
        instrument(spooler, tracer_provider=spans.provider)
        bob = spooler.open("bob")
        alice.submit(b"x")
        id = bob.submit(b"x", connection=connection)
        connection.commit()
        with spans.tracer.start_as_current_span("by hand"):
            bob.submit(b"x", headers=current_headers())
        assert all("traceparent" in message.headers for message in bob.messages())
        spooler.close("ORDERLY 60s")
    connection.close()
    submitted = [span for span in spans.exporter.get_finished_spans() if span.name.startswith("submit")]
    assert [span.name for span in submitted] == ["submit alice", "submit bob", "submit bob"]
    assert submitted[1].attributes is not None
    assert submitted[1].attributes["messaging.message.id"] == id
    assert sorted(spans.names[-2:]) == ["close alice", "close bob"]
