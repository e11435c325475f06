"""The cache of submitted messages is never out of date, and never too large."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from fsm.store.message import Message, new_id
from fsm.store.sql.cache import CACHE_SIZE
from fsm.store.sql.schema import MESSAGES
from tests.store.conftest import Place
from tests.store.contract.test_storage import A, do, submitted


def test_what_a_peer_deferred_and_left_is_claimed_as_it_is_now(every_database: Place) -> None:
    one, two = every_database.new(), every_database.new()
    one.open()
    two.open()
    do(one, "submit", A)
    assert [message.id for message in do(two, "take", 1)] == [A.id]
    do(two, "deferred", A.id, 5.0, "half done", recipients=["q@z"])
    two.close()
    assert do(one, "adopt").deferred == ((A.id, 5.0),)
    assert do(one, "ready", [A.id]) == [A.id]
    assert do(one, "claim", [A.id]) == [replace(A, state="claimed", attempts=2, reason="half done", recipients=("q@z",))]


@pytest.mark.parametrize("end", ["failed", "held"])
def test_what_a_peer_put_aside_is_claimed_as_it_is_now(every_database: Place, end: str) -> None:
    one, two = every_database.new(), every_database.new()
    one.open()
    two.open()
    do(one, "submit", A)
    do(two, "take", 1)
    if end == "failed":
        do(two, "failed", A.id, "half done", reported=False, recipients=["q@z"])
    else:
        do(two, "held", A.id, "half done")
    assert do(one, "resume", A.id)
    later = replace(A, state="claimed", attempts=2, reason="half done")
    assert do(one, "claim", [A.id]) == [replace(later, recipients=("q@z",)) if end == "failed" else replace(later, uncertain=1)]


def test_messages_that_peers_took_free_their_space(file: Place) -> None:
    one, two = file.new(), file.new()
    one.open()
    two.open()
    ids = submitted(one, 10)
    assert sorted(one._opened.cache._messages) == ids
    do(two, "take", 7)
    do(one, "share")
    assert sorted(one._opened.cache._messages) == ids[7:]
    do(one, "claim", ids[7:])
    assert one._opened.cache._messages == {}
    assert one._opened.cache.free == CACHE_SIZE


def test_a_message_without_space_is_read(file: Place) -> None:
    storage = file.new(cache_size=5000)
    storage.open()
    made = [Message(new_id(), b"x" * size) for size in (3000, 3000, 10)]
    with storage.transaction() as tx:
        for message in made:
            tx.submit(message)
    assert len(storage._opened.cache._messages) == 1
    assert [one.content for one in do(storage, "claim", [one.id for one in made])] == [one.content for one in made]


def test_a_row_that_was_changed_by_others_is_not_claimed_from_the_cache(database: Place) -> None:
    storage = database.new()
    storage.open()
    do(storage, "submit", A)
    with storage._opened.engine.begin() as connection:
        connection.execute(sa.update(MESSAGES).values(attempts=1, reason="451 later"))
    assert do(storage, "claim", [A.id]) == []
    assert do(storage, "claim", [A.id]) == [replace(A, state="claimed", attempts=2, reason="451 later")]
