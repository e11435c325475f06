"""StoreSession: one client's use of one message store, with a typed trigger for every event.

The table in `chart.py` decides; the triggers here declare its events for readers and type checkers.  Below them is the
call of MAPI: one word in, one word out.
Source: IMAPISupport::StoreLogoffTransports, as described by `spec.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fsm.condition import ALWAYS
from fsm.logoff.chart import LOGOFF, RELEASED
from fsm.logoff.flags import ALL_INPUT, Logoff, LogoffStatus, MapiError, Result
from fsm.session import Session, trigger

__all__ = ["GuardedStoreSession", "StoreSession"]

ACCEPTING: Final = frozenset(one.source for one in LOGOFF.rows if one.event == "submit" and one.guard == ALWAYS)
"""The states in which new work is accepted: a mail server asks at every command of every client."""
STATUS: Final[dict[int, LogoffStatus]] = {}
"""The output words so far: creating a flag takes longer than a step."""


class StoreSession(Session, chart=LOGOFF):
    """A store session: `open`, `draining`, `blocked` or `released`.

    `ready`, `deferred` and `peers` are the numbers of queued messages and of other processes at the start.
    A trigger returns True, or raises Refused (a `transitions.MachineError`) and changes nothing.  Once the session is
    released, only `release` is legal.  A session is for one thread at a time; GuardedStoreSession is for several.
    """

    __slots__ = ("_deferred", "_inbound", "_outbound", "_peers", "_ready", "_request")
    _request: Logoff | None
    _inbound: int
    _outbound: int
    _ready: int
    _deferred: int
    _peers: int

    if TYPE_CHECKING:  # that of every session does the work, and a class without one is made faster

        def __init__(self, *, ready: int = 0, deferred: int = 0, peers: int = 0) -> None: ...

    # -------------------------------------------------------------------------------------------------- status

    @property
    def request(self) -> Logoff | None:
        """The flag of the logoff under way, or the flag that was granted; None while open."""
        return self._request

    @property
    def inbound(self) -> int:
        """The number of messages coming into the store."""
        return self._inbound

    @property
    def outbound(self) -> int:
        """The number of messages being sent from the store."""
        return self._outbound

    @property
    def ready(self) -> int:
        """The number of messages in the outbound queue that can be sent now."""
        return self._ready

    @property
    def deferred(self) -> int:
        """The number of messages in the outbound queue that wait for a later retry."""
        return self._deferred

    @property
    def peers(self) -> int:
        """The number of other processes that have the same store open for the same profile."""
        return self._peers

    @property
    def status(self) -> LogoffStatus:
        """The output flags (S17, S22 to S24).  COMPLETE with OUTBOUND_QUEUE: released, with mail left in the queue."""
        flags = self.flags
        status = STATUS.get(flags)
        if status is None:
            status = STATUS[flags] = LogoffStatus(flags)
        return status

    @property
    def complete(self) -> bool:
        """Whether the store is released (S18 to S21)."""
        return self.state == RELEASED

    @property
    def accepting(self) -> bool:
        """Whether new work is taken in: `submit` and `inbound_begin` are legal."""
        return self.state in ACCEPTING

    # ---------------------------------------------------------------------------------------- requests to log off

    @trigger
    def logoff_quiet(self) -> None:
        """Log off only if there is no activity at all, queued mail included (S15, S16).

        Otherwise the session is `blocked` until the activity ends, and open again then.  During a drain it only asks.
        """

    @trigger
    def logoff_abort(self) -> None:
        """Log off if nothing is in flight; otherwise wait in `blocked`, changing nothing, until nothing is (S5 to S8).

        It never cuts a message.  During a drain the queue is no longer waited for.
        """

    @trigger
    def logoff_orderly(self) -> None:
        """Finish what is in flight, start nothing more, then log off (S11, S12).  Queued mail stays in the queue."""

    @trigger
    def logoff_no_wait(self) -> None:
        """Send what is ready, take in nothing more, then log off (S9, S10).  The deferred stay in the queue."""

    @trigger
    def logoff_purge(self) -> None:
        """As `logoff_no_wait`, after one flush of the deferred mail (S13, S14, S54): each is tried once."""

    @trigger
    def release(self) -> None:
        """The last reference goes (S31 to S33): asks for ABORT unless a logoff is under way.  Legal when released."""

    # -------------------------------------------------------------------------------------------- outbound mail

    @trigger
    def submit(self) -> None:
        """A message entered the outbound queue, ready to be sent.  Legal while open or blocked."""

    @trigger
    def abort_submit(self) -> None:
        """A ready message was withdrawn by the client, or taken by a peer."""

    @trigger
    def abort_deferred(self) -> None:
        """A deferred message was withdrawn by the client, or taken by a peer."""

    @trigger
    def deferred_due(self) -> None:
        """A deferred message may be tried again.  Legal while open or blocked; during a drain it stays deferred."""

    @trigger
    def outbound_begin(self) -> None:
        """A transport began to send a ready message.  During a drain only under NO_WAIT and PURGE."""

    @trigger
    def outbound_sent(self) -> None:
        """A message was sent."""

    @trigger
    def outbound_failed(self) -> None:
        """A message failed for good and was reported, or was put aside for a person to decide."""

    @trigger
    def outbound_deferred(self) -> None:
        """A message could not be sent now and waits in the queue for a later retry."""

    # ------------------------------------------------------------------------------------- inbound mail, and peers

    @trigger
    def inbound_begin(self) -> None:
        """A message began to come in.  Legal while open or blocked."""

    @trigger
    def inbound_received(self) -> None:
        """A message that came in is durably stored."""

    @trigger
    def inbound_failed(self) -> None:
        """A message did not come in; its source keeps it and delivers it again."""

    @trigger
    def peer_opened(self) -> None:
        """Another process opened the same store for the same profile (S28)."""

    @trigger
    def peer_closed(self) -> None:
        """Another process closed the store (S28)."""

    # ----------------------------------------------------------------------------------------- the calls of MAPI

    def logoff(self, flag: Logoff) -> LogoffStatus:
        """Call the trigger of this flag and return the status.

        TypeError for anything but a Logoff; Refused if the session is released.
        """
        if not isinstance(flag, Logoff):
            raise TypeError(f"logoff takes one of {', '.join(map(str, Logoff))}, not {flag!r}")
        with self.lock:
            self.fire(f"logoff_{flag.name.lower()}")
            return self.status

    def store_logoff_transports(self, flags: int) -> int:
        """The call of MAPI: take one input flag and return the output flags (S2 to S4, S17).

        If QUIET or ABORT does not log off, the result lacks COMPLETE.  MapiError, and nothing changed, for a released
        session (INVALID_OBJECT), for anything but a 32-bit unsigned number (INVALID_PARAMETER), for unknown or output
        bits (UNKNOWN_FLAGS), and for no or several flags (INVALID_PARAMETER), in this order.
        """
        with self.lock:
            if self.complete:
                raise MapiError(Result.MAPI_E_INVALID_OBJECT, "the store is released; only release() may follow")
            return int(self.logoff(_flag(flags)))


class GuardedStoreSession(StoreSession, guarded=True):
    """A StoreSession for several threads: every step waits for the one under way.

    Hold its `lock` for several calls that belong together.
    """

    __slots__ = ()


def _flag(word: int) -> Logoff:
    if not isinstance(word, int) or isinstance(word, bool) or not 0 <= word <= 0xFFFFFFFF:
        problem = f"the flags are one 32-bit unsigned whole number, not {_shortened(word)}"
        raise MapiError(Result.MAPI_E_INVALID_PARAMETER, problem)
    known = ", ".join(f"{flag.name} 0x{flag.value:02X}" for flag in Logoff)
    if unknown := word & ~ALL_INPUT:
        raise MapiError(Result.MAPI_E_UNKNOWN_FLAGS, f"0x{unknown:X} is no input flag; they are {known}")
    if word.bit_count() != 1:
        count = "no flag" if not word else f"{word.bit_count()} flags"
        raise MapiError(Result.MAPI_E_INVALID_PARAMETER, f"{count} given; one call takes exactly one of {known}")
    return Logoff(word)


def _shortened(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    if (isinstance(value, (int, float, str, Logoff)) and len(repr(value)) <= 40) or value is None:
        return f"{type(value).__name__} {value!r}"
    return type(value).__name__
