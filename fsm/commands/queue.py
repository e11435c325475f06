"""`fsm queue`: the messages of a store one by one, and what an operator does with them.

    fsm queue                       list them: id, sender, recipients, size, age, attempts, next attempt, reason
    fsm queue show ID               one of them, with its header
    fsm queue retry WHICH           try deferred messages now
    fsm queue hold WHICH            keep messages until they are resumed
    fsm queue resume WHICH          send what is held, or failed without a report
    fsm queue withdraw WHICH        delete messages that are not being sent

WHICH is an id, @DOMAIN for all messages to recipients there, or `all`; several may be given.  A running store is asked
over its control socket; `--store` names it (each mailbox of a server is a store), or FOLDER or FOLDER/NAME of one that
is not running.  With `--config`, the configuration of a server, it names a mailbox of that server, running or not, and
a store that is not running is opened by those settings (`uncertain`, `retry`).  Without it, all are listed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fsm.commands import CommandError, whole
from fsm.stepper.text import printable

if TYPE_CHECKING:
    from fsm.store.retry import Retry
    from fsm.store.storage import Policy
    from fsm.store.sync import Store

__all__ = ["add_arguments", "run"]

ACTS: Final = ("list", "show", "retry", "hold", "resume", "withdraw")
MOST: Final = 1000
ALL: Final = 1 << 31
DONE: Final = {"retry": "is tried now", "hold": "is held", "resume": "is sent again", "withdraw": "was deleted"}

Ask = Callable[..., dict[str, Any]]
"""Asks a store, as over its control socket.  ControlError."""
Queue = tuple[str, Ask]
"""The name of a store, and how to ask it."""
MOST_NAMES: Final = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fsm queue`."""
    parser.add_argument("act", nargs="?", default="list", choices=ACTS, help="what to do (default list)")
    parser.add_argument("which", nargs="*", metavar="WHICH", help="an id, @DOMAIN of a recipient, or all")
    parser.add_argument("--store", metavar="NAME|FOLDER", help="a running store, or the folder of one that is not")
    parser.add_argument("--config", metavar="FILE", help="the configuration of the server, which may be stopped")
    parser.add_argument("--limit", type=whole, default=MOST, metavar="N", help=f"to list at most (default {MOST})")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")


def run(args: argparse.Namespace) -> int:
    """Do it, and return the exit status: 1 if something could not be done for a message."""
    from fsm.mail.errors import ConfigError, ControlError
    from fsm.store.errors import StorageError

    if (args.act == "list") != (not args.which):
        raise CommandError("to list takes no message; `fsm queue show ID` shows one" if args.which else
                           f"say which: `fsm queue {args.act} ID`, @DOMAIN of a recipient, or all")  # fmt: skip
    try:
        queues, finish = _queues(args.store, args.config)
        try:
            if args.act == "list":
                return _list(queues, args)
            if len(queues) > 1:
                there = _few([name for name, _ in queues])
                raise CommandError(f"several stores are meant; name one with --store: {there}")
            return _act(queues[0][1], args)
        finally:
            finish()
    except (ConfigError, ControlError, StorageError) as error:
        raise CommandError(printable(str(error)), 2 if isinstance(error, ConfigError) else 1) from None


def _list(queues: Sequence[Queue], args: argparse.Namespace) -> int:
    """List the messages of these stores; where there are several, only those that have some, each under its name."""
    several, empty = len(queues) > 1, True
    for name, ask in queues:
        answer = ask(do="queue", most=max(0, args.limit))
        if answer["count"] and several and not args.json:
            print(printable(f"{name}:"))
        for found in answer["messages"]:
            shown = {"store": name, **found} if several else found
            print(json.dumps(shown) if args.json else "\n".join(map(printable, _lines(found))))
        empty = empty and not answer["count"]
        if not args.json and (left_out := answer["count"] - len(answer["messages"])) > 0:
            print(f"and {left_out} more; --limit shows more")
    if empty and not args.json:
        print("the queues are empty" if several else "the queue is empty")
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


class _Settings(NamedTuple):
    """What a configuration says of stores: the folder, their names, and how they are opened."""

    folder: Path
    names: list[str]
    uncertain: Policy
    retry: Retry

    @classmethod
    def of(cls, file: str) -> _Settings:
        """Read them from the file of `fsm serve --config`.  ConfigError names what is wrong with it."""
        from fsm.commands.serve_options import OPTIONS, read_file
        from fsm.mail.errors import ConfigError
        from fsm.store.retry import Retry

        values, mailboxes = read_file(Path(file))
        given: dict[str, Any] = {one.key: values.get(one.key, one.default) for one in OPTIONS.values()}
        if given["store"] is None:
            raise ConfigError(f"{file} names no store")
        folder = Path(given["store"])
        try:
            retry = Retry(*given["retry"])
        except ValueError as error:
            raise ConfigError(f"{file}: {error}") from None
        return cls(folder, list(mailboxes) or [given["name"] or folder.resolve().name], given["uncertain"], retry)


def _queues(name: str | None, file: str | None) -> tuple[list[Queue], Callable[[], object]]:
    """Return the stores that are meant, how to ask each, and what to call at the end."""
    from functools import partial

    from fsm.mail.control import ask, listed_names, meant, running

    settings = _Settings.of(file) if file is not None else None
    problems: list[str] = []
    found = running(problems)
    for problem in problems:
        print(f"fsm queue: {printable(problem)}", file=sys.stderr)
    if settings is not None:
        found = [one for one in found if one[1]["folder"] == str(settings.folder.resolve())]
    if chosen := meant(found, name):
        several = len({status["name"] for _, status in chosen}) < len(chosen)
        return [
            (f"{status['pid']}/{status['name']}" if several else str(status["name"]),
             partial(ask, path, store=status["name"]))
            for path, status in chosen
        ], lambda: None  # fmt: skip
    if settings is not None:
        if found or name not in (None, *settings.names):
            raise CommandError(f"no store of {file} is called {name}; there are: {_few(settings.names)}", 1)
        return _stopped(settings.folder, name, settings)
    if name is None:
        raise CommandError("no store is running; name the folder of one with --store FOLDER, or --config FILE", 1)
    for folder, only in ((Path(name), None), (Path(name).parent, Path(name).name)):
        if (folder / "outbox.db").is_file():
            return _stopped(folder, only)
    running_now = listed_names(found)
    raise CommandError(f"no store is called {name}, and {name} is no folder of a store; running: {running_now}", 1)


def _stopped(
    folder: Path, only: str | None, settings: _Settings | None = None
) -> tuple[list[Queue], Callable[[], object]]:  # fmt: skip
    """Open stores that are not running, for as long as it takes: all in this folder, or `only` this one."""
    from functools import partial

    from fsm.mail.config import SINGLE
    from fsm.store.sql import Database
    from fsm.store.sync import Spooler

    if not (folder / "outbox.db").is_file():
        raise CommandError(f"{folder} is no folder of a store: it has no outbox.db", 1)
    database = Database(folder / "outbox.db")
    database.open()
    there = database.stores()
    database.close()
    shown = {one: folder.resolve().name if one == SINGLE else one for one in there}  # as people call them
    if settings is not None and len(settings.names) == 1:
        shown[SINGLE] = settings.names[0]
    chosen = [one for one in there if only in (None, one, shown[one])]
    if not chosen:
        raise CommandError(f"{folder} has no store called {only}; it has {_few(list(shown.values()))}", 1)
    spooler = Spooler(Database(folder / "outbox.db"))
    try:
        stores = spooler.open_many(
            chosen, uncertain=settings.uncertain if settings else "resend", retry=settings.retry if settings else None
        )
    except BaseException:
        spooler.let_go()
        raise
    return [(shown[name], partial(_asked, one)) for name, one in zip(chosen, stores, strict=True)], spooler.let_go


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMES]) + (", …" if len(names) > MOST_NAMES else "")


def _asked(store: Store, *, do: str, id: str = "", most: int = 0) -> dict[str, Any]:
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
