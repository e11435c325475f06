"""MessageStore: the handles on one store, StoreLogoff, and Release with its four steps.

Theory, after IMsgStore::StoreLogoff and "Shutting Down a Message Store Provider".
1. A store has one session and any number of handles.  The handles are the references that hold it.
2. StoreLogoff by the only reference acts at once: it is the call of StoreLogoffTransports (S30, S73).
3. StoreLogoff while there are other references saves the flag, and the last one saved wins (S65 to S67).  The caller's
   handle is released at once, the session stays for the others (S64).  Until then it may call again.
4. When the last reference is released, Release calls StoreLogoffTransports with the saved flag (S65) and then fires
   `release`, which asks for ABORT if no logoff is under way (S33, S68, S85).  At most one of these calls returns
   COMPLETE, since after COMPLETE only Release is legal.
5. When there is no reference left *and* the session is released, the four steps of MAPI's Release happen, once each, in
   order (S76 to S80): immediately, or when the transports have finished what was in flight.
6. After a handle's Release everything on it but Release fails with INVALID_OBJECT; so does everything on every handle
   once the store is released (S19, S21).

The transport events (`store.session.outbound_sent()` …) are fired on the session directly.
A store and its handles are for one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Self

from fsm.logoff.flags import Logoff, LogoffStatus, MapiError, Result
from fsm.logoff.session import StoreSession
from fsm.session import Step
from fsm.verdict import Refused

__all__ = ["MessageStore", "ReleaseStep", "StoreHandle"]


class ReleaseStep(Enum):
    """The steps of MAPI's Release of a store, in their order."""

    UNREGISTER_IDENTIFIERS = "remove the provider's unique identifiers (S77)"
    REMOVE_STATUS_ROW = "remove the provider's row from the status table (S78)"
    LOG_OFF_OBJECTS = "log off: all open objects, subobjects and status objects go (S79)"
    RELEASE_LOGON = "release the logon object (S80)"


class MessageStore:
    """A message store that several clients of one process can open.

    `session` is the store's session, by default a new one; ValueError if it is released.  `on_step` is called with each
    ReleaseStep.  If it raises, the step counts as done, the remaining steps still happen, and then the first error is
    raised by the call that caused the release.  If a listener of the session raises while the last handle is released,
    that handle stays open, and its `release` can be called again.
    """

    def __init__(self, session: StoreSession | None = None, *, on_step: Callable[[ReleaseStep], object] | None = None):
        self.session = session if session is not None else StoreSession()
        if self.session.complete:
            raise ValueError("a released session cannot be opened again; give the store a new one")
        self._on_step = on_step
        self._handles: list[StoreHandle] = []
        self._opened = False
        self._saved: Logoff | None = None
        self._steps: tuple[ReleaseStep, ...] = ()
        self.session.listen(self)

    @property
    def references(self) -> int:
        """The number of handles that hold the store."""
        return len(self._handles)

    @property
    def saved(self) -> Logoff | None:
        """The flag that the last Release will pass on; None if none is saved, or if it has been passed on."""
        return self._saved

    @property
    def steps(self) -> tuple[ReleaseStep, ...]:
        """The steps of Release that have happened, in order."""
        return self._steps

    @property
    def status(self) -> LogoffStatus:
        """The status of the session."""
        return self.session.status

    def open(self) -> StoreHandle:
        """Return a new reference.  MapiError: INVALID_OBJECT if the store is released, BUSY while it is closing."""
        if self.session.complete:
            raise MapiError(Result.MAPI_E_INVALID_OBJECT, "the store is released; open a new one")
        if (self._opened and not self._handles) or not self.session.accepting:
            raise MapiError(Result.MAPI_E_BUSY, f"the store is closing ({self.session.state}); open it again later")
        self._opened = True
        handle = StoreHandle(self)
        self._handles.append(handle)
        return handle

    def on_transition(self, step: Step) -> None:
        """A listener of the session: do the steps of Release if they are due."""
        self._finish()

    def _logoff(self, handle: StoreHandle, flag: Logoff) -> LogoffStatus:
        if self._handles == [handle]:
            self._saved = None
            return self.session.logoff(flag)
        self._saved = flag
        if handle in self._handles:
            self._handles.remove(handle)
        return self.session.status

    def _release_handle(self, handle: StoreHandle) -> None:
        """Release a reference.  The last one stays if a call fails; it can be released again."""
        if self._handles == [handle]:
            saved = [f"logoff_{self._saved.name.lower()}"] if self._saved is not None else []
            for event in [*([] if self.session.complete else saved), "release"]:
                receipt = self.session.post(event)  # in the middle of a step, it runs afterwards
                if receipt.done:
                    receipt.result()
            self._saved = None
        if handle in self._handles:
            self._handles.remove(handle)
        self._finish()

    def _finish(self) -> None:
        if self._opened and not self._handles and self.session.complete:
            self._release()

    def _release(self) -> None:
        error: Exception | None = None
        for step in tuple(ReleaseStep)[len(self._steps) :]:
            self._steps += (step,)
            try:
                if self._on_step is not None:
                    self._on_step(step)
            except Exception as raised:
                error = error or raised
        if error is not None:
            raise error

    def __repr__(self) -> str:
        return f"<MessageStore {self.session.state}, {self.references} references>"


class StoreHandle:
    """One client's reference to a store.  Leaving a `with` block releases it.

    After `release` everything but `release` raises MapiError with INVALID_OBJECT.
    """

    __slots__ = ("_logged_off", "_released", "store")

    def __init__(self, store: MessageStore) -> None:
        self.store = store
        self._logged_off = self._released = False

    def submit(self) -> None:
        """Put a message of this client into the outbound queue.  MapiError: BUSY while the store is closing."""
        self._usable()
        try:
            self.store.session.submit()
        except Refused as refusal:
            raise MapiError(Result.MAPI_E_BUSY, f"the store is closing: {refusal}") from refusal

    def abort_submit(self) -> None:
        """Withdraw a ready message.

        MapiError if none is ready: UNABLE_TO_ABORT if one is in flight, otherwise NOT_IN_QUEUE.
        """
        self._usable()
        session = self.store.session
        try:
            session.abort_submit()
        except Refused as refusal:
            if session.outbound:
                problem = "the message is being sent; a transport must give it back first"
                raise MapiError(Result.MAPI_E_UNABLE_TO_ABORT, problem) from refusal
            raise MapiError(Result.MAPI_E_NOT_IN_QUEUE, "no message is ready in the outbound queue") from refusal

    def store_logoff(self, flag: Logoff) -> LogoffStatus:
        """Ask for the logoff and return the status.  The theory above describes one and several references.

        TypeError for anything but a Logoff.  MapiError: INVALID_OBJECT after Release, or if the store is released.
        """
        if not isinstance(flag, Logoff):
            raise TypeError(f"store_logoff takes one of {', '.join(map(str, Logoff))}, not {flag!r}")
        if self._released or self.store.session.complete:
            self._usable()
        if not self.store.references:
            raise MapiError(Result.MAPI_E_INVALID_OBJECT, "the last reference has gone; only release() may follow")
        status = self.store._logoff(self, flag)
        self._logged_off = self not in self.store._handles
        return status

    def release(self) -> int:
        """Release the reference and return how many are left.  It can be called at any time, and again."""
        self._released = True
        self.store._release_handle(self)
        return self.store.references

    def _usable(self) -> None:
        if self._released:
            raise MapiError(Result.MAPI_E_INVALID_OBJECT, "this handle is released; only release() may follow")
        if self.store.session.complete:
            raise MapiError(Result.MAPI_E_INVALID_OBJECT, "the store is released; only release() may follow")
        if self._logged_off:
            raise MapiError(Result.MAPI_E_INVALID_OBJECT, "this handle has logged off; only release() may follow")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        state = "released" if self._released else "logged off" if self._logged_off else "open"
        return f"<StoreHandle {state} on {self.store!r}>"
