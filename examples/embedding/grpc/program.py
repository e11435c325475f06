"""gRPC in asyncio.  A call that is answered is a message that will be passed on."""

import asyncio
import sys
from contextlib import suppress

import grpc.aio
from remote import send_async

from fsm.store import AsyncStore, Database, Retry, StoreClosing, on_signals


async def deliver(store: AsyncStore) -> None:
    async for item in store.outgoing():
        with suppress(OSError):  # an error defers the message
            async with item:
                await send_async(item.message.content)


async def main() -> int:
    store = AsyncStore(Database("mail.db"), retry=Retry(first=1))
    async def submit(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        try:
            return (await store.submit(request)).encode()
        except StoreClosing as closing:
            return await context.abort(grpc.StatusCode.UNAVAILABLE, str(closing))

    server = grpc.aio.server()
    server.add_registered_method_handlers("Mail", {"Submit": grpc.unary_unary_rpc_method_handler(submit)})
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    with on_signals(store, "ORDERLY 1s -> cancel 5s") as ladder:
        await server.start()
        workers = [asyncio.create_task(deliver(store)) for _ in range(2)]
        outcome = await ladder.outcome()
        await asyncio.wait([*workers, asyncio.create_task(server.stop(1))])
    store.let_go()
    return 0 if outcome else 1


sys.exit(asyncio.run(main()))
