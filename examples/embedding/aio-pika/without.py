"""The same without fsm."""

import asyncio
import os

import aio_pika
from remote import send_async


async def main() -> None:
    async with await aio_pika.connect(os.environ["RABBITMQ"]) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=2)
        queue = await channel.declare_queue("orders", durable=True)
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process(requeue=True):
                    await send_async(message.body)


asyncio.run(main())
