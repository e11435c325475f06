"""The same with a queue in memory."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from remote import send_async

queue: asyncio.Queue[bytes] = asyncio.Queue()


async def deliver() -> None:
    while True:
        await send_async(await queue.get())


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    tasks = [asyncio.create_task(deliver()) for _ in range(2)]
    yield
    for task in tasks:
        task.cancel()


app = FastAPI(lifespan=lifespan)


@app.post("/mail")
async def take(request: Request) -> str:
    await queue.put(await request.body())
    return "ok"
