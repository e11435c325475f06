"""One contract for both faces of a store, threads and asyncio, in memory and on a real database: messages in flight.

Invariant of every case: what was submitted is sent, failed, held, withdrawn or still in the queue, and nothing stays in
flight when its block has been left.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fsm.logoff import LogoffStatus
from tests.store.contract.faces import Make, Trace, opened, run

# ------------------------------------------------------------------------------------------------------- coming in


@pytest.mark.parametrize(
    ("says", "raises", "event", "counted"),
    [
        (None, None, "inbound_received", "received"),
        (None, OSError("the peer hung up"), "inbound_failed", "refused_inbound"),
        (lambda item: item.fail("552 too big"), None, "inbound_failed", "refused_inbound"),
        (lambda item: item.past_no_return(), OSError("disk full"), "inbound_failed", "refused_inbound"),
    ],
)
def test_leaving_the_block_decides_what_became_of_an_inbound_message(make: Make, says: Any, raises: Any, event: str, counted: str) -> None:
    async def case() -> None:
        async with opened(make) as store:
            trace = Trace(store)
            try:
                async with store.inbound(peer="10.0.0.7:2525", what="DATA") as item:
                    (blocker,) = store.blockers()
                    assert (blocker.direction, blocker.peer, blocker.note) == ("inbound", "10.0.0.7:2525", "DATA")
                    assert store.status is LogoffStatus.INBOUND
                    if says:
                        says(item)
                    if raises:
                        raise raises
            except OSError as error:
                assert error is raises
            assert trace.events == ["inbound_begin", event]
            assert store.counters[counted] == 1
            assert store.blockers() == ()

    run(case())


# -------------------------------------------------------------------------------------------------------- going out


@pytest.mark.parametrize(
    ("policy", "says", "raises", "event", "state", "counted"),
    [
        ("resend", None, None, "outbound_sent", None, "sent"),
        ("resend", None, OSError("refused"), "outbound_deferred", "deferred", "deferred"),
        ("resend", lambda i: i.past_no_return(), None, "outbound_sent", None, "sent"),
        ("resend", lambda i: i.past_no_return(), OSError("reset"), "outbound_deferred", "deferred", "uncertain"),
        ("hold", lambda i: i.past_no_return(), OSError("reset"), "outbound_failed", "held", "uncertain"),
        ("hold", None, OSError("refused"), "outbound_deferred", "deferred", "deferred"),
        ("resend", lambda i: i.fail("550 no such user"), None, "outbound_failed", "failed", "failed"),
        ("resend", lambda i: i.fail("550 no such user", reported=True), None, "outbound_failed", None, "failed"),
        ("resend", lambda i: i.defer("451 later", after=7200.0), None, "outbound_deferred", "deferred", "deferred"),
        ("resend", lambda i: (i.past_no_return(), i.fail("554 no")), OSError("then reset"), "outbound_failed", "failed", "failed"),
        ("hold", lambda i: (i.past_no_return(), i.defer("452 full")), OSError("reset"), "outbound_deferred", "deferred", "deferred"),
    ],
)
def test_leaving_the_block_decides_what_became_of_an_outbound_message(
    make: Make, policy: str, says: Any, raises: Any, event: str, state: str | None, counted: str
) -> None:
    async def case() -> None:
        async with opened(make, uncertain=policy) as store:
            id = await store.submit(b"hello", "me@example.org", ("you@example.net",))
            trace = Trace(store)
            async for item in store.outgoing(provider="mx1"):
                try:
                    async with item:
                        assert (item.message.content, item.message.sender) == (b"hello", "me@example.org")
                        assert (item.id, item.message.recipients, item.message.attempts) == (id, ("you@example.net",), 1)
                        assert [str(blocker)[:15] for blocker in store.blockers()] == [f"outbound {id[:6]}"]
                        if says:
                            says(item)
                        if raises:
                            raise raises
                except OSError as error:
                    assert error is raises
                break
            assert trace.events == ["outbound_begin", event]
            assert store.counters[counted] == 1
            kept = await store.messages()
            assert [message.state for message in kept] == ([state] if state else [])
            if kept and state == "deferred":
                assert kept[0].due > 3000 + kept[0].submitted
                assert kept[0].uncertain == (counted == "uncertain")

    run(case())


def test_only_the_recipients_that_are_left_are_tried_again(make: Make) -> None:
    async def case() -> None:
        async with opened(make) as store:
            await store.submit(b"hello", "", ("a@example.org", "b@example.org"))
            async for item in store.outgoing():
                async with item:
                    item.defer("b is away", after=0.0, recipients=("b@example.org",))
                break
            async for item in store.outgoing():
                async with item:
                    assert item.message.recipients == ("b@example.org",)
                    assert item.message.attempts == 2
                break
            assert await store.messages() == []

    run(case())


def test_messages_go_out_in_the_order_of_submission_to_whoever_waits(make: Make) -> None:
    async def case() -> None:
        async with opened(make) as store:
            sent: list[str] = []

            async def work() -> None:
                async for item in store.outgoing():
                    async with item:
                        sent.append(item.id)

            workers = [asyncio.create_task(work()) for _ in range(3)]
            ids = [await store.submit(b"%d" % n) for n in range(20)]
            outcome = await store.close("NO_WAIT 30s")
            await asyncio.gather(*workers)
            assert outcome
            assert sorted(sent) == sorted(ids) == ids

    run(case())


def test_a_message_whose_block_was_never_entered_goes_back(make: Make) -> None:
    async def case() -> None:
        async with opened(make) as store:
            id = await store.submit(b"x")
            items = store.outgoing()
            async for item in items:
                assert item.id == id
                break
            await items.aclose()
            async for item in store.outgoing():
                async with item:
                    assert item.id == id
                break
            assert await store.messages() == []

    run(case())
