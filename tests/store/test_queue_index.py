"""The queue index against a plain model: two sorted lists.  Invariant: a message is ready, or deferred, or not there."""

from __future__ import annotations

from hypothesis import (
    given,
    strategies as st,
)
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fsm.store.queue_index import QueueIndex
from fsm.store.storage import Share

IDS = st.sampled_from([f"{n:02}" for n in range(12)])
DUES = st.integers(0, 9).map(float)


class Kept(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.index = QueueIndex(Share((), ()))
        self.ready: set[str] = set()
        self.deferred: dict[str, float] = {}

    @rule(ids=st.lists(IDS, max_size=4))
    def queue(self, ids: list[str]) -> None:
        self.index.add_ready(ids)
        self.ready |= set(ids)
        for id in ids:
            self.deferred.pop(id, None)

    @rule(id=IDS, due=DUES)
    def defer(self, id: str, due: float) -> None:
        self.index.remove(id)
        self.index.defer(id, due)
        self.ready.discard(id)
        self.deferred[id] = due

    @rule(id=IDS)
    def remove(self, id: str) -> None:
        self.index.remove(id)
        self.ready.discard(id)
        self.deferred.pop(id, None)

    @rule(ready=st.sets(IDS, max_size=5), due=DUES)
    def replace(self, ready: set[str], due: float) -> None:
        self.ready, self.deferred = ready, {"99": due}
        self.index.replace(Share(tuple(sorted(ready)), (("99", due),)))

    @rule(count=st.integers(0, 14))
    def oldest(self, count: int) -> None:
        assert self.index.oldest(count) == sorted(self.ready)[:count]

    @rule(moment=DUES)
    def due(self, moment: float) -> None:
        assert self.index.due_by(moment) == sorted(id for id, due in self.deferred.items() if due <= moment)

    @invariant()
    def same(self) -> None:
        assert (self.index.ready, self.index.deferred) == (self.ready, self.deferred)
        assert self.index.first_due() == min(self.deferred.values(), default=None)
        assert all((id in self.index) == (id in self.ready or id in self.deferred) for id in ("00", "11", "99"))


TestKept = Kept.TestCase


@given(st.lists(IDS, unique=True))
def test_asking_for_the_oldest_changes_nothing(ids: list[str]) -> None:
    index = QueueIndex(Share(tuple(sorted(ids)), ()))
    assert index.oldest(len(ids)) == index.oldest(len(ids)) == sorted(ids)
