"""The contract of a storage: what happens to messages.  One suite over memory, a SQLite file and PostgreSQL."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import (
    HealthCheck,
    event,
    given,
    settings,
    strategies as st,
)

from fsm.store import message as messages
from fsm.store.errors import StorageError
from fsm.store.message import Message, new_id
from fsm.store.storage import Share, Storage
from tests.store.conftest import Place
from tests.store.contract.model import Model

if TYPE_CHECKING:
    from typing import Self

A = Message("a" * 20, b"\0content\xff", "s@x", ("r@y", "q@z"), 12.5)


def do(storage: Storage, method: str, *args: Any, **more: Any) -> Any:
    with storage.transaction() as tx:
        return getattr(tx, method)(*args, **more)


def submitted(storage: Storage, count: int = 1) -> list[str]:
    made = [Message(new_id(), f"content {n}".encode(), "s@x", ("r@y", "q@z"), 12.5) for n in range(count)]
    with storage.transaction() as tx:
        for one in made:
            tx.submit(one)
    return [one.id for one in made]


def test_a_new_store_is_empty_and_has_no_peers(place: Place) -> None:
    storage = place.new()
    opening = storage.open()
    assert (opening.share, opening.peers, opening.lapsed) == (Share((), ()), (), ())
    assert opening.holder
    assert storage.messages() == []
    assert storage.durable is (place.kind != "memory")
    assert do(storage, "peers") == ()


def test_a_message_is_what_was_submitted(place: Place) -> None:
    storage = place.new()
    storage.open()
    do(storage, "submit", A)
    assert storage.messages() == [replace(A, content=b"")]
    assert do(storage, "claim", [A.id]) == [replace(A, state="claimed", attempts=1)]
    assert do(storage, "claim", [A.id]) == []
    do(storage, "deferred", A.id, 99.5, "451 later", recipients=["q@z"], uncertain=True)
    later = replace(A, state="deferred", attempts=1, due=99.5, reason="451 later", recipients=("q@z",), uncertain=1)
    assert storage.messages("deferred") == [replace(later, content=b"")]
    assert storage.messages("ready", "claimed", "held", "failed") == []
    assert do(storage, "ready", [A.id]) == [A.id]
    assert do(storage, "claim", [A.id]) == [replace(later, state="claimed", due=None, attempts=2)]


def test_a_message_that_has_a_past_keeps_it(place: Place) -> None:
    storage, past = place.new(), replace(A, attempts=3, uncertain=2, reason="hung up")
    storage.open()
    do(storage, "submit", past)
    assert storage.messages() == [replace(past, content=b"")]
    assert do(storage, "claim", [A.id]) == [replace(past, state="claimed", attempts=4)]


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_content_of_any_size_comes_back(place: Place, size: int) -> None:
    storage = place.new()
    storage.open()
    content = bytes(range(256)) * (size // 256 + 1)
    do(storage, "submit", replace(A, content=content[:size]))
    assert do(storage, "claim", [A.id])[0].content == content[:size]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(sender=st.text(st.characters()), to=st.lists(st.text(st.characters()), max_size=3), content=st.binary(), due=st.floats(0, 1e12))
def test_any_sender_recipients_and_content_come_back(place: Place, sender: str, to: list[str], content: bytes, due: float) -> None:
    if not place.made:  # one for all examples
        place.new().open()
    storage = place.made[0]
    one = Message(new_id(), content, sender, tuple(to), due)
    do(storage, "submit", one)
    assert do(storage, "claim", [one.id]) == [replace(one, state="claimed", attempts=1)]
    do(storage, "deferred", one.id, due, sender)
    assert storage.messages()[0].due == due
    do(storage, "withdraw", one.id)
    assert storage.messages() == []


def test_a_lone_surrogate_and_a_zero_are_no_harm(place: Place) -> None:
    storage = place.new()
    storage.open()
    one = replace(A, sender="\udc80\0é", recipients=("\udcff", "\0", "ü"))
    do(storage, "submit", one)
    assert do(storage, "claim", [A.id])[0] == replace(one, state="claimed", attempts=1)
    do(storage, "held", A.id, "550 n\udce9e \0 é")
    assert storage.messages()[0].reason in ("550 n\\udce9e \\x00 é", "550 n\udce9e \0 é")


def test_a_transaction_left_by_an_error_changed_nothing(place: Place) -> None:
    storage = place.new()
    storage.open()
    first, second, third = submitted(storage, 3)
    do(storage, "claim", [second])
    before = storage.messages(), do(storage, "share")
    for error in (KeyError, KeyboardInterrupt, StorageError):
        with pytest.raises(error), storage.transaction() as tx:  # noqa: PT012 - left by an error
            tx.submit(A)
            tx.claim([first])
            tx.sent(second)
            tx.withdraw(third)
            tx.record("s", '{"session":"s","event":"submit"}')
            tx.leave()
            tx.share()
            raise error("no")
        assert (storage.messages(), do(storage, "share")) == before
    do(storage, "submit", A)
    assert A.id in do(storage, "share").ready, "it has not left"


def test_a_name_that_is_taken_is_an_error_that_changes_nothing(place: Place) -> None:
    storage = place.new()
    storage.open()
    do(storage, "submit", A)
    with pytest.raises(StorageError), storage.transaction() as tx:  # noqa: PT012 - its end is what fails
        tx.submit(replace(A, id="b" * 20))
        tx.submit(A)
    assert [one.id for one in storage.messages()] == [A.id]


def test_order_is_that_of_submission_also_when_the_clock_goes_backwards(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = place.new()
    storage.open()
    moments = iter([5_000_000_000_000_000_000, 4, 3, 4_999_999_999_999_999_999, 2] * 4)
    monkeypatch.setattr(messages, "time", SimpleNamespace(time_ns=lambda: next(moments)))
    monkeypatch.setattr(messages, "_last", 0)
    made = [submitted(storage)[0] for _ in range(10)]
    assert made == sorted(made)
    assert [one.id for one in storage.messages()] == made
    assert do(storage, "share").ready == tuple(made)
    assert [one.id for one in do(storage, "claim", made[::-1])] == made[::-1], "in the order that was asked for"
    for id in made:
        do(storage, "deferred", id, 5.0, "later")
    assert do(storage, "ready", made[3:5] + made[:1]) == made[3:5] + made[:1]
    do(storage, "leave")
    assert [one.id for one in do(storage, "take", 2)] == [made[0], made[3]], "the oldest first"


def test_thousands_at_once(place: Place) -> None:
    storage = place.new()
    storage.open()
    ids = submitted(storage, 2500)
    assert [one.id for one in do(storage, "claim", ids)] == ids
    with storage.transaction() as tx:
        for id in ids:
            tx.deferred(id, 5.0, "later")
    assert do(storage, "ready", ids) == ids
    assert do(storage, "share").ready == tuple(ids)


def test_everything_to_one_message_in_one_transaction(place: Place) -> None:
    """A collected change is written before the next change of the same message."""
    storage = place.new()
    storage.open()
    with storage.transaction() as tx:
        tx.submit(A)
        assert [one.content for one in tx.claim([A.id])] == [A.content]
        tx.deferred(A.id, 5.0, "later")
        assert tx.share() == Share((), ((A.id, 5.0),))
        assert tx.ready([A.id]) == [A.id]
        tx.claim([A.id])
        tx.held(A.id, "who knows")
        tx.sent(A.id)  # too late
        assert tx.resume(A.id)
        assert tx.withdraw(A.id) == "ready"
        tx.submit(A)
        assert tx.withdraw(A.id) == "ready"
        tx.submit(A)
    assert storage.messages() == [replace(A, content=b"")]
    (other,) = submitted(storage)
    with storage.transaction() as tx:
        tx.claim([A.id, other])
        tx.sent(other)
        tx.held(A.id, "who knows")
        tx.sent(A.id)  # the same as for the other, and too late again
    assert [(one.id, one.state) for one in storage.messages()] == [(A.id, "held")]


def test_closing_lapses_what_is_claimed_and_opening_adopts(place: Place) -> None:
    storage = place.new()
    storage.open()
    a, b, c, d = submitted(storage, 4)
    do(storage, "claim", [b, c])
    do(storage, "deferred", c, 7.0, "later")
    do(storage, "withdraw", d)
    storage.close()
    storage.close()
    opening = storage.open() if place.kind == "memory" else place.new().open()
    assert opening.share.ready in ((a, b),)
    assert opening.share.deferred == ((c, 7.0),)


@pytest.mark.parametrize("use", [lambda s: s.transaction().__enter__(), lambda s: do(s, "share")])
def test_a_storage_that_is_not_open_says_so(place: Place, use: Any) -> None:
    storage = place.new()
    for again in (False, True):
        with pytest.raises(StorageError, match="not open"):
            use(storage)
        if not again:
            storage.open()
            with pytest.raises(StorageError, match="open already"):
                storage.open()
            storage.close()
    storage.notify_peers()


def test_messages_and_notify_peers_are_for_any_thread(place: Place) -> None:
    storage = place.new()
    storage.open()
    wrong: list[BaseException] = []
    stop = threading.Event()

    def look() -> None:
        try:
            while not stop.is_set():
                found = storage.messages()
                assert len(found) % 5 == 0, "a transaction is seen as a whole"
                storage.notify_peers()
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for one in threads:
        one.start()
    for _ in range(40):
        submitted(storage, 5)
    stop.set()
    for one in threads:
        one.join()
    assert wrong == []
    assert len(storage.messages()) == 200


# ----------------------------------------------------------------------------------- the whole product, and at random

PLACES = ["ready ours", "ready theirs", "ready nobody's", "deferred ours", "deferred theirs", "deferred nobody's",
          "claimed ours", "claimed theirs", "held", "failed", "gone"]  # fmt: skip
METHODS: dict[str, tuple[Any, ...]] = {
    "claim": (lambda m: ([m],), {}), "take": (lambda m: (1,), {}), "sent": (lambda m: (m,), {}),
    "deferred": (lambda m: (m, 9.0, "why"), {"recipients": ["x"], "uncertain": True}), "adopt": (lambda m: (), {}),
    "failed": (lambda m: (m, "why"), {"reported": False, "recipients": ["x"]}), "held": (lambda m: (m, "why"), {}),
    "failed and reported": (lambda m: (m, "why"), {"reported": True}), "ready": (lambda m: ([m],), {}),
    "withdraw": (lambda m: (m,), {}), "resume": (lambda m: (m,), {}), "leave": (lambda m: (), {}),
}  # fmt: skip


class Holders:
    """Two or three holders of one new store, and the model of it."""

    def __init__(self, place: Place, names: str, policy: str = "resend") -> None:
        self.place, self.options = place, {"store": uuid4().hex, "policy": policy}
        self.model = Model(policy)
        self.storages: dict[str, Any] = {}
        for name in names:
            self.open(name)

    def open(self, name: str) -> None:
        storage = self.storages[name] = self.place.new(**self.options)
        assert storage.open().share == self.model.open(name)

    def close(self, name: str) -> None:
        self.storages.pop(name).close()
        self.model.close(name)

    def do(self, name: str, *steps: tuple[str, tuple[Any, ...], dict[str, Any]], fails: bool = False) -> None:
        """Do these steps in a transaction and in the model, and compare the results."""
        model = self.model.copy()
        try:
            with self.storages[name].transaction() as tx:
                for method, args, more in steps:
                    assert getattr(tx, method)(*args, **more) == model.do(name, method, *args, **more), method
                if fails:
                    raise KeyError
        except KeyError:
            return
        self.model = model

    def agree(self) -> None:
        for name, storage in self.storages.items():
            assert storage.messages() == self.model.listed()
            if name not in self.model.left:
                with storage.transaction() as tx:
                    assert tx.share() == self.model.share(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for storage in self.storages.values():
            storage.close()


@pytest.mark.parametrize("method", METHODS)
def test_each_method_on_a_message_in_each_place(every_database: Place, method: str) -> None:
    """Every method on a message in every state, owned by every holder: the whole product."""
    arguments, more = METHODS[method]
    with Holders(every_database, "mt") as both:
        for at in PLACES:  # the messages of earlier rounds stay, and are compared as well
            one = replace(A, id=new_id())
            state, _, whose = at.partition(" ")
            owner = "t" if whose in ("theirs", "nobody's") else "m"
            steps: list[Any] = [("submit", (one,), {})]
            if state != "ready":
                steps.append(("claim", ([one.id],), {}))
            if state in ("deferred", "held"):
                steps.append((state, (one.id, 5.0, "before") if state == "deferred" else (one.id, "before"), {}))
            if state in ("failed", "gone"):
                steps.append(("failed", (one.id, "before"), {"reported": state == "gone"}))
            both.do(owner, *steps)
            if whose == "nobody's":
                both.do("t", ("leave", (), {}))
            both.do("m", (method.partition(" ")[0], arguments(one.id), more))
            both.agree()
            for name in [*both.model.left]:
                both.close(name)
                both.agree()
                both.open(name)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), policy=st.sampled_from(["resend", "hold"]))
def test_random_interleavings_keep_each_message_in_one_place(place: Place, data: st.DataObject, policy: str) -> None:
    names = "a" if place.kind == "memory" else data.draw(st.sampled_from(["ab", "abc"]))
    ids: list[str] = []

    def step() -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        method = data.draw(st.sampled_from(["submit", *METHODS]))
        if method == "submit" or not ids:
            ids.append(new_id())
            return "submit", (replace(A, id=ids[-1]),), {}
        if method == "leave" and data.draw(st.booleans()):
            method = "claim"
        arguments, more = METHODS[method]
        event(method)
        return method.partition(" ")[0], arguments(data.draw(st.sampled_from(ids[-8:]))), more

    with Holders(place, names, policy) as both:
        for _ in range(data.draw(st.integers(1, 12))):
            name = data.draw(st.sampled_from([*both.storages]))
            if data.draw(st.integers(0, 9)) == 0 and place.kind != "memory":
                both.close(name)
                both.agree()
                both.open(name)
            elif name not in both.model.left:
                steps: list[Any] = []
                for _ in range(data.draw(st.integers(1, 5))):
                    steps.append(step())
                    if steps[-1][0] == "leave":
                        break
                both.do(name, *steps, fails=data.draw(st.integers(0, 5)) == 0)
            both.agree()
