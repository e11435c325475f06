"""One contract for both faces of a store, threads and asyncio, in memory and on a real database.

Invariant of every case: what was submitted is sent, failed, held, withdrawn or still in the queue, and nothing stays in
flight when its block has been left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fsm.logoff import Logoff, LogoffStatus, MapiError, Result
from fsm.logoff.database import Database
from fsm.logoff.deferred import Retry
from fsm.logoff.item import Closing, Stopped
from fsm.logoff.memory import MemoryStorage
from fsm.logoff.outcome import NotReleased
from fsm.verdict import Refused
from tests.contract.faces import FACES

Make = Callable[..., Any]
LONG = Retry(first=3600, longest=3600)


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> Any:
    return FACES[request.param]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, face: Any, tmp_path: Path) -> Make:
    def made(**options: Any) -> Any:
        storage = MemoryStorage() if request.param == "memory" else Database(tmp_path / "store.db")
        return face(storage, **{"retry": LONG, **options})

    return made


def run(case: Coroutine[Any, Any, None]) -> None:
    """Run a case; one that hangs is a failure, not a wait."""
    asyncio.run(asyncio.wait_for(case, 180))


@asynccontextmanager
async def opened(make: Make, **options: Any) -> AsyncIterator[Any]:
    store = make(**options)
    try:
        yield store
    finally:
        store.let_go()


class Trace:
    """What the session stepped through."""

    def __init__(self, store: Any) -> None:
        self.events: list[str] = []
        store.session.listen(self)

    def on_transition(self, step: Any) -> None:
        self.events.append(step.event)


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


# ------------------------------------------------------------------------------------------------- asking, closing


def test_a_logoff_never_waits_and_says_what_is_in_the_way(make: Make) -> None:
    async def case() -> None:
        async with opened(make) as store:
            async with store.inbound(peer="slow.example.org"):
                outcome = await store.logoff(Logoff.ABORT)
                assert not outcome
                assert (outcome.state, outcome.request, outcome.status) == ("blocked", Logoff.ABORT, LogoffStatus.INBOUND)
                assert "slow.example.org" in str(outcome)
                with pytest.raises(NotReleased, match=r"slow\.example\.org"):
                    outcome.raise_unless_released()
            assert store.state == "released"
            with pytest.raises(Refused):
                await store.logoff(Logoff.QUIET)
            assert await store.release()
            with pytest.raises(TypeError, match="QUIET"):
                await store.logoff("QUIET")

    run(case())


def test_what_is_refused_while_closing_says_what_to_answer(make: Make) -> None:
    async def case() -> None:
        async with opened(make) as store:
            async with store.inbound():
                await store.logoff(Logoff.ORDERLY)
                for attempt in (store.submit(b"x"), store.inbound().__aenter__()):
                    with pytest.raises(Closing) as caught:
                        await attempt
                    assert caught.value.smtp.startswith("421 4.3.2")
                    assert (caught.value.http, caught.value.websocket) == (503, 1013)
            assert store.counters["refused_new"] == 2
            assert await store.messages() == []

    run(case())


@pytest.mark.parametrize(
    ("plan", "busy", "steps", "state"),
    [
        ("NO_WAIT 30s", (), ["NO_WAIT 30s: released"], "released"),
        ("QUIET 30s", (), ["QUIET 30s: released"], "released"),
        ("notice 0s -> PURGE 30s", (), ["notice 0s: open", "PURGE 30s: released"], "released"),
        ("ORDERLY 30s", ("queued",), ["ORDERLY 30s: released"], "released"),
        ("NO_WAIT 0s -> ORDERLY 30s", ("queued",), ["NO_WAIT 0s: draining", "ORDERLY 30s: released"], "released"),
        ("QUIET 0s", ("queued",), ["QUIET 0s: blocked"], "blocked"),
        ("QUIET 0s -> ABORT 30s", ("queued",), ["QUIET 0s: blocked", "ABORT 30s: released"], "released"),
        ("ABORT 0s", ("inbound",), ["ABORT 0s: blocked, 1 in flight"], "blocked"),
        ("ABORT 0s -> cancel 30s", ("inbound",), ["ABORT 0s: blocked, 1 in flight", "cancel 30s: released"], "released"),
        ("NO_WAIT 0s -> cancel 30s", ("inbound", "outbound", "queued"), ["NO_WAIT 0s: draining, 2 in flight", "cancel 30s: released"], "released"),
        ("cancel 30s", ("outbound",), ["cancel 30s: released"], "released"),
    ],
)  # fmt: skip
def test_a_plan_goes_step_by_step(make: Make, plan: str, busy: tuple[str, ...], steps: list[str], state: str) -> None:
    async def case() -> None:
        async with opened(make) as store:
            stopped = asyncio.Event()
            loop = asyncio.get_running_loop()

            async def hold(item: Any) -> None:
                try:
                    async with item:
                        began.set()
                        item.on_cancel(lambda _: loop.call_soon_threadsafe(stopped.set))
                        await stopped.wait()
                        raise OSError("stopped")
                except (OSError, Stopped):
                    pass

            async def send() -> None:
                async for item in store.outgoing():
                    await hold(item)

            tasks = []
            for what in busy:
                began = asyncio.Event()
                if what == "inbound":
                    tasks.append(asyncio.create_task(hold(store.inbound())))
                    await began.wait()
                else:
                    await store.submit(b"x")
                    if what == "outbound":
                        tasks.append(asyncio.create_task(send()))
                        await began.wait()
            outcome = await store.close(plan)
            assert [step.split(" after")[0] + (f",{step.split(' s,')[1]}" if " s," in step else "") for step in outcome.steps] == steps
            assert (outcome.state, outcome.released) == (state, state == "released")
            assert bool(outcome.blockers) == (state != "released" and "inbound" in busy)
            stopped.set()
            if outcome:
                assert len(outcome.left) == busy.count("queued") + busy.count("outbound")
            store.let_go()
            await asyncio.gather(*tasks)

    run(case())


def test_closing_again_joins_and_an_idle_store_is_closed_at_once(make: Make) -> None:
    async def case() -> None:
        async with opened(make) as store:
            notices: list[bool] = []
            store.on_notice(lambda: notices.append(store.in_service))
            assert store.in_service
            first, second = await asyncio.gather(store.close("QUIET 30s"), store.close("NO_WAIT 1s"))
            assert first
            assert second
            assert notices == [False]
            assert not store.in_service

    run(case())


def test_readiness_flips_before_anything_is_refused(make: Make) -> None:
    async def case() -> None:
        async with opened(make) as store:
            seen: list[tuple[bool, bool]] = []
            store.on_notice(lambda: seen.append((store.in_service, bool(store.session.may("submit")))))
            await store.close()
            assert seen == [(False, True)]

    run(case())


def test_without_the_default_inbox_no_wait_and_purge_stop_what_comes_in(make: Make) -> None:
    async def case() -> None:
        for flag in Logoff:
            async with opened(make, default_inbox=False) as store:
                stopped: list[str] = []
                trace = Trace(store)
                try:
                    async with store.inbound() as item:
                        item.on_cancel(stopped.append)
                        await store.logoff(flag)
                        if stopped:
                            await asyncio.sleep(0)
                            raise Stopped(stopped[0])
                except Stopped:
                    pass
                assert bool(stopped) == (flag in (Logoff.NO_WAIT, Logoff.PURGE))
                last = "inbound_failed" if stopped else "inbound_received"
                assert trace.events == ["inbound_begin", f"logoff_{flag.name.lower()}", last]

    run(case())


def test_purge_tries_each_deferred_message_once(make: Make) -> None:
    async def case() -> None:
        async with opened(make) as store:
            ids = [await store.submit(b"%d" % n) for n in range(3)]
            tried: list[str] = []

            async def work() -> None:
                async for item in store.outgoing():
                    async with item:
                        tried.append(item.id)
                        if tried.count(item.id) == 1 or item.id == ids[2]:
                            item.defer("451 later")
                        if tried == ids:
                            first.set()

            first = asyncio.Event()
            loop = asyncio.get_running_loop()
            settled = asyncio.Event()

            class Settled:
                def on_transition(self, step: Any) -> None:
                    if step.event == "outbound_deferred" and step.after[5] == 3:
                        loop.call_soon_threadsafe(settled.set)

            store.session.listen(Settled())
            worker = asyncio.create_task(work())
            await settled.wait()
            outcome = await store.close("PURGE 30s")
            await worker
            assert tried == [*ids, *ids]
            assert outcome.status == LogoffStatus.COMPLETE | LogoffStatus.OUTBOUND_QUEUE
            assert [message.id for message in outcome.left] == ids[2:]

    run(case())


# ------------------------------------------------------------------------------------------------------ the queue


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
            if not store._core.storage.durable:
                assert left.content == b"hello"
            assert (await store.message(left.id)).content == b"hello"

    run(case())


# ------------------------------------------------------------------------------------------------------- following


def test_progress_tells_every_change_and_ends_with_the_store(make: Make) -> None:
    async def case() -> None:
        async with opened(make) as store:
            seen: list[Any] = []
            first = asyncio.Event()

            async def follow() -> None:
                async for progress in store.progress():
                    seen.append(progress)
                    first.set()

            follower = asyncio.create_task(follow())
            await first.wait()
            await store.submit(b"x")
            async for item in store.outgoing(provider="mx1"):
                async with item:
                    item.progress("DATA")
                    closing = asyncio.create_task(store.close("NO_WAIT 30s -> cancel 1s"))
                    while not any(p.step for p in seen):
                        await asyncio.sleep(0)
                    drain = next(p for p in seen if p.step)
                    assert (drain.step, drain.next_step) == ("NO_WAIT 30s", "cancel 1s")
                    assert 0 < drain.time_left <= 30
                break
            assert await closing
            await follower
            assert seen[0].state == "open"

    run(case())


def test_a_listener_that_fails_does_not_undo_what_is_written(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    async def case() -> None:
        async with opened(make) as store:

            class Bad:
                def before(self, step: Any) -> None:
                    raise RuntimeError("no")

                def on_transition(self, step: Any) -> None:
                    raise RuntimeError("neither")

            store.session.listen(Bad())
            id = await store.submit(b"x")
            assert (store.session.ready, [m.id for m in await store.messages("ready")]) == (1, [id])

    run(case())
    assert "a listener failed at submit" in caplog.text


def test_a_listener_may_ask_but_not_wait(make: Make) -> None:
    async def case() -> None:
        async with opened(make) as store:
            core = store._core
            errors: list[BaseException] = []

            class Eager:
                def on_transition(self, step: Any) -> None:
                    inner = getattr(store, "store", None)
                    if inner is not None and step.event == "submit":
                        try:
                            inner.close()
                        except RuntimeError as error:
                            errors.append(error)

            store.session.listen(Eager())
            await store.submit(b"x")
            assert core.session.ready == 1
            if hasattr(store, "store"):
                assert "listener" in str(errors[0])

    run(case())
