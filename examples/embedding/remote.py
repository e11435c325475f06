"""The other side: a server that takes a message per connection, and sometimes never answers.  The test starts it."""

import asyncio
import os
import socket
from collections.abc import Callable


def send(content: bytes, on_cancel: Callable[[Callable[[str], object]], None] = lambda callback: None) -> None:
    """Send one message and wait for the answer, or until whoever was given the callback calls it."""
    with socket.create_connection(("127.0.0.1", int(os.environ["REMOTE"]))) as connection:
        on_cancel(lambda reason: connection.shutdown(socket.SHUT_RDWR))
        connection.sendall(content + b"\n")
        if connection.recv(100) != b"ok\n":
            raise ConnectionError("the other side has not answered")


async def send_async(content: bytes) -> None:
    """Do the same in asyncio, where the task is cancelled."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ["REMOTE"]))
    try:
        writer.write(content + b"\n")
        if await reader.readline() != b"ok\n":
            raise ConnectionError("the other side has not answered")
    finally:
        writer.close()
