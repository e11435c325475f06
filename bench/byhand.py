"""The store's limit: programs by hand that make the same changes of rows in the same batches, and nothing else.

A message and its content are two rows; it is inserted, claimed by the oldest id, and deleted; each commit writes one
compressed row of a journal.  All that waits is one batch; its answers are given after the commit.  There is no session,
nothing is decided, nobody else is looked after.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import zlib
from collections import deque
from collections.abc import Sequence
from itertools import count
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Protocol

import psycopg

SCHEMA = """
CREATE TABLE messages (id text PRIMARY KEY, store int NOT NULL, part int, state text NOT NULL, process int,
  due double precision, attempts int NOT NULL, uncertain int NOT NULL, reason text, submitted double precision NOT NULL,
  sender text NOT NULL, recipients text NOT NULL);
CREATE TABLE contents (id text PRIMARY KEY, content {blob} NOT NULL);
CREATE TABLE journal (number {serial}, size int NOT NULL, lines {blob} NOT NULL);
CREATE INDEX ready ON messages (part, id) WHERE state = 'ready';
CREATE INDEX claimed ON messages (process) WHERE state = 'claimed'
"""
NEW = "id, store, part, state, process, attempts, uncertain, submitted, sender, recipients"
TYPES = "text, int, int, text, int, int, int, float8, text, text"
BATCH = 1024
Row = tuple[str, int, int, str, int | None, int, int, float, str, str]
Future = asyncio.Future[Any]


class Rows(Protocol):
    """A database: each call is within one transaction."""

    def begin(self) -> None: ...
    def insert(self, rows: Sequence[Row], contents: Sequence[tuple[str, bytes]]) -> None: ...
    def claim(self, limit: int) -> list[tuple[str, bytes]]: ...
    def delete(self, ids: Sequence[str]) -> None: ...
    def commit(self, lines: Sequence[str]) -> None: ...
    def close(self) -> None: ...


class Sqlite:
    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + SCHEMA.format(blob="blob", serial="integer primary key")
        )

    def begin(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def insert(self, rows: Sequence[Row], contents: Sequence[tuple[str, bytes]]) -> None:
        marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"] * len(rows))
        self._database.execute(f"INSERT INTO messages ({NEW}) VALUES {marks}", [one for row in rows for one in row])
        marks = ", ".join(["(?, ?)"] * len(rows))
        self._database.execute(f"INSERT INTO contents VALUES {marks}", [one for row in contents for one in row])

    def claim(self, limit: int) -> list[tuple[str, bytes]]:
        found = self._database.execute(
            "UPDATE messages SET state = 'claimed', process = 1, attempts = attempts + 1 WHERE id IN (SELECT id FROM"
            " messages WHERE part = 1 AND state = 'ready' ORDER BY id LIMIT ?) RETURNING id", (limit,)
        ).fetchall()  # fmt: skip
        ids = json.dumps([id for (id,) in found])
        return sorted(self._database.execute(
            "SELECT id, content FROM contents WHERE id IN (SELECT value FROM json_each(?))", (ids,)
        ))  # fmt: skip

    def delete(self, ids: Sequence[str]) -> None:
        for table in ("contents", "messages"):
            statement = f"DELETE FROM {table} WHERE id IN (SELECT value FROM json_each(?))"
            self._database.execute(statement, (json.dumps(ids),))

    def commit(self, lines: Sequence[str]) -> None:
        text = zlib.compress("\n".join(lines).encode(), 1)
        self._database.execute("INSERT INTO journal (size, lines) VALUES (?, ?)", (len(text), text))
        self._database.execute("COMMIT")

    def close(self) -> None:
        self._database.close()


class Postgresql:
    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True, prepare_threshold=2)
        serial = "bigint generated always as identity primary key"
        self._connection.execute(SCHEMA.format(blob="bytea", serial=serial).encode())
        self._cursor = self._connection.cursor(binary=True)

    def begin(self) -> None:
        self._pipeline = self._connection.pipeline()
        self._pipeline.__enter__()
        self._cursor.execute("BEGIN")

    def insert(self, rows: Sequence[Row], contents: Sequence[tuple[str, bytes]]) -> None:
        lists = ", ".join(f"%s::{one}[]" for one in TYPES.split(", "))
        statement = f"INSERT INTO messages ({NEW}) SELECT * FROM unnest({lists})".encode()
        self._cursor.execute(statement, [list(column) for column in zip(*rows, strict=True)])
        statement = b"INSERT INTO contents SELECT * FROM unnest(%s::text[], %s::bytea[])"
        self._cursor.execute(statement, [list(column) for column in zip(*contents, strict=True)])

    def claim(self, limit: int) -> list[tuple[str, bytes]]:
        cursor = self._connection.cursor(binary=True)
        cursor.execute(
            "UPDATE messages m SET state = 'claimed', process = 1, attempts = m.attempts + 1 FROM contents c"
            " WHERE c.id = m.id AND m.id = ANY(ARRAY(SELECT id FROM messages WHERE part = 1 AND state = 'ready'"
            " ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)) RETURNING m.id, c.content", (limit,)
        )  # fmt: skip
        return sorted(cursor.fetchall())

    def delete(self, ids: Sequence[str]) -> None:
        self._cursor.execute(
            "WITH gone AS (DELETE FROM messages WHERE id = ANY(%s) RETURNING id)"
            " DELETE FROM contents c USING gone WHERE c.id = gone.id", (list(ids),)
        )  # fmt: skip

    def commit(self, lines: Sequence[str]) -> None:
        text = zlib.compress("\n".join(lines).encode(), 1)
        self._cursor.execute("INSERT INTO journal (size, lines) VALUES (%s, %s)", (len(text), text))
        self._cursor.execute("COMMIT")
        self._pipeline.__exit__(None, None, None)

    def close(self) -> None:
        self._connection.close()


class ByHand:
    """A queue on such a database: `submit`, and `take` for the next message, which also says what was sent before."""

    def __init__(self, rows: Rows) -> None:
        self._rows, self._loop = rows, asyncio.get_running_loop()
        self._asked: SimpleQueue[tuple[bytes | None, str | None, Future] | None] = SimpleQueue()
        self._numbers = count()
        self._thread = Thread(target=self._serve)
        self._thread.start()

    async def submit(self, content: bytes) -> str:
        future: Future = self._loop.create_future()
        self._asked.put((content, None, future))
        return str(await future)

    async def take(self, sent: str | None) -> tuple[str, bytes]:
        future: Future = self._loop.create_future()
        self._asked.put((None, sent, future))
        return await future  # type: ignore[no-any-return]

    def close(self) -> None:
        self._asked.put(None)
        self._thread.join()
        self._rows.close()

    def _serve(self) -> None:
        waiting: deque[Future] = deque()
        while (asked := self._asked.get()) is not None:
            batch = [asked]
            try:
                while len(batch) < BATCH:
                    if (asked := self._asked.get_nowait()) is None:
                        return
                    batch.append(asked)
            except Empty:
                pass
            self._loop.call_soon_threadsafe(_answer, self._batch(batch, waiting))

    def _batch(self, batch: list[tuple[bytes | None, str | None, Future]], waiting: deque[Future]) -> list[tuple[Future, Any]]:
        rows: list[Row] = []
        contents: list[tuple[str, bytes]] = []
        gone: list[str] = []
        answers: list[tuple[Future, Any]] = []
        lines: list[str] = []
        for content, sent, future in batch:
            if content is not None:
                id = f"{next(self._numbers):020}"
                rows.append((id, 1, 1, "ready", None, 0, 0, 0.0, '""', "[]"))
                contents.append((id, content))
                answers.append((future, id))
                lines.append(f'{{"event":"submit","message":"{id}"}}')
                continue
            waiting.append(future)
            if sent is not None:
                gone.append(sent)
                lines.append(f'{{"event":"outbound_sent","message":"{sent}"}}')
        self._rows.begin()
        if rows:
            self._rows.insert(rows, contents)
        if gone:
            self._rows.delete(gone)
        if waiting:
            for message in self._rows.claim(len(waiting)):
                answers.append((waiting.popleft(), message))
                lines.append(f'{{"event":"outbound_begin","message":"{message[0]}"}}')
        self._rows.commit(lines)
        return answers


def _answer(answers: list[tuple[Future, Any]]) -> None:
    for future, value in answers:
        if not future.done():
            future.set_result(value)
