"""A server that is lost during a COMMIT: nothing is lost or duplicated, whether the commit was made or not."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from threading import Thread

import pytest

from fsm.journal import replay
from fsm.logoff import LOGOFF, Logoff
from fsm.store import StorageError, Store
from fsm.store.in_flight import Ending
from fsm.store.outcome import Progress
from fsm.store.sql import Database, read_journal
from tests.store.conftest import Place, Server
from tests.store.contract.driven import agree, one_batch, scheduled
from tests.store.sql.proxy import Proxy, When


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    proxy = Proxy(server.folder)
    yield proxy
    proxy.close()


@pytest.fixture
def opened(remote: Place, proxy: Proxy) -> Iterator[Callable[..., Store]]:
    made: list[Store] = []

    def make(**options: object) -> Store:
        name = remote.where.partition("@/")[2].partition("?")[0]
        where = f"postgresql+psycopg://store@127.0.0.1:{proxy.port}/{name}?sslmode=disable&gssencmode=disable"
        made.append(Store(Database(where, **options)))  # type: ignore[arg-type]
        scheduled(made[-1]).result(60)  # the journal has its start
        return made[-1]

    yield make
    proxy.away = False
    for store in made:
        store.let_go()


def life(store: Store) -> list[bytes]:
    """Submit, send and close; return what was sent."""
    sent = []
    store.submit(b"one")
    for item in store.outgoing():
        with item:
            assert item.message is not None
            sent.append(item.message.content)
        if store.session.request is None:
            store.close("NO_WAIT 30s")
    return sent


@pytest.mark.parametrize("when", ["before", "after"])
def test_at_whichever_commit_it_is_lost_each_message_is_sent_once(opened: Callable[..., Store], remote: Place, proxy: Proxy, when: When) -> None:
    at, was_cut = 0, True
    while was_cut:
        at += 1
        store = opened()
        before = proxy.commits
        proxy.cut(at, when)
        assert life(store) == [b"one"], at
        was_cut = proxy.commits - before >= at
        assert store.session.complete
        assert store.messages() == []
        assert [store.counters[name] for name in ("submitted", "sent", "uncertain", "taken_by_peers")] == [1, 1, 0, 0]
        proxy.cut(0, when)
        store.let_go()
    assert at > 3
    assert replay(LOGOFF, io.BytesIO(b"".join(read_journal(remote.where)))) is None


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_batch_that_was_committed_is_not_decided_again(opened: Callable[..., Store], proxy: Proxy, when: When) -> None:
    store = opened()
    proxy.cut(1, when)
    futures = [store._core.outbox.submit(b"%d" % n, "", ()) for n in range(5)]
    ids = sorted({future.result(60) for future in futures})
    assert [message.id for message in store.messages()] == ids
    agree(store)


@pytest.mark.parametrize("when", ["before", "after"])
def test_while_it_stays_away_the_outcome_is_uncertain(opened: Callable[..., Store], remote: Place, proxy: Proxy, when: When) -> None:
    store = opened(patience=0.3)
    proxy.cut(1, when, away=True)
    with pytest.raises(StorageError, match="is not back: the change may have been made") as caught:
        store.submit(b"one")
    assert (caught.value.busy, caught.value.certain) == (True, False)
    assert "\n" not in str(caught.value)
    assert store.session.ready == 0
    proxy.away = False
    store.let_go()
    assert opened().session.ready == (1 if when == "after" else 0), "it is found again when the store is opened"


# ------------------------------------------------------------------- work that goes on after an uncertain commit


def unsure(store: Store, proxy: Proxy, when: When, content: bytes = b"one") -> None:
    """Submit with an uncertain outcome; then the server is back."""
    proxy.cut(1, when, away=True)
    with pytest.raises(StorageError) as caught:
        store.submit(content)
    assert not caught.value.certain
    proxy.away = False


def drained(store: Store) -> list[bytes]:
    """Send until the store is released; return what was sent."""
    sent = []
    store.logoff(Logoff.NO_WAIT)
    for item in store.outgoing():
        with item:
            assert item.message is not None
            sent.append(item.message.content)
    return sent


def settled(store: Store, holds: Callable[[Progress], bool]) -> None:
    for progress in store.progress():
        if holds(progress):
            return
    raise AssertionError


@pytest.mark.parametrize("withdrawn", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_may_have_been_kept_is_counted_and_sent_once_it_is_found(
    opened: Callable[..., Store], remote: Place, proxy: Proxy, when: When, withdrawn: bool
) -> None:
    store = opened(patience=0.3)
    unsure(store, proxy, when)
    if withdrawn:
        store.withdraw(store.submit(b"two"))
    if when == "after":
        settled(store, lambda progress: progress.ready == 1)
    agree(store)
    assert drained(store) == [b"one"] * (when == "after")
    assert store.messages() == []
    store.let_go()
    assert replay(LOGOFF, io.BytesIO(b"".join(read_journal(remote.where)))) is None, "also if an entry records a step that was not taken"


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_may_have_been_claimed_is_claimed_again(opened: Callable[..., Store], proxy: Proxy, when: When) -> None:
    store, sent = opened(patience=0.3), []
    store.submit(b"one")
    proxy.cut(1, when, away=True)

    def send() -> None:
        for item in store.outgoing():
            with item:
                assert item.message is not None
                sent.append((item.message.content, item.message.attempts, item.message.uncertain))

    worker = Thread(target=send)
    worker.start()
    while not proxy.away:
        assert scheduled(store).exception(60) is None or proxy.away
    proxy.away = False
    settled(store, lambda progress: progress.counters["sent"] == 1)
    assert store.close("QUIET 30s")
    worker.join(60)
    assert sent == [(b"one", 1, 0)]
    assert store.messages() == []
    assert store.counters["taken_by_peers"] == 0


def test_a_second_lost_commit_is_not_taken_for_the_first(opened: Callable[..., Store], proxy: Proxy) -> None:
    """Both commits end with the same entry, of the same message; the second never reached the server."""
    store = opened(patience=0.3)
    store.submit(b"X")
    items = store.outgoing()
    item = next(items)
    with one_batch(store):
        item.__enter__()
        first = [store._core.outbox.submit(b"one", "", ()), store._core.endings.end(item, Ending("sent"))]
        proxy.cut(2, "after", away=True)  # the first is that of the batch under way
    assert [future.exception(60).certain for future in first] == [False, False]  # type: ignore[union-attr]
    proxy.away = False
    recorded: Future[None] = Future()
    with one_batch(store):
        second = store._core.outbox.submit(b"two", "", ())
        with store._core.state.lock:
            store._core.endings._record(item, Ending("sent"), lambda error: recorded.set_result(None) if error is None else recorded.set_exception(error))
        proxy.cut(2, "before")
    kept = second.result(60)
    assert kept in [message.id for message in store.messages()]
    recorded.result(60)
    settled(store, lambda progress: progress.ready == 2)
    assert sorted(drained(store)) == [b"one", b"two"]
