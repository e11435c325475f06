"""The journal in the database: written in the transactions that it records, and read as the lines of a journal."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fsm.journal.reader import header, records, replay, start
from fsm.logoff import LOGOFF, StoreSession
from fsm.store import Spooler, Store
from fsm.store.errors import StorageError
from fsm.store.sql import JournalFollower, read_journal
from fsm.store.sql.journal import Keep
from fsm.store.sql.schema import CHARTS, JOURNAL, PROCESSES
from tests.store.conftest import Place

HEADER = json.dumps(header(LOGOFF))
WALK = ("submit", "outbound_begin", "outbound_sent", "inbound_begin", "inbound_received", "logoff_orderly")


class RecordedSession:
    """A session that is recorded as a store records its own."""

    def __init__(self, name: str) -> None:
        self.name, self.session, self.seq = name, StoreSession(), 0

    def begin(self, tx: Any) -> None:
        tx.record(HEADER, [json.dumps(start(LOGOFF, self.name, self.session.configuration))])

    def fire(self, tx: Any, event: str, **more: object) -> None:
        self.session.fire(event)
        self.seq += 1
        tx.record(HEADER, [json.dumps({"session": self.name, "seq": self.seq, "event": event, **more})])


def opened(place: Place, **options: Any) -> Any:
    storage = place.new(**options)
    storage.open()
    return storage


def recorded(place: Place, *names: str) -> None:
    storages = {name: opened(place) for name in names}
    recorded_sessions = {name: RecordedSession(name) for name in names}
    for name, storage in storages.items():
        with storage.transaction() as tx:
            recorded_sessions[name].begin(tx)
    for event in WALK:
        for name, storage in storages.items():
            with storage.transaction() as tx:
                recorded_sessions[name].fire(tx, event, message="a1", reason_text="é")
    for storage in storages.values():
        storage.close()


def test_what_is_read_is_a_journal_that_replays(database: Place) -> None:
    recorded(database, "a", "b")
    lines = list(read_journal(database.where))
    assert json.loads(lines[0]) == header(LOGOFF)
    assert len(lines) == 1 + 2 + 2 * len(WALK)
    assert replay(LOGOFF, io.BytesIO(b"".join(lines))) is None
    events = [(one.session, one.event) for one in records(LOGOFF, io.BytesIO(b"".join(lines)))]
    for name in "ab":
        assert [event for session, event in events if session == name] == ["", *WALK]
    assert json.loads(lines[-1])["message"] == "a1"


def test_what_a_failed_transaction_recorded_is_not_there(place: Place) -> None:
    storage, session = opened(place), RecordedSession("a")
    with storage.transaction() as tx:
        session.begin(tx)
    with pytest.raises(KeyError), storage.transaction() as tx:  # noqa: PT012 - left by an error
        session.fire(tx, "submit")
        raise KeyError
    if place.kind == "memory":
        assert [json.loads(line).get("event") for line in storage.journal] == [None]
    else:
        assert len(list(read_journal(place.where))) == 2


def test_nothing_recorded_reads_as_nothing(database: Place) -> None:
    opened(database)
    assert list(read_journal(database.where)) == []


def test_reading_makes_no_file_and_no_holder(database: Place, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        list(read_journal(tmp_path / "none.db"))
    assert not (tmp_path / "none.db").exists()
    storage = opened(database)
    with storage.transaction() as tx:
        RecordedSession("a").begin(tx)
    with storage.transaction() as tx:
        tx.record(HEADER, [json.dumps({"session": "a", "event": "submit"})])
        tx.finish()
        assert len(list(read_journal(database.where))) == 2, "only what is committed, while another transaction writes"
    with storage._opened.engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(PROCESSES)) == 1


def test_reading_changes_nothing_also_where_it_could(database: Place) -> None:
    from fsm.store.sql.connect import engine_for, url_for

    recorded(database, "a")
    engine = engine_for(url_for(database.where), 1, reading=True)
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError):
        connection.execute(sa.delete(JOURNAL))
    engine.dispose()
    assert len(list(read_journal(database.where))) == 2 + len(WALK)


def test_a_database_without_a_store(database: Place, tmp_path: Path) -> None:
    where = database.where
    if database.kind == "sqlite":
        Path(where).touch()
    with pytest.raises(StorageError, match="contains no store"):
        list(read_journal(where))
    with pytest.raises(StorageError, match="contains no store"):
        JournalFollower(where)


def test_only_the_sessions_of_the_newest_chart_are_read(database: Place) -> None:
    recorded(database, "old")
    storage = opened(database)
    with storage._opened.engine.begin() as connection:
        connection.execute(sa.update(CHARTS).values(header='{"journal": 1}'))
    storage.close()
    recorded(database, "new")
    lines = list(read_journal(database.where))
    assert {json.loads(line)["session"] for line in lines[1:]} == {"new"}
    assert replay(LOGOFF, io.BytesIO(b"".join(lines))) is None


# ------------------------------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize("keep", [Keep(commits=40), Keep(bytes=4000), Keep(seconds=1e-9)], ids=["commits", "bytes", "age"])
def test_what_is_kept_is_limited_and_can_be_replayed_for_every_session(database: Place, keep: Keep) -> None:
    """Also for sessions that began long ago; and what is kept is the end of what happened."""
    with Spooler(database.new(journal=keep)) as spooler:
        stores = spooler.open_many(("a", "b"))
        for n in range(150):
            stores[n % 2].withdraw(stores[n % 2].submit(b"x"))
        lines = list(read_journal(database.where))
        with database.made[0]._opened.engine.connect() as connection:
            rows = connection.execute(sa.select(JOURNAL.c.number, JOURNAL.c.size)).all()
    if keep.commits < 1e9:
        assert 40 * 14 / 16 <= len(rows) <= 40
    elif keep.bytes < 64e6:
        assert 4000 * 13 / 16 <= sum(row.size for row in rows) <= 4000 * 17 / 16
    else:
        assert len(rows) <= 2
    if keep.seconds > 1:
        assert replay(LOGOFF, io.BytesIO(b"".join(lines))) is None
        assert {json.loads(line)["session"] for line in lines[1:]} == {store.holder for store in stores}


def test_opening_a_store_deletes_nothing_of_another_living_one(database: Place) -> None:
    with Store(database.new(store="long")) as store:
        store.submit(b"x")
        for n in range(5):
            with Store(database.new(store=f"short {n}")) as short:
                short.submit(b"y")
                short.close("ORDERLY 0s")
        sessions = {json.loads(line).get("session") for line in read_journal(database.where)}
        assert store.holder in sessions
        store.close("ORDERLY 0s")


@pytest.mark.parametrize("wrong", [{"seconds": 0.0}, {"bytes": -1.0}, {"commits": 0.0}])
def test_a_journal_keeps_something(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a journal keeps something"):
        Keep(**wrong)


def test_following_gives_what_came_since_and_nothing_twice(database: Place) -> None:
    storage = opened(database)
    follower, session = JournalFollower(database.where), RecordedSession("a")
    assert follower.more() == []
    with storage.transaction() as tx:
        session.begin(tx)
    assert len(follower.more()) == 2
    assert follower.more() == []
    for event in WALK:
        with storage.transaction() as tx:
            session.fire(tx, event)
        (line,) = follower.more()
        assert json.loads(line)["event"] == event
    with storage.transaction() as tx:
        tx.record(HEADER, [json.dumps({"session": "a", "event": "submit"}) for _ in range(2500)])
    assert len(follower.more()) == 2500
    assert follower.more() == []
    follower.close()


def test_following_misses_nothing_that_was_committed_in_another_order(remote: Place) -> None:
    """A server gives out numbers before transactions end."""
    a, b = opened(remote), opened(remote)
    with b.transaction() as tx:
        RecordedSession("b").begin(tx)
    follower = JournalFollower(remote.where)
    assert len(follower.more()) == 2
    with a.transaction() as tx:
        RecordedSession("a").begin(tx)
        tx.finish()
        tx._lines.clear()
        with b.transaction() as tx2:
            tx2.record(HEADER, [json.dumps({"session": "b", "event": "submit"})])
        assert [json.loads(line)["session"] for line in follower.more()] == ["b"]
    assert [json.loads(line)["session"] for line in follower.more()] == ["a"]
    follower.close()
