"""Data at run time: what a trigger takes, what gets it, and what is refused in one sentence with nothing changed."""

from __future__ import annotations

import copy
import inspect
import io
import json
import pickle
from concurrent.futures import ProcessPoolExecutor
from enum import Enum, IntEnum, StrEnum
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)
from transitions import MachineError

from fsm import (
    Boolean,
    Chart,
    Choice,
    Counter,
    DataError,
    DefinitionError,
    Event,
    Field,
    Machine,
    Number,
    Refused,
    Session,
    State,
    Step,
    UnknownEvent,
    row,
    trigger,
)  # fmt: skip
from fsm.journal import Recorder, replay
from fsm.journal.reader import JournalError

AMOUNT, BALANCE, FROZEN = Number("amount", "in cents"), Counter("balance"), Boolean("frozen")
REASON, RATE, NOTE = Field("reason", str, default=""), Field("rate", float, default=1.0), Field("note", str | None)


def fair(session: object, reason: str) -> bool:
    return reason != "unfair"


ACCOUNT = Chart(
    "account", states=["open", State("closed", final=True)], variables=[BALANCE, FROZEN],
    events=[Event("pay", data=(AMOUNT, REASON)), Event("draw", data=(AMOUNT, RATE, NOTE)), "freeze", "close"],
    rows=[
        row("pay", "open", "pay", guard=AMOUNT > 0, unless=lambda session, reason: not fair(session, reason),
            effects=[BALANCE.becomes(BALANCE + AMOUNT)]),
        row("draw", "open", "draw", guard=(AMOUNT <= BALANCE) & ~FROZEN, effects=[BALANCE.becomes(BALANCE - AMOUNT)]),
        row("freeze", "open", "freeze", guard=~FROZEN, effects=[FROZEN.becomes(True)]),
        row("close", "open", "close", guard=BALANCE == 0, target="closed"),
    ],
)  # fmt: skip


class Account(Session, chart=ACCOUNT):
    """An account."""

    __slots__ = ("_balance", "_frozen")
    balance: int
    frozen: bool

    @trigger
    def pay(self, *, amount: int, reason: str = "") -> None:
        """Money comes in."""

    @trigger
    def draw(self, *, note: str | None, amount: int, rate: float = ...) -> None:  # type: ignore[assignment]
        """Money goes out."""

    @trigger
    def freeze(self) -> None: ...

    @trigger
    def close(self) -> None: ...


Level = IntEnum("Level", "LOW HIGH")


@pytest.mark.parametrize("kind", [Account, Session.of(ACCOUNT)])
def test_data_reach_guards_effects_and_listeners(kind: Any) -> None:
    account, steps = kind(), list[Step]()
    account.pay(amount=5, reason="gift")
    account.listen(type("L", (), {"before_draw": lambda self, step: steps.append(step), "on_transition": lambda self, step: steps.append(step)})())
    account.draw(amount=Level.HIGH, note=None)
    assert account.fire("pay", amount=10**30) is True
    assert account.post("draw", amount=1, note="x", rate=2).result() is True
    assert account.configuration == ("open", 10**30 + 2, False)
    assert (account.balance, account.frozen) == (10**30 + 2, False)
    assert [dict(step.data) for step in steps] == [{"amount": 2, "rate": 1.0, "note": None}] * 2 + [
        {"amount": 10**30, "reason": ""}, *[{"amount": 1, "rate": 2.0, "note": "x"}] * 2,
    ]  # fmt: skip
    account.freeze()
    assert dict(steps[-1].data) == {}
    for step in (steps[0], steps[-1]):
        with pytest.raises(TypeError):
            step.data["amount"] = 1  # type: ignore[index]


WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("pay", (), {}, r"cannot pay with these data: it needs amount \(in cents\)"),
    ("pay", (), {"amount": -1}, "amount must be a whole number, 0 or more, not -1"),
    ("pay", (), {"amount": 1.0}, "not 1.0"),
    ("pay", (), {"amount": True}, "not True"),
    ("pay", (), {"amount": "5"}, "not '5'"),
    ("pay", (), {"amount": None}, "not None"),
    ("pay", (), {"amount": 5, "reason": None}, "reason must be a string, not None"),
    ("pay", (), {"amount": 5, "colour": 1}, r"it takes no 'colour' \(it takes amount, reason\)"),
    ("pay", (5,), {}, r"they are given by keyword: pay\(amount=…, reason=…\)"),
    ("draw", (), {"amount": 5, "note": 3, "rate": "x"}, "rate must be a finite number, not 'x'; note must be a string or None, not 3"),
    ("draw", (), {"amount": 5, "note": "", "rate": float("nan")}, "rate must be a finite number"),
    ("draw", (), {"amount": 5, "note": "", "rate": float("inf")}, "rate must be a finite number"),
]


@pytest.mark.parametrize("listening", [False, True])
@pytest.mark.parametrize(("event", "args", "data", "message"), WRONG)
def test_wrong_data_are_refused_in_one_sentence_and_change_nothing(
    event: str, args: tuple[Any, ...], data: dict[str, Any], message: str, listening: bool
) -> None:
    account = Account(balance=9)
    if listening:
        account.listen(type("L", (), {"on_transition": lambda self, step: None})())
    asks = [lambda: getattr(account, event)(*args, **data)]
    if not args:
        asks += [lambda: account.fire(event, **data), lambda: account.post(event, **data)]
        asks += [lambda: account.may(event, **data), lambda: ACCOUNT.step(account.configuration, event, **data)] if data else []
    for ask in asks:
        with pytest.raises(DataError, match=message) as caught:
            ask()
        assert caught.value.event == event
        assert isinstance(caught.value, ValueError)
    assert account.configuration == ("open", 9, False)


def test_an_event_without_data_takes_none() -> None:
    account = Account()
    for ask in (account.fire, account.post, account.may):
        with pytest.raises(DataError, match=r"cannot freeze with these data: it takes no 'amount' \(it has no data\)"):
            ask("freeze", amount=1)
    with pytest.raises(TypeError, match=r"freeze\(\) got an unexpected keyword argument 'amount'"):
        account.freeze(amount=1)  # type: ignore[call-arg]


def test_refusals_name_the_data() -> None:
    account = Account(balance=3)
    with pytest.raises(Refused, match="cannot draw while open: needs amount <= balance; balance is 3, amount is 5") as caught:
        account.draw(amount=5, note=None)
    assert caught.value.verdict.data == {"amount": 5, "rate": 1.0, "note": None}
    with pytest.raises(Refused, match=r"needs not .*lambda"):
        account.pay(amount=5, reason="unfair")


def test_a_question_without_data_is_whether_some_would_be_accepted() -> None:
    account = Account(balance=3)
    assert account.may("draw").accepted
    assert account.may("pay").accepted
    assert account.may("draw", amount=3, note=None).after == ("open", 0, False)
    assert not account.may("draw", amount=4, note=None)
    assert account.verdicts()["draw"].legal == ("pay", "draw", "freeze")
    account.freeze()
    verdict = account.may("draw")
    assert (verdict.accepted, verdict.data, verdict.reason) == (False, None, "needs not frozen; frozen is true")
    low = Chart("low", states=["a"], events=[Event("go", data=AMOUNT)], variables=[BALANCE], rows=[
        row("r", "a", "go", guard=(AMOUNT > BALANCE) & (AMOUNT < 5)),
    ])  # fmt: skip
    assert Session.of(low)(balance=3).may("go")
    refused = Session.of(low)(balance=4).may("go")
    assert refused.reason == "needs amount > balance and amount < 5; balance is 4"


def test_a_pure_step_says_what_would_change() -> None:
    change = ACCOUNT.step(("open", 5, False), "draw", amount=2, note=None)
    assert (change.event, change.row.id, change.source, change.target) == ("draw", "draw", "open", "open")
    assert (change.before, change.after, change.data["amount"]) == (("open", 5, False), ("open", 3, False), 2)
    with pytest.raises(Refused, match="amount is 6"):
        ACCOUNT.step(("open", 5, False), "draw", amount=6, note=None)
    with pytest.raises(DataError, match="it needs amount"):
        ACCOUNT.step(("open", 5, False), "draw")
    with pytest.raises(UnknownEvent):
        ACCOUNT.step(("open", 5, False), "steal")
    for strange in (("shut", 5, False), ("open", -1, False), ("open", 5, 0)):
        with pytest.raises(ValueError):  # noqa: PT011
            ACCOUNT.step(strange, "freeze")
    with pytest.raises(DefinitionError, match="a callable guard can be asked by a session"):
        ACCOUNT.step(("open", 5, False), "pay", amount=1)


def declared(**triggers: Any) -> Any:
    body = {"pay": Account.__dict__["pay"], **triggers}

    def draw(self: Any, *, amount: int, note: str | None, rate: float = 1.0) -> None: ...

    def freeze(self: Any) -> None: ...

    def close(self: Any) -> None: ...

    functions = {"draw": draw, "freeze": freeze, "close": close, **body}
    return type("Mine", (Session,), {name: one if "__trigger__" in vars(one) else trigger(one) for name, one in functions.items()}, chart=ACCOUNT)


async def coming(self: Any) -> None: ...


def shaped(text: str) -> Any:
    space: dict[str, Any] = {}
    exec(text, {"Optional": Optional}, space)
    return next(iter(space.values()))


SHAPES = [
    ("def pay(self): ...", r"write def pay\(self, \*, amount: int, reason: str = ''\) -> None"),
    ("def pay(self, amount: int, reason: str = ''): ...", "parameters unlike its event"),
    ("def pay(self, *, amount: int): ...", "parameters unlike its event, with amount, reason"),
    ("def pay(self, *, amount: str, reason: str = ''): ...", "parameters unlike its event"),
    ("def pay(self, *, amount: 'int', reason: 'str | None' = ''): ...", "parameters unlike its event"),
    ("def pay(self, *, amount: int = 0, reason: str = ''): ...", "parameters unlike its event"),
    ("def pay(self, *, amount: int, reason: str): ...", "parameters unlike its event"),
    ("def pay(self, *, amount: int, reason: str = 'x'): ...", "parameters unlike its event"),
    ("def pay(self, *, amount: int, reason: str = '', **more): ...", "parameters unlike its event"),
    ("def pay(self, *, amount: int, reason: str = '', x: int = 1): ...", "parameters unlike its event"),
    ("def close(self, why): ...", r"parameters unlike its event, with no data; write def close\(self\) -> None"),
    ("def close(self, *args): ...", "parameters unlike its event"),
    ("def close(): ...", "parameters unlike its event"),
    ("def close(self): return 5", "has a body, which would never run"),
    ("def close(self): return self", "has a body, which would never run"),
    ("def close(self): print(self)", "has a body, which would never run"),
    ("def close(self):\n    'doc'\n    raise NotImplementedError", "has a body, which would never run"),
    ("async def close(self): ...", "its trigger close is an async function; a trigger never waits"),
    ("def close(self): yield", "its trigger close is a generator function"),
]


@pytest.mark.parametrize(("text", "message"), SHAPES)
def test_a_trigger_of_another_shape_than_its_event_is_refused(text: str, message: str) -> None:
    function = shaped(text)
    with pytest.raises(DefinitionError, match=message):
        declared(**{function.__name__: function})


@pytest.mark.parametrize("text", [
    "def close(self): 'doc'", "def close(self): pass", "def close(self): ...", "def close(self):\n    'doc'\n    ...",
    "def close(self):\n    'doc'\n    pass", "def close(self): return None", "def close(self): return",
    "def pay(self, *, reason: 'str' = ..., amount: 'NotThere'): ...", "def pay(self, *, amount, reason=''): ...",
])  # fmt: skip
def test_a_trigger_of_the_shape_of_its_event_is_taken(text: str) -> None:
    function = shaped(text)
    assert declared(**{function.__name__: function})().pay(amount=1)


@pytest.mark.parametrize("value", [staticmethod(lambda: None), classmethod(lambda cls: None), property(lambda self: None), 5])
def test_only_methods_are_triggers(value: Any) -> None:
    with pytest.raises(DefinitionError, match="@trigger belongs on a plain method"):
        trigger(value)


def test_help_shows_the_data() -> None:
    for kind in (Account, Session.of(ACCOUNT)):
        kind()
        assert str(inspect.signature(kind.draw)) == "(self, /, *, amount: int, rate: float = 1.0, note: str | None) -> bool"  # type: ignore[attr-defined]
        assert str(inspect.signature(kind.close)) == "(self) -> bool"  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------- the same everywhere

MIX = Chart("mix", states=["a", "b"], variables=[BALANCE, Counter("debt")], events=[
    Event("in_", data=(AMOUNT, Number("times", default=1))), Event("out", data=AMOUNT), "turn",
], rows=[
    row("in", "a", "in_", guard=AMOUNT + 2 * Number("times") <= 9, effects=[BALANCE.becomes(BALANCE + AMOUNT + 2 * Number("times"))]),
    row("in-much", "a", "in_", guard=AMOUNT + 2 * Number("times") > 9, effects=[BALANCE.becomes(0)], target="b"),
    row("out", ("a", "b"), "out", guard=AMOUNT <= BALANCE, effects=[BALANCE.becomes(BALANCE - AMOUNT)]),
    row("out-debt", "b", "out", guard=AMOUNT > BALANCE, effects=[Counter("debt").becomes(AMOUNT), BALANCE.becomes(Counter("debt"))]),
    row("turn", "a", "turn", target="b"), row("turn-back", "b", "turn", guard=BALANCE > Counter("debt"), target="a"),
    row("again", "b", "turn", guard=BALANCE <= Counter("debt"), reenter=True),
])  # fmt: skip
CALLS = st.lists(st.one_of(
    st.tuples(st.just("in_"), st.fixed_dictionaries({"amount": st.integers(0, 9)}, optional={"times": st.integers(0, 5)})),
    st.tuples(st.just("out"), st.fixed_dictionaries({"amount": st.integers(0, 12)})), st.tuples(st.just("turn"), st.just({})),
), max_size=25)  # fmt: skip
Mixed = Session.of(MIX)


class Model:
    """A model of transitions."""


@settings(max_examples=60, deadline=None)
@given(CALLS)
def test_compiled_listened_pure_and_transitions_steps_agree(calls: list[tuple[str, dict[str, int]]]) -> None:
    plain, listened, early, model = Mixed(), Mixed(), Mixed(), Model()
    machine = Machine(chart=MIX, model=model)
    listened.listen(type("L", (), {"on_transition": lambda self, step: None})())
    early.listen(type("L", (), {"before": lambda self, step: None})())
    for event, data in calls:
        before, verdict = plain.configuration, plain.may(event, **data)
        for session in (plain, listened, early):
            try:
                assert session.fire(event, **data)
            except Refused as refused:
                assert refused.verdict == verdict
        try:
            assert getattr(model, event)(**data) is verdict.accepted
            pure: Any = MIX.step(before, event, **data).after
        except MachineError:
            pure = before
        assert plain.configuration == listened.configuration == early.configuration == machine.configuration(model) == pure
        assert verdict.after in (None, pure)


def test_a_row_that_enters_again_calls_the_listeners_of_leaving_and_entering() -> None:
    notes: list[str] = []
    body = {name: (lambda n: lambda self, step: notes.append(n))(name) for name in ("on_exit_b", "on_enter_b", "on_enter_a")}
    session = Mixed.at("b")
    session.listen(type("L", (), body)())
    session.fire("turn")
    assert (notes, session.state) == (["on_exit_b", "on_enter_b"], "b")


# ----------------------------------------------------------------------------------------------------- journals


def test_a_journal_has_the_data_and_replays(tmp_path: Path) -> None:
    path, account = tmp_path / "journal.jsonl", Mixed()
    with Recorder(MIX, path) as journal:
        journal.attach(account)
        journal.fire(account, "in_", amount=3)
        account.fire("out", amount=1)
        with pytest.raises(Refused):
            journal.fire(account, "out", amount=100)
    entries = [json.loads(line) for line in path.read_text().splitlines()][2:]
    assert [entry.get("data") for entry in entries] == [{"amount": 3, "times": 1}, {"amount": 1}, {"amount": 100}]
    assert list(entries[0])[:5] == ["session", "seq", "event", "data", "accepted"]
    assert replay(MIX, io.BytesIO(path.read_bytes())) is None
    changed = path.read_text().replace('"amount": 1}', '"amount": 2}')
    divergence = replay(MIX, io.BytesIO(changed.encode()))
    assert divergence is not None
    assert divergence.found["balance"] == 3
    for wrong, message in (("{}", "line 3: cannot in_ with these data: it needs amount"), ("5", '"data" must be an object, not 5')):
        text = path.read_text().replace('{"amount": 3, "times": 1}', wrong)
        with pytest.raises(JournalError, match=message):
            replay(MIX, io.BytesIO(text.encode()))


def needy(session: Any) -> bool:
    return bool(session.user)


def test_a_guard_that_reads_more_than_the_variables_cannot_be_replayed(tmp_path: Path) -> None:
    chart = Chart("needy", states=["a"], events=["go"], rows=[row("r", "a", "go", guard=needy)])
    head = json.dumps({"journal": 1, "chart": "needy", "fingerprint": chart.fingerprint})
    with pytest.raises(JournalError, match=r"line 2: go cannot be replayed: its guard reads more than the variables .*'user'"):
        replay(chart, io.BytesIO(f'{head}\n{{"event": "go"}}\n'.encode()))


# ------------------------------------------------------------------------------- there and back, in every way


class Mode(Enum):
    FAST = "fast"
    SLOW = "slow"


class Gear(StrEnum):
    LOW = "low"
    HIGH = "high"


KINDS = Chart("kinds", states=["a", State("b", final=True)], events=["go"], variables=[
    Choice("mode", ("fast", "slow"), initial="slow"), Choice("how", (None, *Mode)), Choice("gear", tuple(Gear), initial=Gear.LOW),
    Boolean("on"), Counter("n"),
], rows=[row("go", "a", "go", target="b")])  # fmt: skip


class Kinds(Session, chart=KINDS):
    """A session with a variable of every kind."""

    @trigger
    def go(self) -> None: ...


def twice(session: Kinds) -> tuple[Kinds, object]:
    return session, session.configuration


WAYS: dict[str, Any] = {
    "pickle": lambda one: pickle.loads(pickle.dumps(one)), "copy": copy.copy, "deepcopy": copy.deepcopy,
    "json": lambda one: Kinds.restore(json.loads(json.dumps(one.snapshot()))), "at": lambda one: Kinds.at(one.state, **KINDS.values(one.configuration)),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_session_comes_back_as_it_was(way: str) -> None:
    session = Kinds(mode="".join(["fa", "st"]), how=Mode.FAST, gear="".join(["hi", "gh"]), on=True, n=Level.HIGH)
    other = WAYS[way](session)
    assert other.configuration == session.configuration == ("a", "fast", Mode.FAST, Gear.HIGH, True, 2)
    assert type(other.configuration[-1]) is int
    assert other.go()
    assert session.state == "a"


def test_sessions_and_refusals_cross_processes() -> None:
    session = Kinds(mode="fast", how=Mode.SLOW, on=True, n=7)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there, configuration = pool.submit(twice, session).result()
        assert there.configuration == configuration == session.configuration
        error = pool.submit(refused_there).exception()
    assert isinstance(error, Refused)
    assert "amount is 7" in str(error)


def refused_there() -> None:
    Mixed().fire("out", amount=7)
