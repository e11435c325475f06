"""The windows of docs/explanation/crashes.md: the tests it names, and the steps of a server, each with what it writes.

A step is a transaction, or what is done to a file; its operations are those of `launch.py` that write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tests.readme import DOCS

PAGE = DOCS / "explanation" / "crashes.md"
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE.read_text(encoding="utf-8"))
Step = tuple[str, ...]
MAYBE: set[Step] = {("UPDATE fsm_messages", "INSERT fsm_journal")}
"""A claim by itself: only a message that finds no sender free has one."""


def of_page() -> set[Step]:
    """The steps that the page has."""
    table = PAGE.read_text(encoding="utf-8").partition("| step |")[2].partition("\n\n")[0]
    return {tuple(re.findall(r"`([^`]+)`", line.split(" | ")[1])) for line in table.splitlines()[2:]}


def seen(file: Path) -> set[Step]:
    """The steps of a server that has written its operations to this file."""
    found, within, stored = set[Step](), list[str](), list[str]()
    for operation in map(short, file.read_text(encoding="utf-8").splitlines()):
        if operation in ("UPDATE fsm_processes", "remove its socket"):  # by itself, at any time
            found.add((operation,))
        elif operation.endswith("inbox/tmp"):  # in a thread of its own
            stored += [operation] if operation not in stored else []
        elif operation in ("BEGIN", "committed"):
            found.add(tuple(within))
            within = []
        elif operation and operation not in within:
            within.append(operation)
    return {*found, tuple(within), tuple(stored)} - {()}


def short(operation: str) -> str:
    """What an operation writes, without the values; nothing if it only reads."""
    if operation.startswith(("BEGIN", "committed")):
        return operation.split()[0]
    if found := re.match(r"(INSERT|UPDATE|DELETE)\b.*?\b(fsm_\w+)", operation):
        return f"{found[1]} {found[2]}"
    if found := re.match(r"(?:os\.)?(open|link|remove) .*/(inbox/tmp|fsm)/", operation):
        return f"{found[1]} {found[2].replace('fsm', 'its socket')}"
    return ""


def unlike(steps: Iterable[Step]) -> set[Step]:
    """The steps that only the page has, or only this server."""
    return (of_page() ^ set(steps)) - MAYBE
