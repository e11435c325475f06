"""The queue of a store, message by message, as `fsm queue` and the control socket show it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from fsm.mail.parameters import address_of
from fsm.mail.received import header_of

if TYPE_CHECKING:
    from fsm.store.aio import AsyncStore
    from fsm.store.message import Message

__all__ = ["ACTS", "entries", "entry", "entry_with_header", "is_for", "listed"]

ACTS: Final = ("retry", "hold", "resume", "withdraw")
"""What can be done with a message: methods of a store."""
MOST_HEADER: Final = 64 * 1024


def entry(message: Message, now: float, size: int | None = None) -> dict[str, object]:
    """Return a message as a JSON object: times are in seconds, `size` in octets, `next` when it is tried again."""
    return {
        "id": message.id,
        "state": message.state,
        "sender": address_of(message.sender),
        "recipients": [address_of(one) for one in message.recipients],
        "size": len(message.content) if size is None else size,
        "age": round(max(0.0, now - message.submitted), 1),
        "attempts": message.attempts,
        "uncertain": message.uncertain,
        "next": None if message.due is None else round(max(0.0, message.due - now), 1),
        "reason": message.reason,
    }


def entry_with_header(message: Message, now: float) -> dict[str, object]:
    """Return the same with the parameters of DSN, and the header of the message as text."""
    header = header_of(message.content)[:MOST_HEADER].decode("utf-8", "replace")
    kept = {"kept": [message.sender, *message.recipients]}
    return {**entry(message, now), **kept, "header": header.replace("\r\n", "\n")}


def is_for(found: dict[str, object], selector: str) -> bool:
    """Return whether an entry is meant: by its id, by `@` and the domain of a recipient, or by `all`."""
    recipients = found["recipients"]
    assert isinstance(recipients, list)
    if selector.startswith("@"):
        return any(str(one).lower().endswith(selector.lower()) for one in recipients)
    return selector in ("all", found["id"])


def entries(
    messages: Sequence[Message], read: Callable[[str], Message | None], now: float, most: int
) -> dict[str, object]:
    """Return the first so many of these messages, and how many there are.  Reads each, for its size."""
    found = []
    for message in messages[:most]:
        whole = read(message.id)
        if whole is not None:  # it was not sent meanwhile
            found.append(entry(message, now, len(whole.content)))
    return {"messages": found, "count": len(messages)}


async def listed(store: AsyncStore, most: int) -> dict[str, object]:
    """Return the first so many messages of an open store.  StorageError."""
    loop, messages = asyncio.get_running_loop(), await store.messages()

    def read(id: str) -> Message | None:
        return asyncio.run_coroutine_threadsafe(store.message(id), loop).result()

    return await asyncio.to_thread(entries, messages, read, store.clock.time(), most)
