"""A FastAPI application that takes mail and passes it on.  Start it with: uvicorn program:app"""

from contextlib import suppress

from fastapi import FastAPI, Request
from remote import send_async

from fsm.contrib.asgi import serving
from fsm.store import AsyncStore, Database, Retry


async def open_store() -> AsyncStore:
    return AsyncStore(Database("mail.db"), retry=Retry(first=1))


async def deliver(store: AsyncStore) -> None:
    async for item in store.outgoing():
        with suppress(OSError):  # an error defers the message
            async with item:
                await send_async(item.message.content)


mail = serving(open_store, "ORDERLY 1s -> cancel 5s", workers=[deliver, deliver])
app = FastAPI(lifespan=mail)
app.add_middleware(mail.middleware)


@app.post("/mail")
async def take(request: Request) -> str:
    return await mail.store.submit(await request.body())
