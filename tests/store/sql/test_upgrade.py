"""A database of an older version is upgraded when it is opened: no message is lost, and none is in another state than it was."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from fsm.store import StorageError, Store
from fsm.store.sql.connect import engine_for, url_for
from tests.store.conftest import Place

TABLES = """
CREATE TABLE fsm_about (version INTEGER NOT NULL PRIMARY KEY);
INSERT INTO fsm_about VALUES (1);
CREATE TABLE fsm_stores (number {serial}, store VARCHAR NOT NULL, profile VARCHAR NOT NULL, UNIQUE (store, profile));
CREATE TABLE fsm_holders (id VARCHAR NOT NULL PRIMARY KEY, store INTEGER NOT NULL REFERENCES fsm_stores (number), host VARCHAR NOT NULL,
 boot VARCHAR NOT NULL, pid INTEGER NOT NULL, started VARCHAR NOT NULL, opened FLOAT NOT NULL, lease_until FLOAT NOT NULL,
 "left" BOOLEAN DEFAULT false NOT NULL, bell VARCHAR DEFAULT '' NOT NULL);
CREATE TABLE fsm_messages (id VARCHAR NOT NULL PRIMARY KEY, store INTEGER NOT NULL REFERENCES fsm_stores (number), state VARCHAR NOT NULL,
 owner VARCHAR, due FLOAT, attempts INTEGER NOT NULL, uncertain INTEGER NOT NULL, reason VARCHAR, submitted FLOAT NOT NULL,
 sender VARCHAR NOT NULL, recipients VARCHAR NOT NULL);
CREATE INDEX fsm_messages_by_state ON fsm_messages (store, state, id);
CREATE TABLE fsm_contents (id VARCHAR NOT NULL PRIMARY KEY REFERENCES fsm_messages (id) ON DELETE CASCADE, content {blob} NOT NULL);
CREATE TABLE fsm_journal (number {serial}, session VARCHAR NOT NULL, entry VARCHAR NOT NULL);
CREATE TABLE fsm_journal_charts (number {serial}, session VARCHAR NOT NULL, header VARCHAR NOT NULL);
INSERT INTO fsm_stores (store, profile) VALUES ('default', 'default');
INSERT INTO fsm_holders VALUES ('dead', 1, 'h', 'b', 1, '1', 1.0, {lease}, false, '');
INSERT INTO fsm_journal (session, entry) VALUES ('dead', '{{}}')
"""
STATES = ("ready", "claimed", "deferred", "held", "failed")


def version_1(place: Place, lease: float = 2.0) -> list[str]:
    engine = engine_for(url_for(place.where), 5.0)
    serial = {"sqlite": "INTEGER PRIMARY KEY", "postgresql": "SERIAL PRIMARY KEY"}[place.kind]
    blob = {"sqlite": "BLOB", "postgresql": "BYTEA"}[place.kind]
    ids = [f"{n:020x}" for n in range(len(STATES))]
    with engine.begin() as connection:
        for statement in TABLES.format(serial=serial, blob=blob, lease=lease).split(";\n"):
            connection.execute(sa.text(statement))
        for id, state in zip(ids, STATES, strict=True):
            row = {"id": id, "state": state, "due": 9e9 if state == "deferred" else None, "content": id.encode()}
            connection.execute(sa.text("INSERT INTO fsm_messages VALUES (:id, 1, :state, 'dead', :due, 3, 1, 'why', 12.5, '\"s\"', '[\"r\"]')"), row)
            connection.execute(sa.text("INSERT INTO fsm_contents VALUES (:id, :content)"), row)
    engine.dispose()
    return ids


def test_every_message_is_there_in_its_state(database: Place) -> None:
    ids = version_1(database)
    with Store(database.new()) as store:
        found = {message.id: message for message in store.messages()}
        assert [found[id].state for id in ids] == ["ready", "ready", "deferred", "held", "failed"]
        assert [found[id].uncertain for id in ids] == [1, 2, 1, 1, 1]
        assert {(m.attempts, m.submitted, m.sender, m.recipients) for m in found.values()} == {(3, 12.5, "s", ("r",))}
        assert (store.session.ready, store.session.deferred, store.progress_now().held) == (2, 1, 2)
        assert store.counters["lapsed"] == 1
        assert [store.message(id).content for id in ids] == [id.encode() for id in ids]  # type: ignore[union-attr]
        store.close("ORDERLY 0s")
    with Store(database.new()) as store:
        assert len(store.messages()) == 5
        store.close("ORDERLY 0s")


def version_2(place: Place) -> str:
    with Store(place.new()) as store:
        id = store.submit(b"content", "s", ("r",))
        store.hold(id)
    engine = engine_for(url_for(place.where), 5.0)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE fsm_messages DROP COLUMN headers"))
        connection.execute(sa.text("DROP INDEX fsm_messages_ready"))
        connection.execute(sa.text("CREATE INDEX fsm_messages_ready ON fsm_messages (part, id) WHERE state = 'ready'"))
        connection.execute(sa.text("UPDATE fsm_about SET version = 2"))
    engine.dispose()
    return id


def test_messages_of_before_there_were_headers_have_none(database: Place) -> None:
    id = version_2(database)
    with pytest.raises(StorageError, match=r"has version 2, .*; it is upgraded when a store in it is opened"):
        database.new().messages()
    with Store(database.new()) as store:
        (before,) = store.messages()
        assert (before.id, before.state, before.recipients, before.headers) == (id, "held", ("r",), {})
        store.hold(store.submit(b"x", headers={"a": "b"}))
    assert [one.headers for one in database.new().messages()] == [{}, {"a": "b"}], "and is upgraded once"
    engine = engine_for(url_for(database.where), 5.0)
    columns = {index["name"]: index["column_names"] for index in sa.inspect(engine).get_indexes("fsm_messages")}
    engine.dispose()
    assert (columns["fsm_messages_ready"], columns["fsm_messages_deferred"]) == (["part", "id", "state"], ["part", "due", "state"])


def test_a_database_that_an_older_program_has_open_is_refused(database: Place) -> None:
    version_1(database, lease=9e9)
    with pytest.raises(StorageError, match="is open in a program of an older release; close that first") as caught:
        Store(database.new())
    assert caught.value.busy
