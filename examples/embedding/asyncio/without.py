"""The same with a queue in memory."""

import asyncio
import os

from remote import send_async


async def main() -> None:
    queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            await send_async(await queue.get())

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            await queue.put(line.strip())
            writer.write(b"ok\n")
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", int(os.environ["PORT"]))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(deliver())
        await server.serve_forever()


asyncio.run(main())
