"""The JSON Schema of a chart (`chart.schema.json`, draft 2020-12), and whether a document fits it.

Only the words that this schema uses are understood.  Where no alternative of a `oneOf` fits, the one that comes closest
is spoken of: the one whose first mistake lies deepest.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from fsm.export.errors import ReadError

__all__ = ["Json", "fit", "schema"]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

TYPES = {
    "object": lambda v: isinstance(v, dict), "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str), "boolean": lambda v: isinstance(v, bool), "null": lambda v: v is None,
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
}  # fmt: skip


@cache
def schema() -> dict[str, Any]:
    """Return the schema."""
    found: dict[str, Any] = json.loads(files("fsm.export").joinpath("chart.schema.json").read_text("utf-8"))
    return found


def fit(document: Json) -> None:
    """Raise ReadError, with the place and what is expected there, unless the document fits the schema."""
    if problem := _misfit(document, schema(), ()):
        place, sentence = problem
        raise ReadError(_written(place), sentence)


Problem: TypeAlias = "tuple[tuple[str | int, ...], str] | None"


def _written(place: tuple[str | int, ...]) -> str:
    return (
        "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in place).removeprefix(".") or "the document"
    )


def _misfit(value: Any, rule: dict[str, Any], place: tuple[str | int, ...]) -> Problem:
    if "$ref" in rule:
        return _misfit(value, schema()["$defs"][rule["$ref"].rpartition("/")[2]], place)
    if "oneOf" in rule:
        return _nearest(value, rule["oneOf"], place)
    if "const" in rule and value != rule["const"]:
        return place, f"expected {json.dumps(rule['const'])}, not {_short(value)}"
    if "enum" in rule and value not in rule["enum"]:
        return place, f"expected one of {', '.join(map(str, rule['enum']))}, not {_short(value)}"
    kinds = rule.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(TYPES[kind](value) for kind in kinds):
        return place, f"expected {' or '.join(kinds)}, not {_short(value)}"
    if "minimum" in rule and value < rule["minimum"]:
        return place, f"expected {rule['minimum']} or more, not {_short(value)}"
    if "exclusiveMinimum" in rule and value <= rule["exclusiveMinimum"]:
        return place, f"expected more than {rule['exclusiveMinimum']}, not {_short(value)}"
    if isinstance(value, list):
        return _array(value, rule, place)
    if isinstance(value, dict):
        return _object(value, rule, place)
    return None


def _array(value: list[Json], rule: dict[str, Any], place: tuple[str | int, ...]) -> Problem:
    least, most = rule.get("minItems", 0), rule.get("maxItems", len(value))
    if not least <= len(value) <= most:
        return place, f"expected {least if least == most else f'{least} or more'} items, not {len(value)}"
    for number, item in enumerate(value):
        inner = rule["prefixItems"][number] if "prefixItems" in rule else rule.get("items", {})
        if problem := _misfit(item, inner, (*place, number)):
            return problem
    return None


def _object(value: dict[str, Json], rule: dict[str, Any], place: tuple[str | int, ...]) -> Problem:
    known, others = rule.get("properties", {}), rule.get("additionalProperties", {})
    for name in rule.get("required", ()):
        if name not in value:
            return place, f"{name!r} is missing"
    for name, item in value.items():
        if name not in known and others is False:
            return place, f"{_short(name)} is unknown; known are {', '.join(known)}"
        if problem := _misfit(item, known.get(name, others), (*place, name)):
            return problem
    return None


def _nearest(value: Any, rules: list[dict[str, Any]], place: tuple[str | int, ...]) -> Problem:
    problems = [problem for rule in rules if (problem := _misfit(value, rule, place))]
    if len(problems) < len(rules):
        return None
    deepest = max(len(problem[0]) for problem in problems)
    nearest = [problem for problem in problems if len(problem[0]) == deepest]
    if len(nearest) == 1:
        return nearest[0]
    return nearest[0][0], "; or ".join(dict.fromkeys(problem[1] for problem in nearest))


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
