"""Stores on one database, used at random: what is left when all is quiet is what the model of a queue allows.

Invariants, for every seed: each session counts exactly its share of the queue; submitted = sent + failed + withdrawn +
still there; nothing was sent twice but what is marked uncertain; nothing is in flight when everything was closed; and
of those who closed, none waited for the work of another.
"""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock, Thread
from typing import Any

import pytest

from fsm.logoff import Logoff, MapiError
from fsm.store import Retry, StorageError, StoreClosing
from fsm.store.step import PendingStep
from fsm.store.sync import InFlight, Store
from fsm.verdict import Refused
from tests.store.conftest import Place
from tests.store.contract.driven import counted, scheduled

MOST = 60.0
"""Real seconds after which something is taken to hang."""


class Tally:
    """What all stores did, seen from outside."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.submitted: set[str] = set()
        self.sent: list[InFlight] = []
        self.withdrawn: list[str] = []
        self.doubted: list[str] = []

    def note(self, where: str, what: Any) -> None:
        with self.lock:
            if where == "submitted":
                self.submitted.add(what)
            else:
                getattr(self, where).append(what)

    def ended(self) -> Counter[str]:
        """How often each is gone for good."""
        return Counter([*self.withdrawn, *(item.id for item in self.sent if item.unrecorded is None)])

    def maybe(self) -> Counter[str]:
        """How often it was open whether each had arrived; so it is when a store is let go while it is being sent."""
        return Counter([*self.doubted, *(item.id for item in self.sent if item.unrecorded is not None)])


class Shift:
    """A store with its workers, one run of it."""

    def __init__(self, place: Place, seed: str, tally: Tally) -> None:
        self.random, self.tally = random.Random(seed), tally
        self.policy = self.random.choice(["resend", "hold"])
        inbox = self.random.random() < 0.5
        retry = Retry(first=0.0, longest=0.0) if self.random.random() < 0.5 else Retry(first=3600)
        self.store = Store(place.new(), default_inbox=inbox, uncertain=self.policy, retry=retry)
        self.workers = [Thread(target=self.send, args=(n,), daemon=True) for n in range(self.random.randrange(3))]
        for worker in self.workers:
            worker.start()

    def send(self, number: int) -> None:
        chance = random.Random(self.random.random())
        for item in self.store.outgoing(provider=f"mx{number}"):
            with suppress(OSError, StorageError):
                ending = chance.choice(["sent"] * 5 + ["later", "uncertain", "failed", "reported", "broken", "unentered"])
                if ending == "unentered":
                    self.store._core.abandon(item)
                    continue
                with item:
                    if ending == "later":
                        item.defer("451 later")
                    elif ending in ("failed", "reported"):
                        item.fail("550 no", reported=ending == "reported")
                    elif ending == "uncertain":
                        item.past_no_return()
                        self.tally.note("doubted", item.id)
                        raise OSError("hung up after the final dot")
                    elif ending == "broken":
                        raise OSError("hung up")
                    if ending in ("sent", "reported"):
                        self.tally.note("sent", item)

    def act(self) -> None:
        """Something, at random."""
        store, chance = self.store, self.random
        with suppress(StoreClosing, MapiError, Refused, StorageError):
            match chance.choice(["submit"] * 4 + ["inbound", "withdraw", "resume", "logoff", "look"]):
                case "submit":
                    self.tally.note("submitted", store.submit(b"x" * chance.randrange(50)))
                case "inbound":
                    with store.inbound(peer="a peer"):
                        pass
                case "withdraw":
                    if there := store.messages("ready", "deferred", "held", "failed"):
                        id = chance.choice(there).id
                        store.withdraw(id)
                        self.tally.note("withdrawn", id)
                case "resume":
                    if there := store.messages("held", "failed"):
                        store.resume(chance.choice(there).id)
                case "logoff" if chance.random() < 0.15:
                    store.logoff(chance.choice(list(Logoff)))
                case "look":
                    store._core.peers.refresh()

    def run(self) -> None:
        for _ in range(self.random.randrange(10, 30)):
            self.act()
        if self.random.random() < 0.8:
            flags = self.random.sample(["NO_WAIT", "PURGE", "QUIET", "ABORT", "PURGE"], 2)
            self.outcome: Any = self.store.close(f"{flags[0]} 100ms -> {flags[1]} 100ms -> cancel 20s")
            assert self.outcome.released, self.outcome
            assert self.store.blockers() == ()

    def end(self) -> None:
        self.store.let_go()
        self.store._spooler.close().result(MOST)  # letting go waits only as long as the storage answers
        for worker in self.workers:
            worker.join(MOST)
            assert not worker.is_alive()

    def agrees(self) -> None:
        """What the session counts is what the storage has in our parts, and what others have just taken."""

        def look(step: PendingStep) -> None:
            if not step.session.complete:
                assert (step.session.ready, step.session.deferred) == counted(step)

        scheduled(self.store, look).result(MOST)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_or_doubled_whatever_stores_do_together(database: Place, seed: int) -> None:
    tally = Tally()
    with ThreadPoolExecutor(3) as pool:
        for round in range(2):
            shifts = [Shift(database, f"{seed} {round} {n}", tally) for n in range(3)]
            running = [pool.submit(shift.run) for shift in shifts]
            for one in running:
                one.result(MOST)
            for shift in shifts:
                shift.agrees()
            for shift in shifts:
                shift.end()
    last = Store(database.new())
    kept = {message.id: message for message in last.messages()}
    assert last.session.ready + last.session.deferred == len([one for one in kept.values() if one.state in ("ready", "deferred")])
    assert not {id for id, message in kept.items() if message.state == "claimed"}
    ended = tally.ended()
    assert tally.submitted == set(ended) | set(kept)
    assert set(ended) & set(kept) == set()
    assert {id: times for id, times in ended.items() if times != 1} == {}
    for id, times in tally.maybe().items():
        assert id not in kept or kept[id].uncertain >= times
