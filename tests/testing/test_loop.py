"""Simulated time in asyncio: it jumps when nothing is ready and nothing goes on for real."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from fsm.store import AsyncStore, Database, Retry, Stopped
from fsm.testing.clock import START, NothingLeft
from fsm.testing.loop import SimulatedLoop, run


def now() -> float:
    return asyncio.get_running_loop().time()


def test_sleeping_takes_no_time() -> None:
    async def program() -> list[float]:
        seen = [now()]
        for seconds in (0, 1.5, 86_400 * 30):
            await asyncio.sleep(seconds)
            seen.append(now())
        return seen

    assert run(program()) == [0.0, 0.0, 1.5, 86_400 * 30 + 1.5]


def test_timeouts_are_simulated_too() -> None:
    async def program() -> tuple[float, float]:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.sleep(61)
        first = now()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 30)
        async with asyncio.timeout(60):
            await asyncio.sleep(59)
        return first, now()

    assert run(program()) == (60.0, 149.0)


def test_tasks_take_turns_in_the_order_of_their_moments() -> None:
    seen: list[tuple[float, str]] = []

    async def every(seconds: float, name: str, times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(seconds)
            seen.append((now(), name))

    async def program() -> None:
        await asyncio.gather(every(3, "three", 4), every(5, "five", 3))

    run(program())
    assert seen == [(3, "three"), (5, "five"), (6, "three"), (9, "three"), (10, "five"), (12, "three"), (15, "five")]


def test_a_time_too_late_to_be_told_from_a_little_later_still_comes() -> None:
    async def program() -> None:
        await asyncio.sleep(1e9)
        await asyncio.sleep(0.1)
        await asyncio.sleep(1e-9)

    run(program())


def test_what_waits_for_ever_is_an_error_and_is_cancelled() -> None:
    ends: list[str] = []

    async def program() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    with pytest.raises(NothingLeft, match="can no longer happen"):
        run(program())
    assert ends == ["cancelled"]


def test_whoever_finds_nothing_left_may_be_helped() -> None:
    async def program() -> float:
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)

        def help_() -> bool:
            loop.call_later(5, event.set)
            return True

        loop.when_idle = help_
        await event.wait()
        return now()

    assert run(program()) == 5.0


def test_work_in_executors_is_waited_for_and_takes_no_simulated_time() -> None:
    async def program() -> tuple[list[int], float]:
        alarm = asyncio.create_task(asyncio.sleep(1))
        found = [await asyncio.to_thread(lambda: sum(range(300_000))) for _ in range(5)]
        with ThreadPoolExecutor(1) as pool:
            found.append(await asyncio.get_running_loop().run_in_executor(pool, sum, range(300_000)))
        assert not alarm.done()
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        before = now()
        await alarm
        return found, before

    assert run(program()) == ([44999850000] * 6, 0.0)


def test_another_thread_may_wake_the_program() -> None:
    async def program() -> float:
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        loop.call_later(3600, event.set)

        def work() -> None:
            assert sum(range(300_000))
            loop.call_soon_threadsafe(event.set)

        thread = threading.Thread(target=work)
        thread.start()
        await event.wait()
        thread.join()
        return now()

    assert run(program(), patience=0.0) == 0.0


def test_real_sockets_work_beside_simulated_time() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        await asyncio.sleep(600)
        writer.write(line.upper())
        writer.close()
        await writer.wait_closed()

    async def program() -> tuple[bytes, float]:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return line, now()

    line, at = run(program(), patience=0.05)
    assert (line, at) == (b"HELLO\n", 600.0)


def test_another_process_is_given_time_to_answer() -> None:
    async def program() -> tuple[bytes, float]:
        ours, theirs = socket.socketpair()
        with theirs, subprocess.Popen(
            [sys.executable, "-c", f"import socket; socket.socket(fileno={theirs.fileno()}).sendall(b'hello\\n')"],
            pass_fds=[theirs.fileno()],
        ) as process:
            reader, writer = await asyncio.open_connection(sock=ours)
            async with asyncio.timeout(3600):
                line = await reader.readline()
            writer.close()
            await writer.wait_closed()
            assert process.wait() == 0
        return line, now()

    assert run(program(), patience=60) == (b"hello\n", 0.0)


def test_signals_work_beside_simulated_time() -> None:
    async def program() -> float:
        event = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, event.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await event.wait()
        return now()

    assert run(program()) == 0.0


# ------------------------------------------------------------------------------------------------------ with a store


def test_a_store_closes_by_its_plan_in_no_time() -> None:
    async def program() -> None:
        store, ends = AsyncStore(), []

        async def hold() -> None:
            try:
                async with store.inbound(peer="10.0.0.7"):
                    await asyncio.Event().wait()
            except Stopped as stopped:
                ends.append((now(), stopped.reason))

        task = asyncio.create_task(hold())
        await asyncio.sleep(1)
        outcome = await store.close("NO_WAIT 20s -> ORDERLY 5s -> cancel 3s")
        await task
        assert outcome.raise_unless_released().seconds == 25.0
        assert ends == [(26.0, "the store closes and its time is over")]
        store.let_go()

    run(program())


def test_deferred_mail_falls_due_also_when_the_clock_on_the_wall_was_set() -> None:
    async def program() -> list[float]:
        loop, attempts = asyncio.get_running_loop(), []
        assert isinstance(loop, SimulatedLoop)
        store = AsyncStore(clock=loop.clock, retry=Retry(first=60, factor=2, longest=3600))
        assert loop.clock.time() == START
        await store.submit(b"x")
        async for item in store.outgoing():
            async with item:
                attempts.append(now())
                item.defer("451 later")
                loop.clock.set_time(loop.clock.time() + (-500_000, 0, 500_000)[len(attempts) % 3])
            if len(attempts) == 4:
                break
        await store.close("ORDERLY 1s")
        store.let_go()
        return attempts

    attempts = run(program())
    assert attempts[0] == 0.0
    assert attempts == sorted(attempts)
    assert all(after - before <= 3600 for before, after in pairwise(attempts)), attempts


def test_a_durable_store_works_beside_simulated_time(tmp_path: Path) -> None:
    """Its thread works for real, as long as it takes, also without any patience; the plan's 20 seconds are simulated."""

    async def program() -> None:
        store, sent = AsyncStore(Database(tmp_path / "store.db")), []

        async def send() -> None:
            async for item in store.outgoing():
                async with item:
                    assert item.message is not None
                    await asyncio.sleep(2)
                    sent.append(item.message.content)

        task = asyncio.create_task(send())
        for number in range(5):
            await store.submit(b"%d" % number)
        outcome = await store.close("NO_WAIT 20s -> cancel 3s")
        await task
        assert outcome.raise_unless_released().left == ()
        assert sent == [b"0", b"1", b"2", b"3", b"4"]
        assert now() == 10.0
        store.let_go()

    run(program(), patience=0)
