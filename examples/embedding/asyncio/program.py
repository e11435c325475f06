"""A consumer in asyncio.  Each line of a connection is a message; `ok` says that it will be passed on."""

import asyncio
import os
import sys
from contextlib import suppress

from remote import send_async

from fsm.store import AsyncStore, Database, Retry, StoreClosing, on_signals


async def deliver(store: AsyncStore) -> None:
    async for item in store.outgoing():
        with suppress(OSError):  # an error defers the message
            async with item:
                await send_async(item.message.content)


async def main() -> int:
    store = AsyncStore(Database("mail.db"), retry=Retry(first=1))

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            try:
                await store.submit(line.strip())
                writer.write(b"ok\n")
            except StoreClosing as closing:
                writer.write(f"{closing}\n".encode())

    with on_signals(store, "ORDERLY 1s -> cancel 5s") as ladder:
        await asyncio.start_server(take, "127.0.0.1", int(os.environ["PORT"]))
        workers = [asyncio.create_task(deliver(store)) for _ in range(2)]
        outcome = await ladder.outcome()
        await asyncio.wait(workers)
    store.let_go()
    return 0 if outcome else 1


sys.exit(asyncio.run(main()))
