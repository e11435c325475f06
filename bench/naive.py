"""The server that `fsm serve` is raced against: the same aiosmtpd and aiosmtplib over a plain sqlite3 queue.

It makes the same durable commits (a message is in the queue before its 250, claimed before it is sent, gone after) and
does nothing else: no session, no journal, no peers, no plan, no limits.  Run: python -m bench.naive FOLDER PORT CONNECTIONS
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys

import aiosmtplib
from aiosmtpd.smtp import SMTP, Envelope, Session

SCHEMA = "CREATE TABLE queue (id INTEGER PRIMARY KEY, state TEXT, sender TEXT, recipient TEXT, content BLOB)"


class Queue:
    """A table with a state; each call is one commit."""

    def __init__(self, path: str) -> None:
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("PRAGMA synchronous=FULL")
        self.database.execute(SCHEMA)
        self.waiting = asyncio.Semaphore(0)

    def put(self, sender: str, recipient: str, content: bytes) -> None:
        self.database.execute("INSERT INTO queue VALUES (NULL, 'ready', ?, ?, ?)", (sender, recipient, content))
        self.waiting.release()

    async def claim(self) -> tuple[int, str, str, bytes]:
        await self.waiting.acquire()
        (found,) = self.database.execute(
            "UPDATE queue SET state = 'claimed' WHERE id = (SELECT id FROM queue WHERE state = 'ready' ORDER BY id LIMIT 1) "
            "RETURNING id, sender, recipient, content"
        ).fetchall()
        return found  # type: ignore[no-any-return]

    def gone(self, id: int) -> None:
        self.database.execute("DELETE FROM queue WHERE id = ?", (id,))


class Handler:
    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.queue.put(envelope.mail_from or "", envelope.rcpt_tos[0], envelope.content)
        return "250 OK"


async def deliver(queue: Queue, port: int) -> None:
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port)
    await client.connect()
    while True:
        id, sender, recipient, content = await queue.claim()
        await client.sendmail(sender, [recipient], content)
        queue.gone(id)


async def main(folder: str, port: int, connections: int) -> None:
    queue = Queue(f"{folder}/queue.db")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(queue), data_size_limit=50_000_000, loop=loop), "127.0.0.1", 0)
    tasks = [asyncio.create_task(deliver(queue, port)) for _ in range(connections)]
    host, number = server.sockets[0].getsockname()
    print(f"ready submission={host}:{number}", flush=True)
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
