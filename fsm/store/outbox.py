"""The outbox: messages are submitted, withdrawn, and resumed after a person decided."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from fsm.logoff.flags import MapiError, Result
from fsm.store.group_commit import GroupCommit, PendingStep
from fsm.store.message import Message, new_id
from fsm.store.reconciliation import reconcile
from fsm.store.state import StoreState

__all__ = ["Outbox"]


class Outbox:
    """The outbound queue of a store, as its clients see it."""

    def __init__(self, state: StoreState, commit: GroupCommit) -> None:
        self._state, self._commit = state, commit
        self._last_id = max([*state.queue.ready, *state.queue.deferred], default="")

    def submit(self, content: bytes, sender: str, recipients: Sequence[str]) -> Future[str]:
        """Put a message into the queue.  The result is its id, once the message is durable; StoreClosing."""
        if not isinstance(content, bytes):
            raise TypeError(f"the content of a message is bytes, not {type(content).__name__}")
        if isinstance(recipients, str):
            raise TypeError(f"recipients are several strings, not one: ({recipients!r},)")

        def decide(step: PendingStep) -> str:
            self._last_id = id = new_id(self._last_id)
            message = Message(id, content, sender, tuple(recipients), self._state.clock.time())
            step.admit("submit", message=id)
            step.tx.submit(message)
            step.ready_ids.append(id)
            step.after_commit.append(lambda: self._state.enqueue([id], "submitted"))
            return id

        future = self._commit.schedule(decide)
        future.add_done_callback(self._state.count_refusal)
        return future

    def withdraw(self, id: str) -> Future[None]:
        """Take a message back.  MapiError: UNABLE_TO_ABORT while it is being sent, NOT_IN_QUEUE if it is not there."""

        def decide(step: PendingStep) -> None:
            found = step.tx.withdraw(id)
            if found == "claimed":
                raise MapiError(Result.MAPI_E_UNABLE_TO_ABORT, f"the message {id} is being sent right now")
            if found is None or found == "theirs":
                why = "is another process's" if found else "is not in the queue; it was sent, withdrawn, or never there"
                raise MapiError(Result.MAPI_E_NOT_IN_QUEUE, f"the message {id} {why}")
            if found in ("held", "failed"):
                step.after_commit.append(self._decided)
            elif not step.session.complete:
                reconcile(self._state, step, why=f"{id} was withdrawn", counter="withdrawn")

        return self._commit.schedule(decide)

    def resume(self, id: str) -> Future[None]:
        """Put a held or failed message back into the queue.  StoreClosing, or MapiError NOT_IN_QUEUE."""

        def decide(step: PendingStep) -> None:
            step.admit("submit", message=id)
            if not step.tx.resume(id):
                raise MapiError(Result.MAPI_E_NOT_IN_QUEUE, f"no message {id} is held or failed")
            step.after_commit.append(lambda: self._state.enqueue([id], "submitted"))
            step.after_commit.append(self._decided)

        future = self._commit.schedule(decide)
        future.add_done_callback(self._state.count_refusal)
        return future

    def _decided(self) -> None:
        self._state.set_aside -= 1
