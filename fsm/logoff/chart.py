"""The store-logoff machine: the table of `spec.md`.  It alone decides what may happen.

Theory.
1. A session is `open`, `draining`, `blocked` or `released`.  Five counts describe the messages and the peers: *in
   flight* is inbound + outbound, *queued* is ready + deferred; peers are other processes with the same store open.
2. The request is the flag of the logoff under way, or the flag that was granted.
3. Each event is one transition.  The guards look ahead ("the last in flight"), so that there is no hidden follow-up.
4. With peers every flag is granted at once: the spooler ignores the call, and the work is left to the peers (S28).
5. A drain always has something in flight, or ready and free to start; `blocked` always has something in the way.
   Both are invariants, and in both states an event that gets the work on is always accepted (`progress`): neither can
   get stuck waiting for a request.  All this is proved for all counts when the table is built.  Rows that could never
   be enabled (a granted NO_WAIT in the middle of a drain) are therefore left out; adding one is an error.

Every row cites the sentences (S-numbers) it follows from and gives the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fsm.chart import Chart, Event, Output, Row, State, row
from fsm.condition import ALWAYS, Condition
from fsm.logoff.flags import Logoff, LogoffStatus
from fsm.variable import Assignment, Choice, Counter, Sum

__all__ = ["BLOCKED", "DRAINING", "LOGOFF", "OPEN", "RELEASED"]

NO_WAIT, ORDERLY, PURGE, ABORT, QUIET = Logoff

# ------------------------------------------------------------------------------------------------ variables

REQUEST: Final = Choice("request", (None, *Logoff), "the flag of the logoff under way, or the flag that was granted")
INBOUND: Final = Counter("inbound", "messages coming into the store right now")
OUTBOUND: Final = Counter("outbound", "messages being sent from the store right now")
READY: Final = Counter("ready", "messages in the outbound queue that can be sent now")
DEFERRED: Final = Counter("deferred", "messages in the outbound queue that wait for a later retry")
PEERS: Final = Counter("peers", "other processes that have the same store open for the same profile")

IN_FLIGHT: Final[Sum] = INBOUND + OUTBOUND
QUEUED: Final[Sum] = READY + DEFERRED
IN_THE_WAY: Final[Sum] = IN_FLIGHT + QUEUED

# -------------------------------------------------------------------------------------------------- effects


def up(counter: Counter) -> Assignment:
    """One more."""
    return counter.becomes(counter + 1)


def down(counter: Counter) -> Assignment:
    """One less."""
    return counter.becomes(counter - 1)


FLUSH: Final = (READY.becomes(READY + DEFERRED), DEFERRED.becomes(0))
HAND_OVER: Final = tuple(counter.becomes(0) for counter in (INBOUND, OUTBOUND, READY, DEFERRED))

ENDINGS: Final = {  # event -> the counter of what it ends, its effects, its reason, its sentences
    "outbound_sent": (OUTBOUND, (down(OUTBOUND),), "it was sent", "S23"),
    "outbound_failed": (OUTBOUND, (down(OUTBOUND),), "it failed for good, and its sender is told", "S23"),
    "outbound_deferred": (OUTBOUND, (down(OUTBOUND), up(DEFERRED)), "it goes back to the queue", "S23 S24"),
    "inbound_received": (INBOUND, (down(INBOUND),), "it is stored", "S22"),
    "inbound_failed": (INBOUND, (down(INBOUND),), "its source keeps it and delivers it again", "S22"),
}

# --------------------------------------------------------------------------------------------------- states

FINISHING: Final = REQUEST.among(ORDERLY, ABORT)
SENDING: Final = REQUEST.among(NO_WAIT, PURGE)

OPEN: Final = State("open", "in service; no logoff under way", invariant=REQUEST == None)  # noqa: E711 - builds data
DRAINING: Final = State(
    "draining",
    "the logoff is committed: what is under way is finished, nothing new is taken in",
    invariant=(FINISHING & (IN_FLIGHT > 0)) | (SENDING & (IN_FLIGHT + READY > 0)),
    progress=(*ENDINGS, "outbound_begin"),
)
BLOCKED: Final = State(
    "blocked",
    "QUIET or ABORT was asked and something is in the way; nothing changes for the transports",
    invariant=((REQUEST == QUIET) & (IN_THE_WAY > 0)) | ((REQUEST == ABORT) & (IN_FLIGHT > 0)),
    progress=(*ENDINGS, "outbound_begin", "deferred_due"),
)
RELEASED: Final = State(
    "released",
    "LOGOFF_COMPLETE; answers Release and nothing else",
    final=True,
    invariant=(IN_FLIGHT == 0) & (REQUEST != None),  # noqa: E711 - builds data
)

# --------------------------------------------------------------------------------------------------- events

FLAGS: Final = {
    "logoff_quiet": QUIET, "logoff_abort": ABORT, "logoff_orderly": ORDERLY,
    "logoff_no_wait": NO_WAIT, "logoff_purge": PURGE, "release": ABORT,
}
"""The requests, and the flag of each (Release without a logoff asks for ABORT, S33)."""

EVENTS: Final = (
    Event("logoff_quiet", "log off only if there is no activity at all"),
    Event("logoff_abort", "log off if nothing is in flight, otherwise wait until nothing is"),
    Event("logoff_orderly", "finish what is in flight, start nothing more, log off"),
    Event("logoff_no_wait", "send what is ready, take in nothing more, log off"),
    Event("logoff_purge", "as NO_WAIT, after a flush of the deferred mail"),
    Event("release", "the last reference to the store goes"),
    Event("submit", "a message entered the outbound queue, ready to be sent"),
    Event("abort_submit", "a ready message was withdrawn by the client, or taken by a peer"),
    Event("abort_deferred", "a deferred message was withdrawn by the client, or taken by a peer"),
    Event("deferred_due", "a deferred message may be tried again"),
    Event("outbound_begin", "a transport began to send a ready message"),
    Event("outbound_sent", "a message was sent"),
    Event("outbound_failed", "a message failed for good and was reported, or was put aside for a person to decide"),
    Event("outbound_deferred", "a message could not be sent now and waits for a later retry"),
    Event("inbound_begin", "a message began to come in"),
    Event("inbound_received", "a message that came in is durably stored"),
    Event("inbound_failed", "a message did not come in; its source keeps it"),
    Event("peer_opened", "another process opened the same store for the same profile"),
    Event("peer_closed", "another process closed the store"),
)

# ------------------------------------------------------------------------------- rows: messages and peers


def _in_service(state: State) -> Iterator[Row]:
    """The rows that `open` and `blocked` have in common: nothing changes for the transports (S7, S45)."""
    usual = "S7 S45 " if state is BLOCKED else ""
    yield row(f"{state}.submit", state, "submit", effects=[up(READY)], cites=usual + "S24",
              why="new work is taken in")
    yield row(f"{state}.inbound_begin", state, "inbound_begin", effects=[up(INBOUND)], cites=usual + "S22",
              why="new work is taken in")
    yield row(f"{state}.outbound_begin", state, "outbound_begin", guard=READY > 0, effects=[down(READY), up(OUTBOUND)],
              cites=usual + "S23", why="queued mail is started")
    yield row(f"{state}.deferred_due", state, "deferred_due", guard=DEFERRED > 0, effects=[down(DEFERRED), up(READY)],
              cites=usual + "S24", why="its time has come")


def _peers(state: State) -> Iterator[Row]:
    """Peers come and go in every state but `released`."""
    yield row(f"{state}.peer_opened", state, "peer_opened", effects=[up(PEERS)], cites="S28",
              why="from now on a logoff leaves the work to the peers")
    yield row(f"{state}.peer_closed", state, "peer_closed", guard=PEERS > 0, effects=[down(PEERS)], cites="S28",
              why="the peer has gone")


def _open_mail() -> Iterator[Row]:
    yield from _in_service(OPEN)
    for event, counter in (("abort_submit", READY), ("abort_deferred", DEFERRED)):
        yield row(f"open.{event}", OPEN, event, guard=counter > 0, effects=[down(counter)], cites="S24",
                  why="a queued message may be withdrawn")
    for event, (counter, effects, ending, cites) in ENDINGS.items():
        yield row(f"open.{event}", OPEN, event, guard=counter > 0, effects=effects, cites=cites, why=ending)
    yield from _peers(OPEN)


def _blocked_mail() -> Iterator[Row]:
    """ABORT waits for what is in flight.  QUIET is withdrawn once nothing is in its way."""
    yield from _in_service(BLOCKED)
    for event, counter in (("abort_submit", READY), ("abort_deferred", DEFERRED)):
        last = (REQUEST == QUIET) & (IN_THE_WAY == 1)
        yield row(f"blocked.{event}.last", BLOCKED, event, guard=(counter > 0) & last, target=OPEN,
                  effects=[down(counter), REQUEST.becomes(None)], cites="S15 S56",
                  why="the last activity ended; QUIET was a refusal, so the store is simply open again")
        yield row(f"blocked.{event}", BLOCKED, event, guard=(counter > 0) & ~last, effects=[down(counter)],
                  cites="S7 S45 S24", why="a queued message may be withdrawn; something is still in the way")
    for event, (counter, effects, ending, cites) in ENDINGS.items():
        last = (REQUEST == ABORT) & (IN_FLIGHT == 1)
        yield row(f"blocked.{event}.last", BLOCKED, event, guard=(counter > 0) & last, target=RELEASED,
                  effects=effects, cites=f"S6 S8 S44 S46 {cites}",
                  why=f"{ending}; the activity has stopped, so the waiting ABORT logs the store off")
        if event != "outbound_deferred":  # a deferred message is itself in the way of QUIET
            quiet = (REQUEST == QUIET) & (IN_THE_WAY == 1)
            yield row(f"blocked.{event}.quiet", BLOCKED, event, guard=(counter > 0) & quiet, target=OPEN,
                      effects=[*effects, REQUEST.becomes(None)], cites=f"S15 S56 {cites}",
                      why=f"{ending}; nothing is in the way of QUIET any more, so the store is simply open again")
            still = ((REQUEST == ABORT) & (IN_FLIGHT > 1)) | ((REQUEST == QUIET) & (IN_THE_WAY > 1))
        else:
            still = ((REQUEST == ABORT) & (IN_FLIGHT > 1)) | (REQUEST == QUIET)
        yield row(f"blocked.{event}", BLOCKED, event, guard=(counter > 0) & still, effects=effects,
                  cites=f"S7 S45 {cites}", why=f"{ending}; something is still in the way")
    yield from _peers(BLOCKED)


def _draining_mail() -> Iterator[Row]:
    """What is in flight is finished; only NO_WAIT and PURGE start messages that are ready."""
    yield row("draining.outbound_begin", DRAINING, "outbound_begin", guard=(READY > 0) & SENDING,
              effects=[down(READY), up(OUTBOUND)], cites="S9 S13 S48", why="mail that was ready is sent")
    for event, (counter, effects, ending, cites) in ENDINGS.items():
        last = (IN_FLIGHT == 1) & (FINISHING | (SENDING & (READY == 0)))
        more = (FINISHING & (IN_FLIGHT > 1)) | (SENDING & (IN_FLIGHT + READY > 1))
        yield row(f"draining.{event}.last", DRAINING, event, guard=(counter > 0) & last, target=RELEASED,
                  effects=effects, cites=f"S9 S10 S11 S14 S50 S53 S55 {cites}",
                  why=f"{ending}; it was the last, so the drain ends")
        yield row(f"draining.{event}", DRAINING, event, guard=(counter > 0) & more, effects=effects,
                  cites=f"S9 S10 S11 {cites}", why=f"{ending}; the drain goes on")
    last = SENDING & (IN_FLIGHT + READY == 1)
    yield row("draining.abort_submit.last", DRAINING, "abort_submit", guard=(READY > 0) & last, target=RELEASED,
              effects=[down(READY)], cites="S9 S14 S50 S55",
              why="the last message that was waited for was withdrawn, so the drain ends")
    yield row("draining.abort_submit", DRAINING, "abort_submit", guard=(READY > 0) & ~last,
              effects=[down(READY)], cites="S24", why="a queued message may be withdrawn; the drain goes on")
    yield row("draining.abort_deferred", DRAINING, "abort_deferred", guard=DEFERRED > 0, effects=[down(DEFERRED)],
              cites="S24", why="a queued message may be withdrawn; no drain waits for the deferred")
    yield from _peers(DRAINING)


# ------------------------------------------------------------------------------- rows: requests to log off


def _with_peers(state: State) -> Iterator[Row]:
    """Requests while another process has the store open: the call is ignored and returns COMPLETE (S28)."""
    for event, flag in FLAGS.items():
        keeps = event == "release" and state is DRAINING
        yield row(f"{state}.{event}.peers", state, event, guard=PEERS > 0, target=RELEASED,
                  effects=HAND_OVER if keeps else (*HAND_OVER, REQUEST.becomes(flag)), cites="S28 S18 S20",
                  why="the work is the peers'; what is in flight here is finished by the embedding program")


ALONE: Final = PEERS == 0


def _request(state: State, event: str, tail: str, guard: Condition, target: State, cites: str, why: str,
             effects: tuple[Assignment, ...] | None = None) -> Row:
    """A request without peers; without `effects`, its flag becomes the request."""
    changes = (REQUEST.becomes(FLAGS[event]),) if effects is None else effects
    return row(f"{state}.{event}{tail}", state, event, guard=ALONE & guard, target=target, effects=changes, cites=cites,
               why=why)


def _requests_in_service(state: State) -> Iterator[Row]:
    """The five flags and Release in `open` and `blocked`, without peers."""
    idle, busy = IN_FLIGHT == 0, IN_FLIGHT > 0
    if state is OPEN:  # in `blocked` something is always in the way of QUIET, and of a purge
        yield _request(state, "logoff_quiet", ".granted", IN_THE_WAY == 0, RELEASED, "S15 S18 S19",
                     "there is no activity, so the store is released")
        yield _request(state, "logoff_purge", ".granted", IN_THE_WAY == 0, RELEASED, "S13 S14 S18 S54",
                     "nothing to send, nothing to flush")
    yield _request(state, "logoff_quiet", "", IN_THE_WAY > 0, BLOCKED, "S15 S16 S56",
                   "the kind of activity is returned; a waiting ABORT is withdrawn")
    yield _request(state, "logoff_abort", ".granted", idle, RELEASED, "S8 S46 S18", "idle, so released at once")
    yield _request(state, "logoff_abort", "", busy, BLOCKED, "S5 S6 S7 S43 S44 S45",
                   "no logoff and no change while there is activity; when it stops the store is logged off")
    yield _request(state, "logoff_orderly", ".granted", idle, RELEASED, "S11 S18 S20 S52",
                   "nothing is in flight; queued mail stays in the durable queue")
    yield _request(state, "logoff_orderly", "", busy, DRAINING, "S11 S12 S51 S52",
                   "what is in flight is finished first")
    yield _request(state, "logoff_no_wait", ".granted", IN_FLIGHT + READY == 0, RELEASED, "S9 S18 S48",
                   "nothing is ready to be sent; the deferred stay in the durable queue")
    yield _request(state, "logoff_no_wait", "", IN_FLIGHT + READY > 0, DRAINING, "S9 S10 S47 S48 S49",
                   "what is ready is sent first")
    yield _request(state, "logoff_purge", "", IN_THE_WAY > 0, DRAINING, "S13 S14 S54 S55",
                   "the deferred are flushed, then each is tried once", (*FLUSH, REQUEST.becomes(PURGE)))
    yield _request(state, "release", ".granted", idle, RELEASED, "S31 S33 S46 S68 S81 S85",
                   "no logoff was asked, so Release asks for ABORT; idle, so released at once")
    yield _request(state, "release", "", busy, BLOCKED, "S31 S33 S68 S82 S83 S85",
                   "no logoff was granted, so Release asks for ABORT, which waits for what is in flight")
    yield from _with_peers(state)


def _requests_while_draining() -> Iterator[Row]:
    """The last flag wins (S67), but for QUIET, which is a question and not a revocation."""
    idle, busy = IN_FLIGHT == 0, IN_FLIGHT > 0
    state = DRAINING
    yield _request(state, "logoff_quiet", "", ALWAYS, state, "S15 S16", "a question; the drain goes on", ())
    yield _request(state, "logoff_abort", ".granted", idle, RELEASED, "S8 S46 S67",
                   "nothing is in flight, and the queue is no longer waited for")
    yield _request(state, "logoff_abort", "", busy, state, "S6 S44 S67",
                   "the queue is no longer waited for; what is in flight is")
    yield _request(state, "logoff_orderly", ".granted", idle, RELEASED, "S11 S52 S67",
                   "nothing is in flight, and the queue is no longer waited for")
    yield _request(state, "logoff_orderly", "", busy, state, "S11 S12 S52 S67", "what is in flight is finished first")
    yield _request(state, "logoff_no_wait", "", ALWAYS, state, "S9 S67", "what is ready is sent after all")
    yield _request(state, "logoff_purge", "", ALWAYS, state, "S13 S54 S67",
                   "the deferred are flushed, then each is tried once", (*FLUSH, REQUEST.becomes(PURGE)))
    yield _request(state, "release", "", ALWAYS, state, "S32 S83 S84",
                   "the logoff was asked already and goes on", ())
    yield from _with_peers(state)


# ------------------------------------------------------------------------------------------------- the chart

LOGOFF: Final = Chart(
    "store-logoff",
    proved="3e01c57319855728",
    doc="the orderly release of a message store (MAPI, IMAPISupport::StoreLogoffTransports)",
    states=(OPEN, DRAINING, BLOCKED, RELEASED),
    events=EVENTS,
    variables=(REQUEST, INBOUND, OUTBOUND, READY, DEFERRED, PEERS),
    sums={"in flight": IN_FLIGHT, "in the way": IN_THE_WAY},
    rows=(
        *_open_mail(), *_requests_in_service(OPEN),
        *_blocked_mail(), *_requests_in_service(BLOCKED),
        *_draining_mail(), *_requests_while_draining(),
        row("released.release", RELEASED, "release", cites="S19 S21 S74",
            why="only Release may follow, as often as there are references"),
    ),
    outputs=(
        Output("COMPLETE", LogoffStatus.COMPLETE.value, states=(RELEASED,), doc="the store is released"),
        Output("INBOUND", LogoffStatus.INBOUND.value, guard=INBOUND > 0, doc="a message is coming in"),
        Output("OUTBOUND", LogoffStatus.OUTBOUND.value, guard=OUTBOUND > 0, doc="a message is being sent"),
        Output("OUTBOUND_QUEUE", LogoffStatus.OUTBOUND_QUEUE.value, guard=QUEUED > 0, doc="messages are in the queue"),
    ),
)
"""The chart of the store-logoff machine."""
