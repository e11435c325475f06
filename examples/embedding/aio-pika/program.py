"""A consumer of RabbitMQ with aio-pika.  A message is acknowledged once it was passed on."""

import asyncio
import os
import sys
from contextlib import suppress

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from remote import send_async

from fsm.store import AsyncStore, Stopped, StoreClosing, on_signals


async def main() -> int:
    async def take(message: AbstractIncomingMessage) -> None:
        with suppress(OSError, Stopped, StoreClosing):  # it goes back; after StoreClosing when the connection is closed
            async with store.inbound(what=message.body.decode()), message.process(requeue=True):
                await send_async(message.body)

    async with AsyncStore() as store, await aio_pika.connect(os.environ["RABBITMQ"]) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=2)
        queue = await channel.declare_queue("orders", durable=True)
        with on_signals(store, "ORDERLY 1s -> cancel 5s") as ladder:
            await queue.consume(take)
            outcome = await ladder.outcome()
    return 0 if outcome else 1


sys.exit(asyncio.run(main()))
