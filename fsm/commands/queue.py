"""`fsm queue`: the messages of a store one by one, and what an operator does with them.

    fsm queue                       list them: id, sender, recipients, size, age, attempts, next attempt, reason
    fsm queue show ID               one of them, with its header
    fsm queue retry WHICH           try deferred messages now
    fsm queue hold WHICH            keep messages until they are resumed
    fsm queue resume WHICH          send what is held, or failed without a report
    fsm queue withdraw WHICH        delete messages that are not being sent

WHICH is an id, @DOMAIN for all messages to recipients there, or `all`; several may be given.  A running store is asked
over its control socket; `--store` names it, or the folder of a store that is not running.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fsm.commands import CommandError, whole
from fsm.stepper.text import printable

if TYPE_CHECKING:
    from fsm.store.sync import Store

__all__ = ["add_arguments", "run"]

ACTS: Final = ("list", "show", "retry", "hold", "resume", "withdraw")
MOST: Final = 1000
ALL: Final = 1 << 31
DONE: Final = {"retry": "is tried now", "hold": "is held", "resume": "is sent again", "withdraw": "was deleted"}

Ask = Callable[..., dict[str, Any]]
"""Asks a store, as over its control socket.  ControlError."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fsm queue`."""
    parser.add_argument("act", nargs="?", default="list", choices=ACTS, help="what to do (default list)")
    parser.add_argument("which", nargs="*", metavar="WHICH", help="an id, @DOMAIN of a recipient, or all")
    parser.add_argument("--store", metavar="NAME|FOLDER", help="a running store, or the folder of one that is not")
    parser.add_argument("--limit", type=whole, default=MOST, metavar="N", help=f"to list at most (default {MOST})")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")


def run(args: argparse.Namespace) -> int:
    """Do it, and return the exit status: 1 if something could not be done for a message."""
    from fsm.mail.errors import ControlError
    from fsm.store.errors import StorageError

    if (args.act == "list") != (not args.which):
        raise CommandError("to list takes no message; `fsm queue show ID` shows one" if args.which else
                           f"say which: `fsm queue {args.act} ID`, @DOMAIN of a recipient, or all")  # fmt: skip
    try:
        ask, finish = _store(args.store)
        try:
            return _list(ask, args) if args.act == "list" else _act(ask, args)
        finally:
            finish()
    except (ControlError, StorageError) as error:
        raise CommandError(printable(str(error)), 1) from None


def _list(ask: Ask, args: argparse.Namespace) -> int:
    answer = ask(do="queue", most=max(0, args.limit))
    for found in answer["messages"]:
        print(json.dumps(found) if args.json else "\n".join(map(printable, _lines(found))))
    left_out = answer["count"] - len(answer["messages"])
    if not args.json and (left_out > 0 or not answer["count"]):
        print(f"and {left_out} more; --limit shows more" if left_out > 0 else "the queue is empty")
    return 0


def _act(ask: Ask, args: argparse.Namespace) -> int:
    from fsm.mail.errors import ControlError
    from fsm.mail.queue import is_for

    ids = list(dict.fromkeys(args.which))
    if any(one == "all" or one.startswith("@") for one in ids):
        there = ask(do="queue", most=ALL)["messages"]
        ids = [one["id"] for one in there if any(is_for(one, which) for which in args.which)]
        if not ids:
            raise CommandError(f"no message is for {', '.join(args.which)}", 1)
    status = 0
    for id in ids:
        try:
            answer = ask(do="show" if args.act == "show" else args.act, id=id)
        except ControlError as error:
            print(f"fsm queue: {printable(str(error))}", file=sys.stderr)
            status = 1
            continue
        if args.act != "show":
            print(json.dumps({"id": id, "done": args.act}) if args.json else f"{id} {DONE[args.act]}")
        else:
            shown = answer["message"]
            header = [f"    | {line}" for line in str(shown["header"]).split("\n")]
            print(json.dumps(shown) if args.json else "\n".join(map(printable, [*_lines(shown), *header])))
    return status


def _lines(found: dict[str, Any]) -> list[str]:
    tried = f", tried {found['attempts']} times" if found["attempts"] else ""
    then = f", next in {_span(found['next'])}" if found["next"] is not None else ""
    lines = [f"{found['id']} {found['state']}, {found['size']:,} bytes, {_span(found['age'])} old{tried}{then}"]
    lines.append(f"    <{found['sender']}> to {', '.join(found['recipients'])}")
    return lines + ([f"    {found['reason']}"] if found["reason"] else [])


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


# ------------------------------------------------------------------------------------------------------ the store


def _store(name: str | None) -> tuple[Ask, Callable[[], object]]:
    """Return how to ask the store that is meant, and what to call at the end."""
    from functools import partial

    from fsm.mail.control import ask, running

    problems: list[str] = []
    found = running(problems)
    for problem in problems:
        print(f"fsm queue: {printable(problem)}", file=sys.stderr)
    folder = str(Path(name).resolve()) if name is not None else None
    chosen = [path for path, status in found if name in (None, status["name"], str(status["pid"]))
              or folder == status["folder"]]  # fmt: skip
    if len(chosen) == 1:
        return partial(ask, chosen[0]), lambda: None
    there = ", ".join(f"{status['name']} ({status['pid']})" for _, status in found) or "none"
    if chosen:
        raise CommandError(f"several stores are meant; name one with --store: {there}")
    if name is None:
        raise CommandError("no store is running; name the folder of one with --store FOLDER", 1)
    if not (Path(name) / "outbox.db").is_file():
        raise CommandError(f"no store is called {name}, and {name} is no folder of a store; running: {there}", 1)
    return _stopped(Path(name))


def _stopped(folder: Path) -> tuple[Ask, Callable[[], object]]:
    """Open a store that is not running, for as long as it takes."""
    from fsm.store.sql import Database
    from fsm.store.sync import Store

    store = Store(Database(folder / "outbox.db"), name=folder.resolve().name)

    def ask(*, do: str, id: str = "", most: int = 0) -> dict[str, Any]:
        return _asked(store, do, id, most)

    return ask, store.let_go


def _asked(store: Store, do: str, id: str, most: int) -> dict[str, Any]:
    from fsm.logoff.flags import MapiError
    from fsm.mail.errors import ControlError
    from fsm.mail.queue import entries, entry_with_header

    if do == "queue":
        return entries(store.messages(), store.message, time.time(), most)
    if do == "show":
        message = store.message(id)
        if message is None:
            raise ControlError(f"there is no message {id}")
        return {"message": entry_with_header(message, time.time())}
    try:
        getattr(store, do)(id)
    except MapiError as error:
        raise ControlError(str(error)) from None
    return {}
