"""What is known of a callable guard without calling it: its kind, its name, and what it is made of.

The fingerprint of a chart contains the module and name of a callable, and what distinguishes it from others of that
name: the arguments of a partial function; the text of a lambda or local function, without its comments and its place
in the file, with the plain values that it has closed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, TypeGuard

if TYPE_CHECKING:
    import ast
    from types import CodeType, FunctionType

__all__ = ["name_of_callable", "never_runs", "reads_more", "told_apart"]

WAITING: Final = {0x200: "an async generator function", 0x80: "an async function", 0x20: "a generator function"}
"""By the flag of their code: functions that only run when they are awaited or iterated over."""


def never_runs(function: object) -> str:
    """Say of a function whose call would run nothing what kind it is: `an async function`; empty for any other."""
    while isinstance(function, partial):
        function = function.func
    function = getattr(function, "__func__", function)  # of a bound, static or class method
    if not hasattr(function, "__code__"):
        function = getattr(type(function), "__call__", None)  # noqa: B004 - its code is wanted
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    return next((kind for flag, kind in WAITING.items() if flags & flag), "")


def reads_more(error: Exception) -> str:
    """Say, of an error in a guard that was asked without a session of its program, what the guard needs; or nothing."""
    more = "; a guard that reads more than the variables can be asked by a session of its program alone"
    return more if isinstance(error, AttributeError) else ""


def name_of_callable(function: Callable[..., object]) -> str:
    """The qualified name of a callable, and of a partial one its arguments."""
    if isinstance(function, partial):
        given = [*map(_plain, function.args), *(f"{name}={_plain(one)}" for name, one in function.keywords.items())]
        return f"{name_of_callable(function.func)}({', '.join(given)})"
    return getattr(function, "__qualname__", type(function).__name__)


def told_apart(function: Callable[..., object]) -> object:
    """What tells a lambda or local function from others of its module and name; 0 for a function that needs nothing."""
    while isinstance(function, partial):
        function = function.func
    if "<" not in name_of_callable(function) or not _is_function(function):
        return 0
    cells = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *_closed_over(function)]
    return (_text(function.__code__), *map(_plain, cells))


def _is_function(function: object) -> TypeGuard[FunctionType]:
    return hasattr(function, "__code__") and hasattr(function, "__defaults__")


def _closed_over(function: FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it has no value yet
            yield None


def _plain(value: object) -> str:
    """A value as text that is the same in every process: itself if it is plain, or else its type or name."""
    if isinstance(value, Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if value is None or type(value) in (bool, int, float, str, bytes):
        return repr(value)
    if type(value) in (tuple, list):
        return f"({', '.join(map(_plain, value))})"  # type: ignore[call-overload]  # one of the two
    return str(getattr(value, "__qualname__", type(value).__qualname__))


def _text(code: CodeType) -> object:
    """The source of a function without comments and layout; what is left of it in the code if there is no source."""
    from linecache import getlines

    for node in _functions("".join(getlines(code.co_filename))).get(code.co_firstlineno, ()):
        from ast import unparse

        if _contains(node, code):
            return unparse(node)
    return (code.co_names, tuple(map(_plain, code.co_consts)), code.co_firstlineno)


@lru_cache(maxsize=16)
def _functions(source: str) -> dict[int, list[ast.Lambda | ast.FunctionDef]]:
    """The functions of a file by their first lines, the inner ones first."""
    import ast

    found: dict[int, list[ast.Lambda | ast.FunctionDef]] = {}
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return found
    for node in ast.walk(tree):
        if isinstance(node, (ast.Lambda, ast.FunctionDef)):
            first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
            found.setdefault(first, []).insert(0, node)
    return found


def _contains(node: ast.Lambda | ast.FunctionDef, code: CodeType) -> bool:
    """Whether the code lies within the node: several lambdas may begin in one line."""
    begin, end = (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)
    lines = ((line, last, left, right) for line, last, left, right in code.co_positions() if right)
    return all(
        begin <= (line or 0, left or 0) and (last or 0, right or 0) <= end for line, last, left, right in lines
    )
