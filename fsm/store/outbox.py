"""The outbox: messages are submitted, withdrawn, and resumed after a person decided."""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from typing import Final, TypeAlias

from fsm.logoff.flags import MapiError, Result
from fsm.store.errors import StoreClosing
from fsm.store.group_commit import GroupCommit
from fsm.store.life import sources
from fsm.store.message import Message, checked_headers, new_id
from fsm.store.observer import Submitted, told
from fsm.store.state import StoreState
from fsm.store.step import PendingStep
from fsm.store.storage import Rows

__all__ = ["Deposit", "Outbox"]

Deposit: TypeAlias = Generator[Rows | Awaitable[Rows], Rows, str]
"""The steps of a submission over somebody's connection; the result is the message's id."""

HELD_BY_REQUEST: Final = "held until it is resumed"
ABORTS: Final = {"ready": "abort_submit", "deferred": "abort_deferred"}
"""The event by which a withdrawn message leaves the session's counts, by the state it was in."""


class Outbox:
    """The outbound queue of a store, as its clients see it."""

    __slots__ = ("_commit", "_state")

    def __init__(self, state: StoreState, commit: GroupCommit) -> None:
        self._state, self._commit = state, commit

    def submit(
        self, content: bytes, sender: str, recipients: Sequence[str], headers: Mapping[str, str] | None = None,
        id: str | None = None,
    ) -> Future[str]:  # fmt: skip
        """Put a message into the queue.  The result is its id, once the message is durable; StoreClosing."""
        _check(content, recipients)
        kept = checked_headers(headers)
        submitted = self._tell(kept)

        def decide(step: PendingStep) -> str:
            message = self._message(content, sender, recipients, kept, id)
            step.admit("submit", message=message.id)
            step.tx.submit(step.handle, message)
            step.fresh.append(message.id)
            step.after_commit.append(self._submitted)
            return message.id

        try:
            future = self._commit.schedule(self._state, decide, "a submission")
        except BaseException as error:
            self._end(submitted, error)
            raise
        future.add_done_callback(self._state.count_refusal)
        if submitted is not None:
            future.add_done_callback(lambda done: self._end(submitted, done))
        return future

    def deposit(
        self, content: bytes, sender: str, recipients: Sequence[str], headers: Mapping[str, str] | None,
        connection: object, id: str | None = None,
    ) -> Deposit:  # fmt: skip
        """Put a message into the queue by the transaction that is under way on this connection; return its id.

        See `Storage.deposit`.  It is counted when that has committed.  StoreClosing.
        """
        _check(content, recipients)
        kept = checked_headers(headers)
        submitted = self._tell(kept)
        try:
            id = yield from self._deposit(content, sender, recipients, kept, connection, id)
        except BaseException as error:
            self._end(submitted, error)
            raise
        self._end(submitted, id)
        return id

    def _deposit(
        self, content: bytes, sender: str, recipients: Sequence[str], headers: dict[str, str], connection: object,
        id: str | None,
    ) -> Deposit:  # fmt: skip
        if not self._state.session.accepting:
            self._state.counters["refused_new"] += 1
            raise StoreClosing(f"the store is closing: {self._state.session.may('submit').reason}")
        message = self._message(content, sender, recipients, headers, id)
        yield from self._state.storage.deposit(self._state.handle, message, connection)
        self._state.peers_rule.expect()
        return message.id

    def _tell(self, headers: dict[str, str]) -> Submitted:
        observer, name = self._state.observer, self._state.name
        return told(name, observer.submitting, name, headers) if observer is not None else None

    def _end(self, submitted: Submitted, came: Future[str] | str | BaseException) -> None:
        """Tell the observer what came of a submission."""
        if submitted is not None:
            if isinstance(came, Future):
                came = CancelledError() if came.cancelled() else came.exception() or came.result()
            told(self._state.name, submitted, came)

    def _message(
        self, content: bytes, sender: str, recipients: Sequence[str], headers: dict[str, str], id: str | None
    ) -> Message:
        return Message(id or new_id(), content, sender, tuple(recipients), self._state.clock.time(), headers=headers)

    def withdraw(self, id: str) -> Future[None]:
        """Take a message back.  MapiError: UNABLE_TO_ABORT while it is being sent, NOT_IN_QUEUE if it is not there."""

        def decide(step: PendingStep) -> None:
            found, ours = step.tx.withdraw(step.handle, id)
            if found in sources("send"):
                raise MapiError(Result.MAPI_E_UNABLE_TO_ABORT, f"the message {id} is being sent right now")
            if found is None:
                why = "is not in the queue; it was sent, withdrawn, or never there"
                raise MapiError(Result.MAPI_E_NOT_IN_QUEUE, f"the message {id} {why}")
            if id in step.fresh:
                step.fresh.remove(id)
            if found in sources("resume"):
                step.after_commit.append(self._decided)
            elif found in ABORTS:
                self._left_queue(step, id, found, ours)
                step.after_commit.append(self._withdrawn)

        return self._commit.schedule(self._state, decide, f"withdrawing {id}")

    def resume(self, id: str) -> Future[None]:
        """Put a held or failed message back into the queue.  StoreClosing, or MapiError NOT_IN_QUEUE."""

        def decide(step: PendingStep) -> None:
            step.admit("submit", message=id)
            if not step.tx.resume(step.handle, id):
                raise MapiError(Result.MAPI_E_NOT_IN_QUEUE, f"no message {id} is held or failed")
            step.after_commit.append(self._submitted)
            step.after_commit.append(self._decided)

        future = self._commit.schedule(self._state, decide, f"resuming {id}")
        future.add_done_callback(self._state.count_refusal)
        return future

    def hold(self, id: str) -> Future[None]:
        """Set a ready or deferred message aside until it is resumed; errors as of `withdraw`."""

        def decide(step: PendingStep) -> None:
            found, ours = self._set_aside(step, id, sources("set_aside"), HELD_BY_REQUEST)
            if found not in sources("set_aside"):
                raise _not_found(id, found, "is ready or deferred")
            step.after_commit.append(self._held)
            self._left_queue(step, id, found, ours)

        return self._commit.schedule(self._state, decide, f"holding {id}")

    def retry(self, id: str) -> Future[None]:
        """Make a deferred message ready; errors as of `withdraw`, and StoreClosing."""

        def decide(step: PendingStep) -> None:
            step.admit("submit", message=id)
            found, ours = self._set_aside(step, id, sources("fall_due"), None)
            if found not in sources("fall_due"):
                raise _not_found(id, found, "is deferred")
            step.tx.resume(step.handle, id)
            step.after_commit.append(lambda: self._state.became_ready(1))
            self._left_queue(step, id, found, ours)

        future = self._commit.schedule(self._state, decide, f"retrying {id}")
        future.add_done_callback(self._state.count_refusal)
        return future

    def _set_aside(
        self, step: PendingStep, id: str, states: Sequence[str], reason: str | None
    ) -> tuple[str | None, bool]:
        found, ours = step.tx.set_aside(step.handle, id, states, reason)
        if found in states and id in step.fresh:
            step.fresh.remove(id)
        return found, ours

    def _left_queue(self, step: PendingStep, id: str, found: str | None, ours: bool) -> None:
        """Let whoever counts a message that was ready or deferred count it no longer."""
        if ours and not step.session.complete:
            step.fire(ABORTS[str(found)], message=id)
        else:
            step.tell("taken")

    def _held(self) -> None:
        self._state.set_aside += 1

    def _submitted(self) -> None:
        self._state.became_ready(1, "submitted")

    def _withdrawn(self) -> None:
        self._state.counters["withdrawn"] += 1

    def _decided(self) -> None:
        self._state.set_aside -= 1


def _not_found(id: str, found: str | None, expected: str) -> MapiError:
    if found in sources("send"):
        return MapiError(Result.MAPI_E_UNABLE_TO_ABORT, f"the message {id} is being sent right now")
    return MapiError(Result.MAPI_E_NOT_IN_QUEUE, f"no message {id} {expected}{f'; it is {found}' if found else ''}")


def _check(content: bytes, recipients: Sequence[str]) -> None:
    if not isinstance(content, bytes):
        raise TypeError(f"the content of a message is bytes, not {type(content).__name__}")
    if isinstance(recipients, str):
        raise TypeError(f"recipients are several strings, not one: ({recipients!r},)")
