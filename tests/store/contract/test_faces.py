"""One contract for both faces of a store, threads and asyncio, in memory and on a real database: closing, and being told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fsm.logoff import Logoff, LogoffStatus
from fsm.store import NotReleased, Stopped, StoreClosing
from fsm.verdict import Refused
from tests.store.contract.faces import Make, Trace, opened, run

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
                    with pytest.raises(StoreClosing) as caught:
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
                    assert (str(drain.step), str(drain.next_step)) == ("NO_WAIT 30s", "cancel 1s")
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
    assert "a listener raised at submit" in caplog.text


def test_a_listener_may_ask_but_not_wait(make: Make) -> None:
    async def case() -> None:
        async with opened(make) as store:
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
            assert store.session.ready == 1
            if hasattr(store, "store"):
                assert "listener" in str(errors[0])

    run(case())
