"""Holding against a plain model: two sorted lists.  Invariant: a message is ready, or deferred, or not there."""

from __future__ import annotations

from hypothesis import (
    given,
    strategies as st,
)
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fsm.store.queue_index import Holding
from fsm.store.storage import Share

IDS = st.sampled_from([f"{n:02}" for n in range(12)])
DUES = st.integers(0, 9).map(float)


class Kept(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.holding = Holding(Share((), ()))
        self.ready: set[str] = set()
        self.deferred: dict[str, float] = {}

    @rule(ids=st.lists(IDS, max_size=4))
    def queue(self, ids: list[str]) -> None:
        self.holding.queue(ids)
        self.ready |= set(ids)
        for id in ids:
            self.deferred.pop(id, None)

    @rule(id=IDS, due=DUES)
    def defer(self, id: str, due: float) -> None:
        self.holding.forget(id)
        self.holding.defer(id, due)
        self.ready.discard(id)
        self.deferred[id] = due

    @rule(id=IDS)
    def forget(self, id: str) -> None:
        self.holding.forget(id)
        self.ready.discard(id)
        self.deferred.pop(id, None)

    @rule(ready=st.sets(IDS, max_size=5), due=DUES)
    def become(self, ready: set[str], due: float) -> None:
        self.ready, self.deferred = ready, {"99": due}
        self.holding.become(Share(tuple(sorted(ready)), (("99", due),)))

    @rule(count=st.integers(0, 14))
    def oldest(self, count: int) -> None:
        assert self.holding.oldest(count) == sorted(self.ready)[:count]

    @rule(moment=DUES)
    def due(self, moment: float) -> None:
        assert self.holding.due_by(moment) == sorted(id for id, due in self.deferred.items() if due <= moment)

    @invariant()
    def same(self) -> None:
        assert (self.holding.ready, self.holding.deferred) == (self.ready, self.deferred)
        assert self.holding.first_due() == min(self.deferred.values(), default=None)
        assert all((id in self.holding) == (id in self.ready or id in self.deferred) for id in ("00", "11", "99"))


TestKept = Kept.TestCase


@given(st.lists(IDS, unique=True))
def test_asking_for_the_oldest_changes_nothing(ids: list[str]) -> None:
    holding = Holding(Share(tuple(sorted(ids)), ()))
    assert holding.oldest(len(ids)) == holding.oldest(len(ids)) == sorted(ids)
