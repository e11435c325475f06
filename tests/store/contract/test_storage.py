"""One contract for all storages: what each method of a transaction does to a message, wherever it is.

Invariants: a message is in one state of its life, and counted by at most one process; a method that expects another
state changes nothing; a transaction that is left by an error changed nothing.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import (
    HealthCheck,
    event,
    given,
    settings,
    strategies as st,
)

from fsm.store import (
    StorageError,
    message as messages,
)
from fsm.store.life import LIFE, sources, target
from fsm.store.message import Message, new_id
from tests.store.conftest import Place
from tests.store.contract.one import One

A = Message("a" * 20, b"\0content\xff", "s@x", ("r@y", "q@z"), 12.5, headers={"traceparent": "00-1-2-01", "\0é": "\udc80"})


def opened(place: Place, **options: Any) -> One:
    one = One(place.new(**options))
    one.open()
    return one


def test_a_new_store_is_empty_and_has_no_peers(place: Place) -> None:
    one = One(place.new())
    look = one.open()
    assert (look.ready, look.deferred, look.peers, look.lapsed, look.aside) == (0, 0, 0, [], 0)
    assert one.messages() == []
    assert one.storage.durable is (place.kind != "memory")
    assert one.look().peers == 0
    assert one.do("first_due") is None


def test_a_message_is_what_was_submitted(place: Place) -> None:
    one = opened(place)
    one.do("submit", A)
    assert one.messages() == [replace(A, content=b"")]
    assert one.do("claim") == [replace(A, state="claimed", attempts=1)]
    assert one.do("claim") == []
    one.do("ended", A.id, "defer", "451 later", due=99.5, wait=60.0, recipients=["q@z"], uncertain=True)
    later = replace(A, state="deferred", attempts=1, due=99.5, reason="451 later", recipients=("q@z",), uncertain=1)
    assert one.messages("deferred") == [replace(later, content=b"")]
    assert one.messages("ready", "claimed", "held", "failed") == []
    assert one.do("first_due") == (99.5, 60.0)
    assert one.do("fall_due", 99.4, 10) == []
    assert one.do("fall_due", 99.5, 10) == [A.id]
    assert one.do("claim") == [replace(later, state="claimed", due=None, attempts=2)]
    assert one.storage.message(one.name, A.id).content == A.content


def test_a_message_that_has_a_past_keeps_it_and_an_attempt_can_be_given_back(place: Place) -> None:
    one, past = opened(place), replace(A, attempts=3, uncertain=2, reason="hung up")
    one.do("submit", past)
    assert one.messages() == [replace(past, content=b"")]
    assert one.do("claim") == [replace(past, state="claimed", attempts=4)]
    one.do("ended", A.id, "defer", "stopped", due=0.0, wait=0.0, refund=True)
    assert [message.attempts for message in one.messages()] == [3]


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_content_of_any_size_comes_back(place: Place, size: int) -> None:
    one, content = opened(place), bytes(range(256)) * (size // 256 + 1)
    one.do("submit", replace(A, content=content[:size]))
    assert one.do("claim")[0].content == content[:size]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(sender=st.text(st.characters()), to=st.lists(st.text(st.characters()), max_size=3), content=st.binary(), due=st.floats(0, 1e12))
def test_any_sender_recipients_and_content_come_back(place: Place, sender: str, to: list[str], content: bytes, due: float) -> None:
    one = One(place.made[0] if place.made else place.new())
    if len(place.made) == 1 and not hasattr(place, "one"):  # one for all examples
        one.open()
        place.one = one  # type: ignore[attr-defined]
    one = place.one  # type: ignore[attr-defined]
    message = Message(new_id(), content, sender, tuple(to), due)
    one.do("submit", message)
    assert one.do("claim") == [replace(message, state="claimed", attempts=1)]
    one.do("ended", message.id, "defer", sender, due=due, wait=1.0)
    assert one.messages()[0].due == due
    one.do("withdraw", message.id)
    assert one.messages() == []


def test_a_lone_surrogate_and_a_zero_are_no_harm(place: Place) -> None:
    one, message = opened(place), replace(A, sender="\udc80\0é", recipients=("\udcff", "\0", "ü"))
    one.do("submit", message)
    assert one.do("claim")[0] == replace(message, state="claimed", attempts=1)
    one.do("ended", A.id, "hold", "550 n\udce9e \0 é", uncertain=True)
    assert one.messages()[0].reason in ("550 n\\udce9e \\x00 é", "550 n\udce9e \0 é")


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, StorageError])
def test_a_transaction_left_by_an_error_changed_nothing(place: Place, error: type[BaseException]) -> None:
    one = opened(place)
    first, _, third = one.submit(3)
    assert one.claim() == [first]
    before = one.messages()
    with pytest.raises(error), one.transaction() as tx:  # noqa: PT012 - left by an error
        tx.submit(A)
        assert len(tx.claim(5)) == 3
        tx.sent(first)
        tx.withdraw(third)
        tx.record("{}", ['{"session":"s","start":{}}'])
        tx.leave(0, 0)
        raise error("no")
    assert one.messages() == before
    assert not one.handle.left
    one.do("submit", A)
    assert [message.id for message in one.do("claim", 5)][-1] == A.id, "it has not left"


def test_a_name_that_is_taken_is_an_error_that_changes_nothing(place: Place) -> None:
    one = opened(place)
    one.do("submit", A)
    with pytest.raises(StorageError), one.transaction() as tx:  # noqa: PT012 - its end is what fails
        tx.submit(replace(A, id="b" * 20))
        tx.submit(A)
    assert [message.id for message in one.messages()] == [A.id]


def test_order_is_that_of_submission_also_when_the_clock_goes_backwards(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    one = opened(place)
    moments = iter([5_000_000_000_000_000_000, 4, 3, 4_999_999_999_999_999_999, 2] * 4)
    monkeypatch.setattr(messages, "time", SimpleNamespace(time_ns=lambda: next(moments)))
    monkeypatch.setattr(messages, "_last", 0)
    made = [one.submit()[0] for _ in range(10)]
    assert made == sorted(made)
    assert [message.id for message in one.messages()] == made
    assert one.claim(4) == made[:4]
    for n, id in enumerate(made[:4]):
        one.do("ended", id, "defer", "later", due=10.0 - n, wait=1.0)
    assert one.do("first_due") == (7.0, 1.0)
    assert one.do("fall_due", 8.0, 10) == made[2:4]
    assert one.claim(3) == [*made[2:5]], "the oldest first"


def test_thousands_at_once(place: Place) -> None:
    one = opened(place)
    ids = one.submit(2500)
    assert one.claim(2500) == ids
    with one.transaction() as tx:
        for id in ids:
            tx.ended(id, "defer", "later", due=5.0, wait=1.0)
    assert len(one.do("fall_due", 5.0, 1000)) == len(one.messages("ready")) == 1000
    one.do("flush")
    assert [message.id for message in one.messages("ready")] == ids


def test_everything_to_one_message_in_one_transaction(place: Place) -> None:
    """A collected change is written before the next change of the same message."""
    one = opened(place)
    with one.transaction() as tx:
        tx.submit(A)
        assert [message.content for message in tx.claim_new([A.id])] == [A.content]
        tx.ended(A.id, "defer", "later", due=5.0, wait=1.0)
        assert tx.first_due() == (5.0, 1.0)
        assert tx.fall_due(5.0, 1) == [A.id]
        assert tx.claim()[0].attempts == 2
        tx.ended(A.id, "hold", "who knows")
        tx.sent(A.id)  # too late
        assert tx.resume(A.id)
        assert tx.withdraw(A.id) == ("ready", True)
        tx.submit(A)
        assert tx.withdraw(A.id) == ("ready", True)
        tx.submit(A)
    assert one.messages() == [replace(A, content=b"")]


def test_what_is_claimed_when_a_storage_closes_is_uncertain_and_opening_decides(place: Place) -> None:
    one = opened(place)
    a, b, c, d = one.submit(4)
    assert one.claim(3) == [a, b, c]
    one.do("ended", c, "defer", "later", due=7.0, wait=1.0)
    one.do("withdraw", d)
    one.close()
    one.close()
    again = One(one.storage if place.kind == "memory" else place.new(), policy="hold")
    look = again.open()
    assert (look.ready, look.deferred, look.aside) == (0, 1, 2)
    assert [(message.id, message.state, message.uncertain) for message in look.lapsed] == [(a, "held", 1), (b, "held", 1)]
    assert [(message.id, message.state) for message in again.messages()] == [(a, "held"), (b, "held"), (c, "deferred")]


def test_a_storage_that_is_not_open_says_so(place: Place) -> None:
    one = One(place.new())
    for again in (False, True):
        with pytest.raises(StorageError, match="not open"), one.storage.transaction():
            pass
        if not again:
            one.open()
            with pytest.raises(StorageError, match="open already"):
                one.storage.open()
            one.close()


def test_messages_can_be_read_by_any_thread(place: Place) -> None:
    one = opened(place)
    wrong: list[BaseException] = []
    stop = threading.Event()

    def look() -> None:
        try:
            while not stop.is_set():
                assert len(one.messages("ready")) % 5 == 0, "a transaction is seen as a whole"
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(40):
        one.submit(5)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(one.messages()) == 200


# --------------------------------------------------------------------------------- every event of a message's life

ACTS: dict[str, Any] = {
    "claim": lambda tx, one: tx.claim(1),
    "send": lambda tx, one: tx.sent(one),
    "defer": lambda tx, one: tx.ended(one, "defer", "why", due=0.0, wait=1.0),
    "fail": lambda tx, one: tx.ended(one, "fail", "why"),
    "hold": lambda tx, one: tx.ended(one, "hold", "why", uncertain=True),
    "lapse": lambda tx, one: tx.lapse(),
    "fall_due": lambda tx, one: tx.fall_due(1.0, 10),
    "set_aside": lambda tx, one: tx.set_aside(one, sources("set_aside"), "why"),
    "resume": lambda tx, one: tx.resume(one),
    "withdraw": lambda tx, one: tx.withdraw(one),
}
"""The method for each event; `resend` and `hold` of an uncertain message happen when it is looked."""
WAYS = {"ready": [], "claimed": ["claim"], "deferred": ["claim", "defer"], "held": ["claim", "hold"],
        "failed": ["claim", "fail"], "uncertain": ["claim", "lapse"]}  # fmt: skip


@pytest.mark.parametrize("event", ACTS)
@pytest.mark.parametrize("state", WAYS)
def test_a_storage_does_to_a_message_what_the_chart_of_its_life_says(place: Place, state: str, event: str) -> None:
    one = opened(place)
    (id,) = one.submit()
    for step in WAYS[state]:
        with one.transaction() as tx:
            ACTS[step](tx, id)
    assert [message.state for message in one.messages()] == [state]
    with one.transaction() as tx:
        ACTS[event](tx, id)
    legal = state in sources(event) and (state, event) != ("uncertain", "hold")  # which is not up to a process
    expected = target(event, state) if legal else state
    assert [message.state for message in one.messages()] == ([expected] if expected != "gone" else [])


def test_the_ways_lead_to_every_state() -> None:
    assert {*WAYS, "gone"} == {str(state) for state in LIFE.states}


# ------------------------------------------------------------------------------------------------------ at random


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_two_processes_do_each_message_is_counted_once(database: Place, data: st.DataObject) -> None:
    """The ready and deferred messages of a store are what its sessions count, after they have read their notes."""
    name = new_id()
    both = [One(database.new(), name, data.draw(st.sampled_from(["resend", "hold"]))) for _ in range(2)]
    ids: list[str] = []
    mine: dict[One, list[str]] = {one: [] for one in both}
    here: list[One] = []
    try:
        for _ in range(data.draw(st.integers(3, 25))):
            one = data.draw(st.sampled_from(both))
            if one not in here:
                one.open()
                here.append(one)
                continue
            act = data.draw(st.sampled_from(["submit", "claim", "take", "send", "defer", "hold", "withdraw", "aside", "due", "leave", "die", "look"]))
            event(act)
            if act == "submit":
                ids += one.submit(2)
            elif act == "claim":
                mine[one] += one.claim(2)
            elif act == "take":
                mine[one] += [message.id for message in one.do("take", 2)]
            elif act in ("send", "defer", "hold") and mine[one]:
                id = mine[one].pop()
                if act == "send":
                    one.do("sent", id)
                elif act == "defer":
                    one.do("ended", id, "defer", "later", due=1.0, wait=1.0)
                    one.deferred += 1
                else:
                    one.do("ended", id, "hold", "who knows", uncertain=True)
            elif act in ("withdraw", "aside") and ids:
                id = data.draw(st.sampled_from(ids))
                state, ours = one.do("withdraw", id) if act == "withdraw" else one.do("set_aside", id, sources("set_aside"), None)
                one.ready -= state == "ready" and ours
                one.deferred -= state == "deferred" and ours
            elif act == "due":
                due = one.do("fall_due", 2.0, 1)
                one.ready, one.deferred = one.ready + len(due), one.deferred - len(due)
            elif act in ("leave", "die"):
                if act == "leave":
                    with one.transaction() as tx:
                        tx.leave(one.ready, one.deferred)
                        tx.lapse()
                one.close()
                mine[one] = []
                here.remove(one)
            elif act == "look":
                one.look()
        for one in here:
            one.look()
        for one in here:  # the first may have left a note for the second
            one.look(peers=False, adopt=False)
        if here:
            states = [message.state for message in here[0].messages()]
            assert sum(one.ready for one in here) == states.count("ready")
            assert sum(one.deferred for one in here) == states.count("deferred")
            assert states.count("claimed") == sum(map(len, mine.values()))
    finally:
        for one in both:
            one.close()
