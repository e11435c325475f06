"""Deleting what was put aside long ago: what is held, and what failed and has no sender who could be told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from fsm.logoff.flags import MapiError
from fsm.mail.logs import tell
from fsm.mail.mailboxes import Mailboxes
from fsm.mail.parameters import address_of, addresses
from fsm.store.aio import AsyncStore
from fsm.store.errors import StorageError
from fsm.store.log import about

__all__ = ["expire", "keep_expiring"]

log: Final = logging.getLogger("fsm.mail")
EVERY: Final = 3600.0


async def expire(store: AsyncStore, seconds: float) -> int:
    """Delete what is put aside and was submitted more than so many seconds ago; return how many.  StorageError."""
    count = 0
    for message in await store.messages("held", "failed"):
        if time.time() - message.submitted > seconds:
            try:
                await store.withdraw(message.id)
            except MapiError:
                continue  # somebody has decided meanwhile
            count += 1
            tell("expired", store.name, message.id, sender=f"<{address_of(message.sender)}>",
                 recipients=addresses(message.recipients), reason=message.reason or "")  # fmt: skip
    if count:
        log.warning("%d messages that had been put aside were deleted after %g days", count, seconds / 86400,
                    extra=about(store.name))  # fmt: skip
    return count


async def keep_expiring(mailboxes: Mailboxes, seconds: Callable[[], float]) -> None:
    """Do so in all mailboxes, now and every hour, until it is cancelled.  `seconds` may change; 0 is never."""
    while True:
        for one in mailboxes if (most := seconds()) else ():
            try:
                await expire(one.store, most)
            except StorageError as error:
                log.warning("cannot delete what was put aside long ago: %s", error, extra=about(one.store.name))
        await asyncio.sleep(EVERY)
