"""The journal in the database: written in the transactions that it records, and read as the lines of a journal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from fsm.journal.reader import entry, header, records, replay, start
from fsm.logoff import LOGOFF, StoreSession
from fsm.store.errors import StorageError
from fsm.store.sql import JournalFollower, read_journal
from fsm.store.sql.journal import trim
from fsm.store.sql.schema import CHARTS, JOURNAL
from fsm.store.storage import Transaction
from tests.store.conftest import Place

WALK = ("submit", "outbound_begin", "outbound_sent", "inbound_begin", "inbound_received", "logoff_orderly")


class RecordedSession:
    """A session that is recorded as a store records its own."""

    def __init__(self, name: str) -> None:
        self.name, self.session, self.seq = name, StoreSession(), 0

    def begin(self, tx: Transaction) -> None:
        tx.begin(self.name, json.dumps(header(LOGOFF)), json.dumps(start(LOGOFF, self.name, self.session.configuration)))

    def fire(self, tx: Transaction, event: str, **more: object) -> None:
        before = self.session.configuration
        self.session.fire(event)
        self.seq += 1
        line = entry(LOGOFF, self.name, self.seq, event, before, self.session.configuration, None) | more
        tx.record(self.name, json.dumps(line))


def recorded(place: Place, *names: str) -> None:
    storages = {name: place.new() for name in names}
    recorded_sessions = {name: RecordedSession(name) for name in names}
    for name, storage in storages.items():
        storage.open()
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
    storage = place.new()
    storage.open()
    session = RecordedSession("a")
    with storage.transaction() as tx:
        session.begin(tx)
    with pytest.raises(KeyError), storage.transaction() as tx:  # noqa: PT012 - left by an error
        session.fire(tx, "submit")
        tx.share()
        raise KeyError
    if place.kind == "memory":
        assert [json.loads(line).get("event") for line in storage.journal] == [None]
    else:
        assert len(list(read_journal(place.where))) == 2


def test_nothing_recorded_reads_as_nothing(database: Place) -> None:
    database.new().open()
    assert list(read_journal(database.where)) == []


def test_reading_makes_no_file_and_no_holder(database: Place, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        list(read_journal(tmp_path / "none.db"))
    assert not (tmp_path / "none.db").exists()
    storage = database.new()
    opening = storage.open()
    with storage.transaction() as tx:
        RecordedSession(opening.holder).begin(tx)
    with storage.transaction() as tx:
        tx.record(opening.holder, json.dumps({"session": opening.holder, "event": "submit"}))
        assert len(list(read_journal(database.where))) == 2, "only what is committed, while another transaction writes"
        assert tx.peers() == ()


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
    recorded(database, "old", "new")
    storage = database.new()
    storage.open()
    with storage._opened.engine.begin() as connection:
        connection.execute(sa.update(CHARTS).where(CHARTS.c.session == "old").values(header='{"journal": 1}'))
    lines = list(read_journal(database.where))
    assert {json.loads(line)["session"] for line in lines[1:]} == {"new"}
    assert replay(LOGOFF, io.BytesIO(b"".join(lines))) is None


@pytest.mark.parametrize(
    ("kept", "living", "left"),
    [
        (100, [], ["a", "b", "c"]), (22, [], ["a", "b", "c"]), (21, [], ["a", "b", "c"]), (20, [], ["b", "c"]),
        (14, [], ["b", "c"]), (13, [], ["c"]), (7, [], ["c"]), (6, ["c"], ["c"]), (13, ["a"], ["a", "c"]), (0, [], []),
    ],
)  # fmt: skip
def test_old_sessions_are_dropped_as_whole_ones_and_the_living_stay(database: Place, kept: int, living: list[str], left: list[str]) -> None:
    for name in "abc":
        recorded(database, name)
    storage = database.new()
    storage.open()
    with storage._opened.engine.begin() as connection:
        trim(connection, living, kept)
    lines = list(read_journal(database.where))
    assert list(dict.fromkeys(json.loads(line)["session"] for line in lines[1:])) == left
    assert len(lines) == bool(left) + 7 * len(left)


def test_following_gives_what_came_since_and_nothing_twice(database: Place) -> None:
    storage = database.new()
    storage.open()
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
        for _ in range(2500):
            tx.record("a", json.dumps({"session": "a", "event": "submit"}))
    assert len(follower.more()) + len(follower.more()) == 2500
    assert follower.more() == []
    follower.close()


def test_following_misses_nothing_that_was_committed_in_another_order(remote: Place) -> None:
    """A server gives out numbers before transactions end."""
    a, b = remote.new(), remote.new()
    a.open()
    b.open()
    with b.transaction() as tx:
        RecordedSession("b").begin(tx)
    follower = JournalFollower(remote.where)
    assert len(follower.more()) == 2
    with a.transaction() as tx:
        RecordedSession("a").begin(tx)
        tx.flush()
        with b.transaction() as tx2:
            tx2.record("b", json.dumps({"session": "b", "event": "submit"}))
        assert [json.loads(line)["session"] for line in follower.more()] == ["b"]
    assert [json.loads(line)["session"] for line in follower.more()] == ["a"]
    follower.close()
