"""The data of events: what may be declared, what is taken, and what is refused with every offender named."""

from __future__ import annotations

import pickle
from enum import Enum, IntEnum, StrEnum
from typing import Any, Optional

import pytest

from fsm.condition import Opaque, condition
from fsm.data import Field, Number
from fsm.errors import DataError, DefinitionError
from fsm.table import Event

Level = IntEnum("Level", "LOW HIGH")


class Text(StrEnum):
    A = "a"


PAY = Event("pay", "money comes in", data=(
    Number("amount", "in cents"), Field("reason", str | None, default=None), Field("rate", float, default=1),
    Field("twice", bool, default=False), Field("place", int, default=0), Field("who", str, default=""),
))  # fmt: skip
USUAL = {"reason": None, "rate": 1.0, "twice": False, "place": 0, "who": ""}

TAKEN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"amount": 5}, {"amount": 5}),
    ({"amount": Level.HIGH, "place": Level.LOW}, {"amount": 2, "place": 1}),
    ({"amount": 0, "reason": "gift"}, {"amount": 0, "reason": "gift"}),
    ({"amount": 10**40, "who": Text.A}, {"amount": 10**40, "who": "a"}),
    ({"amount": 1, "rate": 2, "twice": True, "place": -3}, {"amount": 1, "rate": 2.0, "twice": True, "place": -3}),
]


@pytest.mark.parametrize(("given", "taken"), TAKEN)
def test_data_are_taken_as_plain_values_with_their_defaults(given: dict[str, Any], taken: dict[str, Any]) -> None:
    found = PAY.complete(given)
    assert found == USUAL | taken
    assert list(found) == [one.name for one in PAY.data]
    assert {type(value) for value in found.values()} <= {int, float, str, bool, type(None)}


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["it needs amount (in cents)"]),
    ({"amount": -1}, ["amount must be a whole number, 0 or more, not -1"]),
    ({"amount": True}, ["amount must be a whole number, 0 or more, not True"]),
    ({"amount": 1.0}, ["not 1.0"]),
    ({"amount": None}, ["not None"]),
    ({"amount": 1, "amuont": 2}, ["it takes no 'amuont' (it takes amount, reason, rate, twice, place, who)"]),
    ({"amount": 1, "reason": 3}, ["reason must be a string or None, not 3"]),
    ({"amount": 1, "rate": float("nan")}, ["rate must be a finite number, not nan"]),
    ({"amount": 1, "rate": float("inf")}, ["rate must be a finite number, not inf"]),
    ({"amount": 1, "rate": 10**400}, ["rate must be a finite number, not one of 401 digits"]),
    ({"amount": 1, "rate": True}, ["rate must be a finite number, not True"]),
    ({"amount": 1, "twice": 1}, ["twice must be True or False, not 1"]),
    ({"amount": 1, "place": False}, ["place must be a whole number, not False"]),
    ({"amount": 1, "who": None}, ["who must be a string, not None"]),
    ({"reason": 3, "x": 1}, ["it needs amount", "reason must be", "it takes no 'x'"]),
]


@pytest.mark.parametrize(("given", "problems"), REFUSED)
def test_wrong_data_are_refused_with_every_offender(given: dict[str, Any], problems: list[str]) -> None:
    with pytest.raises(DataError, match="cannot pay with these data: ") as caught:
        PAY.complete(given)
    assert caught.value.event == "pay"
    assert len(caught.value.problems) == len(problems)
    for words, problem in zip(problems, caught.value.problems, strict=True):
        assert words in problem
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_an_event_without_data_takes_none() -> None:
    assert Event("go").complete({}) == {}
    with pytest.raises(DataError, match=r"it takes no 'n' \(it has no data\)"):
        Event("go").complete({"n": 1})


WRONG = [
    (lambda: Number("n", default=-1), "its default is wrong: n must be a whole number, 0 or more, not -1"),
    (lambda: Number("class"), "number 'class': its name must be a Python identifier"),
    (lambda: Field("_x", str), "field '_x': its name must be"),
    (lambda: Field("x", list), "its type is str, int, float, bool, or one of them | None, not list"),
    (lambda: Field("x", str | int), "not str | int"),
    (lambda: Field("x", None), "not None"),
    (lambda: Field("x", "str"), "not str"),
    (lambda: Field("x", str, default=3), "its default is wrong: x must be a string, not 3"),
    (lambda: Field("x", float, default=float("nan")), "its default is wrong: x must be a finite number, not nan"),
    (lambda: Field("x", str) == "a", "a field may not stand in a guard or an effect"),
    (lambda: Field("x", int) > 3, "a field may not stand in a guard or an effect"),
    (lambda: Field("x", int) + 3, "a field may not stand in a guard or an effect"),
    (lambda: Event("go", data=("amount",)), "'amount' is no datum; write Number"),  # type: ignore[arg-type]
    (lambda: Event("go", data=(Number("n"), Field("n", str))), "its datum 'n' is there twice"),
]


@pytest.mark.parametrize(("write", "message"), WRONG)
def test_what_is_no_datum_is_refused_while_writing_it(write: Any, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        write()
    assert message in str(caught.value)


def test_a_datum_knows_how_it_is_written() -> None:
    assert [one.annotation for one in PAY.data] == ["int", "str | None", "float", "bool", "int", "str"]
    assert Field("x", Optional[str]).annotation == "str | None"  # noqa: UP045 - the older way to write it
    assert PAY.required == ("amount",)
    assert [one.name for one in PAY.numbers] == ["amount"]
    copied = pickle.loads(pickle.dumps(PAY))
    assert (copied, copied.doc, copied.required) == (PAY, PAY.doc, ("amount",))
    assert copied.complete({"amount": 1}) == PAY.complete({"amount": 1})


class _Ev(Enum):
    GO = "g"


def test_an_event_may_be_named_by_a_member() -> None:
    go = Event(_Ev.GO, "it goes")
    assert go == _Ev.GO == go == "GO"
    assert pickle.loads(pickle.dumps(go)) == _Ev.GO
    assert Event(Text.A) == Text.A == "a"
    assert Event(Level.LOW) == Level.LOW
    assert {go: 1}["GO"] == 1


def _guard(session: object, amount: int, *, twice: bool = False, other: int = 3) -> bool:
    return amount > other or twice


def test_a_callable_guard_has_parameters_for_data() -> None:
    guard = condition(_guard)
    assert isinstance(guard, Opaque)
    assert guard.parameters() == {"amount": True, "twice": False, "other": False}
    assert condition(lambda session: True).parameters() == {}  # type: ignore[attr-defined]
    assert condition(callable).parameters() == {}  # type: ignore[attr-defined]
