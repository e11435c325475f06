"""The steps of a session as a stream: each once and in order, from any thread, with bounded memory."""

from __future__ import annotations

import asyncio
import gc
import threading
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from fsm import Session, Step, TooSlow
from fsm.runtime import Stream
from fsm.testing.loop import run
from tests.runtime.bell import Bell, GuardedBell
from tests.support import cases


def told(steps: list[Step]) -> list[str]:
    return [step.event for step in steps]


async def read_counts(steps: Stream[Step], counts: list[Any]) -> None:
    async for step in steps:
        counts.append(step.after[1])


def test_every_step_comes_once_and_in_order_and_the_final_state_ends_it() -> None:
    async def main() -> list[Step]:
        session = Bell()
        session.fire("push")
        steps = session.steps()
        for event in ("push", "again", "answer", "push", "smash"):
            session.fire(event)
        return [step async for step in steps]

    steps = run(main())
    assert told(steps) == ["push", "again", "answer", "push", "smash"]
    assert (steps[0].before, steps[0].after) == (("ringing", 1, 0), ("ringing", 2, 0))
    assert all(one.after == other.before for one, other in pairwise(steps))


def test_the_reader_waits_for_the_next_step() -> None:
    async def main() -> list[str]:
        session, seen = Bell(), []

        async def read() -> None:
            async for step in session.steps():
                seen.append(f"{step.event} at {asyncio.get_running_loop().time():.0f}")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read())
            for event in ("push", "answer", "smash"):
                await asyncio.sleep(1)
                session.fire(event)
        return seen

    assert run(main()) == ["push at 1", "answer at 2", "smash at 3"]


def test_posted_events_and_several_readers() -> None:
    class Posting:
        def on_enter_ringing(self, step: Step) -> None:
            step.session.post("answer")
            step.session.post("smash")

    async def main() -> list[list[str]]:
        session = Bell()
        session.listen(Posting())
        readers = [asyncio.ensure_future(collect(session)) for _ in range(3)]
        await asyncio.sleep(0)
        session.fire("push")
        return await asyncio.gather(*readers)

    async def collect(session: Session) -> list[str]:
        return told([step async for step in session.steps()])

    assert run(main()) == [["push", "answer", "smash"]] * 3


def test_a_listener_that_raises_costs_the_stream_no_step() -> None:
    class Raising:
        def on_enter_ringing(self, step: Step) -> None:
            raise OSError("no bell")

        def before_answer(self, step: Step) -> None:
            raise OSError("no answer")

    async def main() -> list[Step]:
        session = Bell()
        session.listen(Raising())
        steps = session.steps()
        for event in ("push", "answer"):
            with pytest.raises(OSError, match="no "):
                session.fire(event)
        session.fire("smash")
        return [step async for step in steps]

    assert told(run(main())) == ["push", "smash"], "the second was cancelled"


def test_who_is_too_slow_gets_what_waits_and_then_a_clear_error() -> None:
    async def main() -> None:
        session = Bell()
        steps, seen = session.steps(most=3), list[Any]()
        session.fire("push")
        for _ in range(10):
            session.fire("push")
        assert not session.has_listeners, "memory stays bounded"
        with pytest.raises(TooSlow) as caught:
            await read_counts(steps, seen)
        assert seen == [1, 2, 3]
        assert caught.value.most == 3
        assert str(caught.value).startswith("more than 3 steps waited to be read, and the rest was missed: ")
        assert [step async for step in steps] == []
        again = session.steps()
        session.fire("smash")
        assert told([step async for step in again]) == ["smash"]

    run(main())


def test_as_many_as_may_wait_are_not_too_many() -> None:
    async def main() -> list[Step]:
        session = Bell()
        steps = session.steps(most=3)
        for event in ("push", "answer", "smash"):
            session.fire(event)
        return [step async for step in steps]

    assert told(run(main())) == ["push", "answer", "smash"]


def test_a_session_that_has_ended_has_no_more_steps() -> None:
    async def main() -> list[Step]:
        session = Bell()
        session.fire("smash")
        return [step async for step in session.steps()]

    assert run(main()) == []


@pytest.mark.parametrize("close", ["close", "aclose", "async with"])
def test_it_can_be_closed_also_while_somebody_waits(close: str) -> None:
    async def main() -> list[str]:
        session = Bell()
        steps = session.steps()
        reader = asyncio.ensure_future(collect(steps))
        session.fire("push")
        await asyncio.sleep(1)
        if close == "async with":
            async with steps:
                pass
        elif close == "aclose":
            await steps.aclose()
        else:
            steps.close()
        steps.close()
        assert not session.has_listeners
        session.fire("push")
        return await reader

    async def collect(steps: Any) -> list[str]:
        return told([step async for step in steps])

    assert run(main()) == ["push"]


def test_a_stream_that_nobody_keeps_leaves_the_session() -> None:
    async def broken_off() -> None:
        session = Bell()
        steps = session.steps()
        session.fire("push")
        async for _ in steps:
            break
        assert session.has_listeners
        del steps
        gc.collect()
        session.fire("push")
        assert not session.has_listeners

    run(broken_off())


def test_a_cancelled_reader_loses_no_step() -> None:
    async def main() -> list[Step]:
        session = Bell()
        steps = session.steps()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(steps.__anext__(), 5)
        session.fire("push")
        session.fire("smash")
        return [step async for step in steps]

    assert told(run(main())) == ["push", "smash"]


def test_two_readers_of_one_stream_are_an_error() -> None:
    async def main() -> None:
        steps = Bell().steps()
        first = asyncio.ensure_future(steps.__anext__())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="let each have one of its own"):
            await steps.__anext__()
        first.cancel()

    run(main())


@pytest.mark.parametrize("most", [0, -1, 1.5, True, "3", None])
def test_a_wrong_number_is_refused_and_changes_nothing(most: Any) -> None:
    async def main() -> None:
        session = Bell()
        with pytest.raises(ValueError, match="a whole number of waiting steps, 1 or more, not"):
            session.steps(most)
        assert not session.has_listeners

    run(main())


def test_outside_of_a_loop_there_is_no_stream() -> None:
    session = Bell()
    with pytest.raises(RuntimeError, match=r"steps\(\) is for asyncio: call it in a coroutine; elsewhere use session.listen"):
        session.steps()
    assert not session.has_listeners


def test_steps_that_other_threads_take_arrive_in_their_order() -> None:
    async def main() -> list[Step]:
        session = GuardedBell()
        session.fire("push")
        steps = session.steps(most=10_000)
        threads = [threading.Thread(target=push, args=(session,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        found = []
        async for step in steps:
            found.append(step)
            if step.after[1] == 401:
                break
        for thread in threads:
            thread.join()
        return found

    def push(session: Session) -> None:
        for _ in range(100):
            session.fire("push")

    steps = asyncio.run(main())
    assert [step.after[1] for step in steps] == list(range(2, 402))


def test_a_session_lives_on_when_the_loop_is_gone() -> None:
    session, kept = GuardedBell(), []

    async def main() -> None:
        kept.append(session.steps())

    asyncio.run(main())
    failed: list[BaseException] = []

    def fire() -> None:
        try:
            session.fire("push")
            session.fire("push")
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=fire)
    thread.start()
    thread.join()
    assert failed == []
    assert not session.has_listeners


@settings(max_examples=cases(100), deadline=None)
@given(st.lists(st.integers(0, 4), max_size=40), st.integers(1, 8))
def test_at_random_nothing_is_lost_doubled_or_reordered(acts: list[int], most: int) -> None:
    """0 reads a step if one waits; any other number fires as many."""
    async def main() -> None:
        session = Bell()
        session.fire("push")
        steps, fired, read = session.steps(most), 1, 1
        overrun = False
        for act in acts:
            if act:
                for _ in range(act):
                    session.fire("push")
                    fired += 1
                    overrun = overrun or fired - read > most
                    if overrun:
                        break
            elif fired > read and not overrun:
                step = await steps.__anext__()
                read += 1
                assert step.after[1] == read
            if overrun:
                rest: list[Any] = []
                with pytest.raises(TooSlow):
                    await read_counts(steps, rest)
                assert rest == list(range(read + 1, read + most + 1))
                return

    asyncio.run(main())
