"""A server that is lost at a COMMIT: nobody was told whether it was made, and nothing is lost or there twice for that."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest

from fsm.journal import replay
from fsm.logoff import LOGOFF
from fsm.logoff.database import Database, read
from fsm.logoff.spooler import Store
from fsm.logoff.storage import StorageError
from tests.contract.conftest import Place, Server
from tests.contract.proxy import Proxy, When
from tests.contract.test_attacked import agree


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
        made[-1]._core.desk.ask(lambda _: None).result(60)  # the journal has its start
        return made[-1]

    yield make
    proxy.away = False
    for store in made:
        store.let_go()


def life(store: Store) -> list[bytes]:
    """Submitted, sent and released; what was sent."""
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
        assert [store._core.counters[name] for name in ("submitted", "sent", "uncertain", "taken_by_peers")] == [1, 1, 0, 0]
        proxy.cut(0, when)
        store.let_go()
    assert at > 3
    assert replay(LOGOFF, io.BytesIO(b"".join(read(remote.where)))) is None


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_batch_that_was_kept_is_not_decided_again(opened: Callable[..., Store], proxy: Proxy, when: When) -> None:
    store = opened()
    proxy.cut(1, when)
    futures = [store._core.submit(b"%d" % n, "", ()) for n in range(5)]
    ids = sorted({future.result(60) for future in futures})
    assert [message.id for message in store.messages()] == ids
    agree(store)


@pytest.mark.parametrize("when", ["before", "after"])
def test_when_it_stays_away_it_is_said_that_nobody_knows(opened: Callable[..., Store], remote: Place, proxy: Proxy, when: When) -> None:
    store = opened(patience=0.3)
    proxy.cut(1, when, away=True)
    with pytest.raises(StorageError, match="is not back: it may have kept it") as caught:
        store.submit(b"one")
    assert (caught.value.busy, caught.value.certain) == (True, False)
    assert "\n" not in str(caught.value)
    assert store.session.ready == 0
    proxy.away = False
    store.let_go()
    assert opened().session.ready == (1 if when == "after" else 0), "it is found again when the store is opened"
