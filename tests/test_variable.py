"""Variables and effects: what a chart counts and remembers, and what is refused while writing it."""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum

import pytest

from fsm.errors import DefinitionError
from fsm.variable import RESERVED, Assignment, Boolean, Choice, Counter

Colour = Enum("Colour", "RED GREEN")
Level = IntEnum("Level", "LOW HIGH")


class Text(StrEnum):
    A = "a"


Other = IntEnum("Other", "ONE")
PAID = Boolean("paid", "whether it is paid")
A, B = Counter("a"), Counter("b", "the bees", initial=2)
C = Choice("c", (None, *Colour))


@pytest.mark.parametrize(
    ("effect", "text", "new"),
    [
        (A.becomes(A + 1), "a += 1", 4),
        (A.becomes(A - 1), "a -= 1", 2),
        (A.becomes(A + B), "a += b", 8),
        (A.becomes(A + B + 1), "a += b + 1", 9),
        (A.becomes(B), "a = b", 5),
        (A.becomes(B - 2), "a = b - 2", 3),
        (A.becomes(0), "a = 0", 0),
        (A.becomes(1 + A), "a += 1", 4),
        (A.becomes(A - B), "a -= b", -2),
        (A.becomes(A - B - 1), "a -= b + 1", -3),
        (A.becomes(A - B + 1), "a += -b + 1", -1),
        (A.becomes(2 * B - A), "a = 2 * b - a", 7),
        (A.becomes(9 - A), "a = -a + 9", 6),
        (A.becomes(A + 0), "a += 0", 3),
        (A.becomes(A - A), "a = 0", 0),
        (A.becomes(Level.HIGH), "a = 2", 2),
        (PAID.becomes(True), "paid = true", True),
        (C.becomes(Colour.RED), "c = RED", Colour.RED),
        (C.becomes(None), "c = none", None),
    ],
)
def test_an_effect_prints_and_computes(effect: Assignment, text: str, new: object) -> None:
    assert str(effect) == text
    assert effect.new({"a": 3, "b": 5, "c": None}) == new


@pytest.mark.parametrize("name", ["", "1a", "a b", "_a", "class", "a-b", *sorted(RESERVED)])
def test_a_variable_is_named_like_one(name: str) -> None:
    with pytest.raises(DefinitionError, match="its name must be a Python identifier"):
        Counter(name)
    with pytest.raises(DefinitionError, match="its name must be a Python identifier"):
        Choice(name, (None,))


WRONG = [
    (lambda: Counter("n", initial=-1), "starts at a whole number, 0 or more, not -1"),
    (lambda: Counter("n", initial=True), "starts at a whole number, 0 or more, not True"),
    (lambda: Choice("k", ("x", "x")), "two values are called x"),
    (lambda: Choice("k", (None, "none")), "two values are called none"),
    (lambda: Choice("k", ("x",), initial=None), r"none is not one of its values \(x\)"),
    (lambda: Choice("k", (1, 2), initial=1), "1 is no value; values are strings, members of an Enum, or None"),
    (lambda: Choice("k", (True,), initial=True), "True is no value"),
    (lambda: Choice("k", (*Level,), initial=Level.LOW).becomes(1), "1 is not one of its values"),
    (lambda: Choice("k", (Text.A, "a"), initial="a"), "a and A are equal"),
    (lambda: Choice("k", (Level.LOW, Other.ONE), initial=Level.LOW), "ONE and LOW are equal"),
    (lambda: Boolean("p", initial=1), "starts as True or False, not 1"),
    (lambda: Boolean("p") == 1, "1 is not one of its values"),
    (lambda: Boolean("p").becomes("true"), "true is not one of its values"),
    (lambda: Counter(3), "its name must be"),
    (lambda: Counter("ﬁ"), "its name must be"),
    (lambda: C == "RED", r"RED is not one of its values"),
    (lambda: C.among(Colour.RED, "BLUE"), "BLUE is not one of its values"),
    (lambda: C.becomes("BLUE"), "BLUE is not one of its values"),
    (lambda: A == 1.5, "compares sums of counters and whole numbers"),
    (lambda: A < True, "compares sums of counters and whole numbers"),
    (lambda: A > C, "compares sums of counters and whole numbers"),
    (lambda: A * B, "a sum is multiplied by a whole number only"),
    (lambda: A * 0.5, "a sum is multiplied by a whole number only"),
    (lambda: A - "1", "a sum is made of counters and whole numbers"),
    (lambda: A + "1", "a sum is made of counters and whole numbers"),
    (lambda: A.becomes("1"), "a sum is made of counters and whole numbers"),
]


@pytest.mark.parametrize(("write", "message"), WRONG)
def test_what_could_not_be_decided_is_refused_while_writing_it(write: object, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        write()  # type: ignore[operator]


def test_values_are_found_by_name() -> None:
    assert C.value_named("RED") is Colour.RED
    assert C.value_named(None) is None
    with pytest.raises(ValueError, match=r"c has no value 'none' \(it has null, RED, GREEN\)"):
        C.value_named("none")


def test_an_effect_knows_what_it_changes_and_reads() -> None:
    assert A.becomes(B + 1).names() == {"a", "b"}
    assert C.becomes(None).names() == {"c"}


def test_strings_and_members_that_are_strings_are_values_by_value() -> None:
    plain, members = Choice("k", ("a", "b"), initial="a"), Choice("k", (Text.A,), initial=Text.A)
    assert plain.own("".join(["", "b"])) == "b"
    assert type(plain.own(Text.A)) is str
    assert members.own("a") is Text.A
    assert str(members == "a") == "k == A"
    with pytest.raises(ValueError, match="1 is not a value of k"):
        Choice("k", (*Level,), initial=Level.LOW).own(1)


def test_a_member_of_an_int_enum_is_a_plain_whole_number() -> None:
    for number in (Counter("n", initial=Level.HIGH).initial, A.becomes(Level.HIGH).new({}), A.own(Level.HIGH)):
        assert (number, type(number)) == (2, int)
    assert str(A > Level.HIGH) == "a > 2"
    assert str(Level.HIGH * A == Level.LOW) == "2 * a == 1"
