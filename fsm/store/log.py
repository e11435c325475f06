"""The fields of log records that name a store and a message: `record.store` and `record.message_id`."""

from __future__ import annotations

__all__ = ["about"]


def about(store: object, message: str | None = None) -> dict[str, object]:
    """Return the `extra` of a record: the name of the store or of its storage, and the message's id if it is of one."""
    return {"store": str(store), "message_id": message}
