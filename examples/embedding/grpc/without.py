"""The same with a queue in memory."""

import asyncio
import sys

import grpc.aio
from remote import send_async


async def main() -> None:
    queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            await send_async(await queue.get())

    async def submit(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await queue.put(request)
        return b"ok"

    server = grpc.aio.server()
    server.add_registered_method_handlers("Mail", {"Submit": grpc.unary_unary_rpc_method_handler(submit)})
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(deliver())
        await server.wait_for_termination()


asyncio.run(main())
