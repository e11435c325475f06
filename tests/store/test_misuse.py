"""Whoever uses a store wrongly gets one sentence, at once, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fsm.logoff import Logoff
from fsm.store import AsyncStore, Database, Store, on_signals
from fsm.store.storage import Storage
from tests.store.conftest import Place
from tests.store.test_signals import Said

PLAN = "ORDERLY 60s -> cancel 60s"


def in_child(act: Callable[[], object]) -> str:
    """Fork, do this in the child, and return what it raises, in one line, or what it returns."""
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        try:
            said = repr(act())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return said


# ------------------------------------------------------------------------------------------------------------- forks

ITEM: dict[str, Callable[[Any], object]] = {
    "progress": lambda item: item.progress("DATA"),
    "past_no_return": lambda item: item.past_no_return(),
    "fail": lambda item: item.fail("550 never"),
    "on_cancel": lambda item: item.on_cancel(print),
    "leave": lambda item: item.__exit__(None, None, None),
}
USES: dict[str, Callable[[Store], object]] = {
    "submit": lambda store: store.submit(b"x"),
    "outgoing": lambda store: next(store.outgoing()),
    "inbound": lambda store: store.inbound().__enter__(),
    "withdraw": lambda store: store.withdraw("x"),
    "resume": lambda store: store.resume("x"),
    "messages": lambda store: store.messages(),
    "message": lambda store: store.message("x"),
    "logoff": lambda store: store.logoff(Logoff.QUIET),
    "release": lambda store: store.release(),
    "close": lambda store: store.close(),
    "begin_closing": lambda store: store.begin_closing(),
    "next_step": lambda store: store.next_step(),
    "let_go": lambda store: store.let_go(),
    "leave": lambda store: store.__exit__(None, None, None),
    "state": lambda store: store.state,
    "counters": lambda store: store.counters,
    "blockers": lambda store: store.blockers(),
    "progress": lambda store: next(store.progress()),
    "progress_now": lambda store: store.progress_now(),
    "subscribe": lambda store: store.subscribe(print),
    "on_released": lambda store: store.on_released(print),
}
"""Each use of a store, and of an item."""


@contextmanager
def locked(store: Store) -> Iterator[None]:
    """Another thread holds the lock of the store: a child that took it would wait for ever."""
    holds, ends = threading.Event(), threading.Event()

    def changed() -> None:
        if threading.current_thread().name == "holds the lock":
            holds.set()
            ends.wait()

    item = store.inbound()
    item.__enter__()
    unsubscribe = store.subscribe(changed)
    thread = threading.Thread(target=item.progress, name="holds the lock")
    thread.start()
    holds.wait()
    try:
        yield
    finally:
        ends.set()
        thread.join()
        unsubscribe()
        item.__exit__(None, None, None)


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql"])
def test_a_forked_child_can_use_nothing_of_its_parents_store(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Also while a thread of the parent holds the lock; and the parent's store goes on."""
    storage: Storage | None = None
    if kind != "memory":
        storage = Database(tmp_path / "store.db" if kind == "sqlite" else request.getfixturevalue("server").new())
    store = Store(storage, name="mine")
    id = store.submit(b"before")
    inbound = store.inbound(peer="10.0.0.7")
    inbound.__enter__()
    expected = f"belongs to process {os.getpid()} and cannot be used in its child"
    with locked(store):
        for use in USES.values():
            said = in_child(lambda use=use: use(store))  # type: ignore[misc]
            assert said.startswith(f"RuntimeError: the store 'mine' {expected}"), said
            assert "post_fork" in said
            assert "worker_process_init" in said
            assert "\n" not in said
        for use in ITEM.values():
            said = in_child(lambda use=use: use(inbound))  # type: ignore[misc]
            assert expected in said, said
    inbound.__exit__(None, None, None)
    for item in store.outgoing():
        with item:
            assert item.id == id
        break
    outcome = store.close(PLAN)
    assert outcome
    assert (store.counters["sent"], store.counters["received"], outcome.left) == (1, 2, ())
    store.let_go()


FORKED = """
import os, sys
from fsm.store import Database, Store
pid = 1
with Store(Database(sys.argv[1]), name="mine") as store:
    id = store.submit(b"x")
    pid = os.fork()
    if not pid:
        sys.exit(0)
    child = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(child, [one.id for one in store.messages("ready")] == [id], flush=True)
    store.close("ORDERLY 60s")
"""


def test_a_child_that_exits_inside_the_block_is_told_so_and_the_parents_store_is_whole(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FORKED, str(tmp_path / "store.db")], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "1 True\n")
    assert done.stderr.splitlines()[-1].startswith("RuntimeError: the store 'mine' belongs to process ")


def test_a_child_opens_a_store_of_its_own(database: Place) -> None:
    """Its time-outs work, too: the thread of its parent's clock is not there."""
    with Store(database.new()) as store:
        item = store.inbound()
        item.__enter__()
        assert not store.close("ORDERLY 0.01s")  # starts the clock's thread

        def own() -> object:
            mine = Store(Database(database.where))
            mine.inbound().__enter__()
            steps = mine.close("ABORT 0.01s -> cancel 0.01s").steps
            mine.let_go()
            return [step.partition(" ")[0] for step in steps]

        assert in_child(own) == "['ABORT', 'cancel']"
        item.__exit__(None, None, None)


def test_a_signal_to_a_child_is_the_childs() -> None:
    """The parent's ladder does not take it, and the child has the handlers of before."""
    said: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: said.append(number))
    try:
        with Store() as store, on_signals(store, PLAN, say=Said()) as ladder:

            def child() -> object:
                os.kill(os.getpid(), signal.SIGTERM)
                ladder.__exit__(None, None, None)
                return said

            assert in_child(child) == f"[{int(signal.SIGTERM)}]"
            assert store.in_service
            os.kill(os.getpid(), signal.SIGTERM)
            assert ladder.outcome()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_stores_and_items_are_not_pickled() -> None:
    with Store() as store, store.inbound() as item:
        with pytest.raises(TypeError, match="open one in each process, on the same database"):
            pickle.dumps(store)
        with pytest.raises(TypeError, match="an item stays in the process that took it: hand over its message"):
            pickle.dumps(item)


# ------------------------------------------------------------------------------------------------------- event loops

AWAITED: dict[str, Callable[[AsyncStore], Any]] = {
    "submit": lambda store: store.submit(b"x"),
    "outgoing": lambda store: anext(store.outgoing()),
    "inbound": lambda store: store.inbound().__aenter__(),
    "withdraw": lambda store: store.withdraw("x"),
    "resume": lambda store: store.resume("x"),
    "logoff": lambda store: store.logoff(Logoff.QUIET),
    "release": lambda store: store.release(),
    "close": lambda store: store.close(),
    "progress": lambda store: anext(store.progress()),
}


@pytest.mark.parametrize("closed", [False, True], ids=["running", "closed"])
@pytest.mark.parametrize("durable", [False, True], ids=["memory", "sqlite"])
def test_a_second_event_loop_is_refused_before_anything_happens(durable: bool, closed: bool, tmp_path: Path) -> None:
    """Whether the loop that opened the store still runs, or is closed."""

    async def open_it() -> AsyncStore:
        return AsyncStore(Database(tmp_path / "store.db") if durable else None, name="mine")

    async def use(store: AsyncStore) -> None:
        for call in AWAITED.values():
            with pytest.raises(RuntimeError, match="the store 'mine' belongs to the event loop that opened it, and this is another"):
                await call(store)

    async def main() -> None:
        async with await open_it() as store:
            await asyncio.to_thread(asyncio.run, use(store))
            assert store.counters["submitted"] == 0
            assert (store.state, store.blockers(), await store.messages()) == ("open", (), [])
            await store.submit(b"x")
            assert await store.close(PLAN)

    if not closed:
        asyncio.run(main())
        return
    store = asyncio.run(open_it())
    asyncio.run(use(store))
    assert (store.state, store.blockers(), store.counters["submitted"]) == ("open", (), 0)
    store.let_go()


def test_an_asynchronous_store_outside_a_loop_is_refused() -> None:
    with pytest.raises(RuntimeError, match="an AsyncStore is opened in a running event loop, inside `async def`; Store is for threads"):
        AsyncStore()


# ------------------------------------------------------------------------------------------------------------ signals


@contextmanager
def handler(act: Callable[[], object]) -> Iterator[Future[str]]:
    """On SIGUSR1 do this, and note what came of it."""
    said: Future[str] = Future()

    def handle(*_: object) -> None:
        try:
            act()
            said.set_result("it works")
        except Exception as error:
            said.set_result(f"{type(error).__name__}: {error}")

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        yield said
    finally:
        signal.signal(signal.SIGUSR1, before)


WITHIN = "RuntimeError: a listener, or a signal handler that interrupts a call of the store, cannot wait for the store"


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("act", ["submit", "close"])
@pytest.mark.parametrize("during", ["a wait", "a step", "the program"])
def test_a_signal_handler_works_or_is_told_what_works(act: str, during: str, kind: str, tmp_path: Path) -> None:
    """It interrupts the main thread while that waits for a message, in the middle of a step, or outside of the store."""
    storage = Database(tmp_path / "store.db") if kind == "sqlite" else None
    store = Store(storage)
    once = [True]

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)

    class Interrupted:
        def on_transition(self, step: Any) -> None:
            if step.event == "submit" and once and once.pop():
                interrupt()

    with handler(lambda: store.submit(b"from the handler") if act == "submit" else store.close(PLAN)) as said:
        if during == "a step":
            store.session.listen(Interrupted())
            store.submit(b"x")
        elif during == "a wait":
            threading.Timer(0.05, interrupt).start()
            for item in store.outgoing():
                with item:
                    break
        else:
            interrupt()
        result = said.result()
    assert result == "it works" or (during == "a step" and result.startswith(WITHIN)), result
    if during != "a step":
        assert store.closed is False
    assert store.close(PLAN)
    expected = (act == "submit" and result == "it works") + (during == "a step")
    assert store.counters["submitted"] == expected
    assert len(store.messages()) + store.counters["sent"] == expected
    store.let_go()


# -------------------------------------------------------------------------------------------------------------- items


def test_an_item_that_has_ended_takes_nothing_more() -> None:
    with Store() as store:
        with store.inbound() as item:
            pass
        for name, use in ITEM.items():
            if name != "leave":
                with pytest.raises(RuntimeError, match=f"the item {item.id} has ended with its block: decide how it ends before"):
                    use(item)
        store.submit(b"x")
        for outgoing in store.outgoing():
            with outgoing:
                outgoing.progress("DATA")
            break
        with pytest.raises(RuntimeError, match=f"the item {outgoing.id} has ended"):
            outgoing.defer("451 later")
        with pytest.raises(RuntimeError, match="was entered before"):
            outgoing.__enter__()
        assert (store.counters["received"], store.counters["sent"]) == (1, 1)


# --------------------------------------------------------------------------------------------- the end in a listener


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=["sys.exit", "KeyboardInterrupt"])
def test_what_ends_the_program_in_a_listener_reaches_who_caused_it_and_the_store_goes_on(error: BaseException, kind: str, tmp_path: Path) -> None:
    class Ends:
        def on_transition(self, step: Any) -> None:
            if step.event == "submit" and armed:
                armed.clear()
                raise error

    armed = [True]
    with Store(Database(tmp_path / "store.db") if kind == "sqlite" else None) as store:
        store.session.listen(Ends())
        with pytest.raises(type(error)):
            store.submit(b"first")
        id = store.submit(b"second")
        assert (store.session.ready, store.counters["submitted"]) == (2, 2), "the step is committed and stands"
        assert id in [message.id for message in store.messages("ready")]
        assert store.close(PLAN)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=["sys.exit", "KeyboardInterrupt"])
def test_what_ends_the_program_when_the_store_is_released_does_too(error: BaseException, kind: str, tmp_path: Path) -> None:
    def ends() -> None:
        raise error

    store = Store(Database(tmp_path / "store.db") if kind == "sqlite" else None)
    store.on_released(ends)
    store.submit(b"kept")
    with pytest.raises(type(error)):
        store.logoff(Logoff.ORDERLY)
    assert store.state == "released"
    assert store.close(PLAN)
    assert len(store.messages("ready")) == 1
    store.let_go()


# --------------------------------------------------------------------------------------------------------------- exit

LEFT_OPEN = """
import asyncio, sys
from fsm.store import AsyncStore, Database, Store

def storage():
    return Database(sys.argv[2]) if sys.argv[1] == "sqlite" else None

async def main():
    store = AsyncStore(storage(), name="mine")
    await store.submit(b"x")
    return store

if sys.argv[3] == "asyncio":
    store = asyncio.run(main())
else:
    store = Store(storage(), name="mine")
    store.submit(b"x")
if sys.argv[4] == "error":
    raise SystemExit(3)
"""


@pytest.mark.parametrize("how", ["normally", "error"])
@pytest.mark.parametrize("face", ["threads", "asyncio"])
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_store_that_is_left_open_at_the_exit_is_named_and_let_go(kind: str, face: str, how: str, tmp_path: Path) -> None:
    words = [sys.executable, "-c", LEFT_OPEN, kind, str(tmp_path / "store.db"), face, how]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == (3 if how == "error" else 0)
    (line,) = done.stderr.splitlines()
    assert line.startswith("mine: the program ends, and the store is still open")
    assert "in 0, out 0, ready 1" in line
    assert ("what is in its queue is lost" in line) == (kind == "memory")
    if kind == "sqlite":
        with Store(Database(tmp_path / "store.db")) as store:
            assert len(store.messages("ready")) == 1
            assert store.counters["lapsed"] == 0
            store.withdraw(store.messages()[0].id)
