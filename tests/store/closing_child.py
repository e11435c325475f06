"""Another process that closes while its storage does not answer.

    python -m tests.store.closing_child WHERE FACE PLAN

It opens a store ("threads", "asyncio") or many (a spooler: "spooler"), submits three messages, begins to send the first,
writes their ids, and waits for a line.  Then it asks for one more submission, says that the first was sent, closes by the plan,
writes the outcome, lets go, and ends like any program: by leaving its main function, with threads that are no daemons.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

from fsm.store import AsyncStore, Database, Spooler, StorageError, Store


def tell(**told: object) -> None:
    print(json.dumps(told), flush=True)


def tell_outcome(outcome: Any) -> None:
    one = next(iter(outcome.stores.values())) if hasattr(outcome, "stores") else outcome
    storage = [str(blocker) for blocker in one.blockers if blocker.direction == "storage"]
    tell(text=str(outcome), ended=bool(outcome), steps=one.steps, storage=storage)


def result_of(call: Callable[[], object]) -> Callable[[], object]:
    """Call this in a thread of its own; return a function that waits for its result."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(call())
        except StorageError as error:
            results.append(f"StorageError, {'certain' if error.certain else 'not certain'}: {error}")

    thread = threading.Thread(target=run)
    thread.start()
    return lambda: (thread.join(), results[0])[1]


def in_threads(where: str, plan: str, *, many: bool) -> None:
    spooler = Spooler(Database(where)) if many else None
    store = Store(Database(where), name="mine") if spooler is None else spooler.open_many(["mine", "b", "c"])[0]
    ids = [store.submit(b"x") for _ in range(3)]
    item = next(sending := store.outgoing())
    item.__enter__()
    item.past_no_return()
    tell(ids=ids, first=item.id)
    sys.stdin.readline()
    left = [result_of(lambda: store.submit(b"under way")), result_of(lambda: item.__exit__(None, None, None))]
    tell_outcome((spooler or store).close(plan))
    (spooler or store).let_go()
    tell(results=[wait() for wait in left])
    sending.close()


async def in_asyncio(where: str, plan: str) -> None:
    store = AsyncStore(Database(where), name="mine")
    ids = [await store.submit(b"x") for _ in range(3)]
    item = await anext(sending := store.outgoing())
    await item.__aenter__()
    item.past_no_return()
    tell(ids=ids, first=item.id)
    await asyncio.to_thread(sys.stdin.readline)
    calls = [store.submit(b"under way"), item.__aexit__(None, None, None)]
    left = [asyncio.create_task(call) for call in calls]  # type: ignore[arg-type]
    await asyncio.sleep(0)  # they have asked
    tell_outcome(await store.close(plan))
    store.let_go()
    results = await asyncio.gather(*left, return_exceptions=True)
    tell(results=[str(one) if isinstance(one, BaseException) else one for one in results])
    await sending.aclose()


def main() -> None:
    where, face, plan = sys.argv[1:]
    if face == "asyncio":
        asyncio.run(in_asyncio(where, plan))
    else:
        in_threads(where, plan, many=face == "spooler")


if __name__ == "__main__":
    main()
