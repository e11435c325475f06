"""Outcomes and progress: the result of a logoff or of a closing, and how it goes on the way, as values and as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, overload

from fsm.logoff.flags import Logoff, LogoffStatus
from fsm.store.in_flight import Blocker
from fsm.store.message import Message
from fsm.store.plan import PlanStep

__all__ = ["Left", "NotReleased", "Outcome", "Progress", "SpoolerOutcome"]


class Left(Sequence[Message]):
    """The messages that stay in a queue.  How many is known; which, is read when somebody looks, and then kept.

    Reading raises StorageError if the storage cannot be read.
    """

    def __init__(self, count: int = 0, read: Callable[[], Sequence[Message]] = tuple) -> None:
        self._count, self._read = count, read
        self._messages: Sequence[Message] | None = None if count else ()

    def _all(self) -> Sequence[Message]:
        if self._messages is None:
            self._messages = tuple(self._read())
        return self._messages

    def __len__(self) -> int:
        return self._count if self._messages is None else len(self._messages)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | Sequence[Message]:
        return self._all()[index]

    def __iter__(self) -> Iterator[Message]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} messages>" if self._messages is None else repr(self._messages)


class NotReleased(Exception):
    """The plan is over and the store is not released.  `outcome` says what is in the way; it may be closed again."""

    def __init__(self, outcome: Outcome | SpoolerOutcome) -> None:
        self.outcome = outcome
        super().__init__(str(outcome))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a logoff or a closing.  True if the store is released and nothing is in flight here.

    `status` holds the output flags.  `left` are the messages that stay in the durable queue: `len` tells how many at
    once, and they are read when they are looked at; a store in memory hands them back, each with its content.
    `uncertain` are the messages that may have arrived or not, whether or not they were sent again since.  `blockers` is
    what is still in flight, and the storage if it does not answer or fails; `steps` what each step of the plan did,
    `seconds` the time it took.
    """

    released: bool
    state: str
    request: Logoff | None
    status: LogoffStatus
    queued: int
    left: Sequence[Message]
    uncertain: tuple[Message, ...]
    blockers: tuple[Blocker, ...]
    steps: tuple[str, ...]
    seconds: float
    to_peers: bool = False
    held: int = 0
    """Messages that wait for a person's decision: held, or failed without a report."""

    def __bool__(self) -> bool:
        return self.released and not self.blockers

    def raise_unless_released(self) -> Self:
        """Return this outcome, or raise NotReleased unless the store is released and nothing is in flight."""
        if not self:
            raise NotReleased(self)
        return self

    def __str__(self) -> str:
        asked = f" on {self.request.name}" if self.request is not None else ""
        flags = " ".join(str(flag.name) for flag in self.status) or "nothing to say"
        head = f"{'released' if self.released else f'not released, {self.state}'}{asked} ({flags})"
        parts = [f"{head} after {self.seconds:.1f} s" if self.steps else head]
        if self.to_peers:
            parts.append("the rest is the work of the other processes that have the store open")
        elif self.queued:
            parts.append(f"{_count(self.queued, 'message')} in the queue")
        if self.held:
            parts.append(f"{_count(self.held, 'message')} held until someone decides")
        if self.uncertain:
            parts.append(
                f"{_count(len(self.uncertain), 'message')} may have arrived or not: {_ids(self.uncertain)}"
            )
        if self.blockers:
            named = "; ".join(map(str, self.blockers[:5]))
            more = f"; and {len(self.blockers) - 5} more" if len(self.blockers) > 5 else ""
            parts.append(f"in the way: {named}{more}")
        else:
            parts.append("nothing is in flight")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class SpoolerOutcome:
    """The result of closing all stores of a spooler: an outcome for each, by name, and the seconds all took together.

    True if every store is released and nothing is in flight here.
    """

    stores: Mapping[str, Outcome]
    seconds: float

    def __bool__(self) -> bool:
        return all(self.stores.values())

    @property
    def blockers(self) -> Mapping[str, tuple[Blocker, ...]]:
        """What is in the way, by the name of its store."""
        return {name: outcome.blockers for name, outcome in self.stores.items() if outcome.blockers}

    def raise_unless_released(self) -> Self:
        """Return this outcome, or raise NotReleased unless all stores are released and nothing is in flight."""
        if not self:
            raise NotReleased(self)
        return self

    def __str__(self) -> str:
        outcomes = self.stores.values()
        released, left = sum(map(bool, outcomes)), sum(one.queued for one in outcomes if not one.to_peers)
        parts = [f"{released:,} of {_count(len(self.stores), 'store')} released after {self.seconds:.1f} s"]
        if left:
            parts.append(f"{_count(left, 'message')} in the queues")
        if held := sum(one.held for one in outcomes):
            parts.append(f"{_count(held, 'message')} held until someone decides")
        if uncertain := sum(len(one.uncertain) for one in outcomes):
            parts.append(f"{_count(uncertain, 'message')} may have arrived or not")
        storages = {str(one): one for found in self.blockers.values() for one in found if one.direction == "storage"}
        flight = {name: [one for one in found if one.direction != "storage"] for name, found in self.blockers.items()}
        named = [f"{name}: {'; '.join(map(str, found[:5]))}" for name, found in flight.items() if found]
        more = f"; and in {len(named) - 5:,} more stores" if len(named) > 5 else ""
        ways = [*list(storages)[:1], *named[:5]]
        parts.append(f"in the way: {'; '.join(ways)}{more}" if ways else "nothing is in flight")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Progress:
    """How a store stands at a moment.

    `step` is the plan's present step, `next_step` the one after it, and `time_left` the seconds left of the present
    one; they are None without a plan.  `in_service` is what a readiness probe answers.
    """

    state: str
    request: Logoff | None
    status: LogoffStatus
    inbound: int
    outbound: int
    ready: int
    deferred: int
    held: int
    peers: int
    step: PlanStep | None
    next_step: PlanStep | None
    time_left: float | None
    blockers: tuple[Blocker, ...]
    counters: Mapping[str, int]
    in_service: bool = True

    def __str__(self) -> str:
        left = f", {self.time_left:.0f} s left of {self.step}" if self.step and self.time_left is not None else ""
        then = f", then {self.next_step}" if self.next_step else ""
        counts = f"in {self.inbound}, out {self.outbound}, ready {self.ready}, deferred {self.deferred}"
        return f"{self.state}: {counts}, sent {self.counters['sent']}{left}{then}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _ids(messages: Sequence[Message]) -> str:
    shown = ", ".join(message.id for message in messages[:5])
    return shown if len(messages) <= 5 else f"{shown} and {len(messages) - 5} more"
