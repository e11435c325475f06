"""How a store stands, as a JSON object: what the control socket answers, and what the status page shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsm.store.aio import AsyncStore

__all__ = ["status_of"]


async def status_of(store: AsyncStore) -> dict[str, object]:
    """Return the state, the counts, what is in the way, what was put aside, and how far the plan is.  StorageError."""
    now = store.progress_now()
    aside = await store.messages("held", "failed") if now.held or store.closed else []
    return {
        "name": store.name,
        "state": now.state,
        "request": now.request.name if now.request is not None else None,
        "flags": [flag.name for flag in now.status],
        "in_service": now.in_service,
        "blockers": [str(blocker) for blocker in now.blockers],
        "counters": dict(now.counters),
        "aside": [str(message) for message in aside],
        "inbound": now.inbound,
        "outbound": now.outbound,
        "ready": now.ready,
        "deferred": now.deferred,
        "peers": now.peers,
        "held": now.held,
        "step": str(now.step) if now.step is not None else None,
        "next_step": str(now.next_step) if now.next_step is not None else None,
        "time_left": now.time_left,
    }
