"""One contract for both faces of a store, threads and asyncio, in memory and on a real database: messages that wait."""

from __future__ import annotations

from typing import Any

import pytest

from fsm.logoff import MapiError, Result
from fsm.store import Retry, Store
from tests.store.contract.faces import LONG, Make, Trace, opened, run


def test_headers_are_with_the_message_until_it_is_sent(make: Make) -> None:
    async def case() -> None:
        async with opened(make, retry=LONG) as store:
            given = {"traceparent": "00-1-2-01", "tenant": "ü"}
            id, plain = await store.submit(b"x", headers=given), await store.submit(b"y")
            given["tenant"] = "changed later"
            kept = {"traceparent": "00-1-2-01", "tenant": "ü"}
            assert [message.headers for message in await store.messages()] == [kept, {}]
            assert ((await store.message(id)).headers, (await store.message(plain)).headers) == (kept, {})
            for expected in (kept, {}):
                async for item in store.outgoing():
                    async with item:
                        assert item.message.headers == expected
                        item.defer("later")
                    break
            await store.retry(id)
            async for item in store.outgoing():
                async with item:
                    assert (item.message.headers, item.message.attempts) == (kept, 2)
                break

    run(case())


@pytest.mark.parametrize(
    ("headers", "error", "says"),
    [
        (["a"], TypeError, r"headers are a mapping of strings to strings, such as \{'tenant': 'a'\}, not \['a'\]"),
        ("traceparent", TypeError, "not 'traceparent'"),
        ({"n": 1}, TypeError, "headers are a mapping of strings to strings, not {'n': 1}"),
        ({b"n": "1"}, TypeError, "not {b'n': '1'}"),
        ({"a": "x" * 8192}, ValueError, "headers of a message have at most 8,192 characters together, not 8,193"),
    ],
)  # fmt: skip
def test_headers_that_are_none_are_refused_and_nothing_is_submitted(headers: Any, error: type[Exception], says: str) -> None:
    with Store() as store:
        with pytest.raises(error, match=says):
            store.submit(b"x", headers=headers)
        assert store.messages() == []
        store.withdraw(store.submit(b"x", headers={"a": "x" * 8191}))


def test_withdrawing(make: Make) -> None:
    async def case() -> None:
        async with opened(make) as store:
            trace = Trace(store)
            one, two, three = [await store.submit(b"x") for _ in range(3)]
            await store.withdraw(two)
            for id in (two, "no such message"):
                with pytest.raises(MapiError) as caught:
                    await store.withdraw(id)
                assert caught.value.hresult == Result.MAPI_E_NOT_IN_QUEUE
            async for item in store.outgoing():
                async with item:
                    assert item.id == one
                    with pytest.raises(MapiError) as caught:
                        await store.withdraw(one)
                    assert caught.value.hresult == Result.MAPI_E_UNABLE_TO_ABORT
                    item.defer("later")
                break
            await store.withdraw(one)
            assert trace.events[3:] == ["abort_submit", "outbound_begin", "outbound_deferred", "abort_deferred"]
            assert [message.id for message in await store.messages()] == [three]
            assert (store.session.ready, store.session.deferred) == (1, 0)

    run(case())


async def lost(item: Any) -> None:
    """The link is lost after the final dot."""
    async with item:
        item.past_no_return()
        raise OSError("reset")


def test_what_is_held_waits_for_somebody_to_decide(make: Make) -> None:
    async def case() -> None:
        async with opened(make, uncertain="hold") as store:
            ids = [await store.submit(b"x") for _ in range(2)]
            for _ in ids:
                async for item in store.outgoing():
                    with pytest.raises(OSError, match="reset"):
                        await lost(item)
                    break
            assert [message.id for message in await store.messages("held")] == ids
            assert store.session.ready == 0
            await store.resume(ids[0])
            await store.withdraw(ids[1])
            assert [message.state for message in await store.messages()] == ["ready"]
            with pytest.raises(MapiError):
                await store.resume(ids[1])
            outcome = await store.close("ORDERLY 30s")
            assert {message.id for message in outcome.uncertain} == set(ids)
            assert ids[0] in str(outcome)

    run(case())


def test_a_deferred_message_is_tried_when_it_is_due(make: Make) -> None:
    async def case() -> None:
        async with opened(make, retry=Retry(first=0.01)) as store:
            trace = Trace(store)
            await store.submit(b"x")
            attempts = 0
            async for item in store.outgoing():
                async with item:
                    attempts += 1
                    if attempts < 3:
                        item.defer("later")
                if attempts == 3:
                    break
            assert trace.events == ["submit", *["outbound_begin", "outbound_deferred", "deferred_due"] * 2, "outbound_begin", "outbound_sent"]

    run(case())


def test_a_person_holds_a_message_or_has_it_tried_now(make: Make) -> None:
    async def case() -> None:
        async with opened(make, retry=LONG) as store:
            trace = Trace(store)
            first, second = [await store.submit(b"x") for _ in range(2)]
            item = await anext(store.outgoing())
            async with item:
                with pytest.raises(MapiError, match="is being sent right now"):
                    await store.hold(first)
                item.defer("later")
            await store.retry(first)
            await store.hold(second)
            for act, id, problem in (
                (store.retry, first, "is deferred; it is ready"), (store.hold, second, "is ready or deferred; it is held"), (store.hold, "none", "no message none is ready or deferred"),
            ):  # fmt: skip
                with pytest.raises(MapiError, match=problem):
                    await act(id)
            assert [(message.state, message.reason) for message in await store.messages()] == [("ready", "later"), ("held", "held until it is resumed")]
            now = store.progress_now()
            assert (now.ready, now.deferred, now.held) == (1, 0, 1)
            item = await anext(store.outgoing())
            assert item.id == first
            async with item:
                pass
            await store.resume(second)
            async with await anext(store.outgoing()) as item:
                assert item.id == second
            assert trace.events == ["submit", "submit", "outbound_begin", "outbound_deferred", "submit", "abort_deferred", "abort_submit",
                                    "outbound_begin", "outbound_sent", "submit", "outbound_begin", "outbound_sent"]  # fmt: skip
            assert store.counters["submitted"] == 3

    run(case())


@pytest.mark.parametrize("wrong", ["text", None, bytearray(b"x")])
def test_a_message_is_bytes(make: Make, wrong: Any) -> None:
    async def case() -> None:
        async with opened(make) as store:
            with pytest.raises(TypeError, match="bytes"):
                await store.submit(wrong)
            with pytest.raises(TypeError, match="several"):
                await store.submit(b"x", "", "you@example.org")

    run(case())


def test_what_is_left_can_be_had_whole(make: Make) -> None:
    async def case() -> None:
        async with opened(make) as store:
            id = await store.submit(b"hello", "me", ("you",))
            whole = await store.message(id)
            assert (whole.content, whole.sender, whole.recipients) == (b"hello", "me", ("you",))
            assert await store.message("nothing") is None
            outcome = await store.close("ORDERLY 30s")
            (left,) = outcome.left
            if not store._core.state.storage.durable:
                assert left.content == b"hello"
            assert (await store.message(left.id)).content == b"hello"

    run(case())
