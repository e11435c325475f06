"""`fsm stores`: list this user's running stores and their status, or ask one of them to log off.

    fsm stores [--json]
    fsm stores show NAME            one of them
    fsm stores logoff NAME FLAG     ask for a flag (never waits)
    fsm stores close NAME           start the store's plan
    fsm stores next NAME            take the plan's next step now
    fsm stores resume NAME ID       send a message that was put aside (held, or failed without a report)
    fsm stores withdraw NAME ID     delete a message that is not being sent

NAME is the store's name, its process, its folder, or both: PROCESS/NAME, FOLDER/NAME.  Each mailbox of a server is a
store.  It asks over the control socket of each server.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any, Final

from fsm.commands import CommandError
from fsm.stepper.text import printable

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["add_arguments", "run"]

ACTS: Final = ("list", "show", "logoff", "close", "next", "resume", "withdraw")
COUNTS: Final = ("inbound", "outbound", "ready", "deferred", "held", "peers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fsm stores`."""
    parser.add_argument("act", nargs="?", default="list", choices=ACTS, help="what to do (default list)")
    parser.add_argument("name", nargs="?", help="the store's name, its process, or PROCESS/NAME")
    hint = "for logoff: NO_WAIT, ORDERLY, PURGE, ABORT or QUIET; for resume and withdraw: a message"
    parser.add_argument("flag", nargs="?", metavar="flag|id", help=hint)
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")


def run(args: argparse.Namespace) -> int:
    """List the stores, or ask one, and return the exit status."""
    from fsm.mail.control import ask, running
    from fsm.mail.errors import ControlError

    try:
        problems: list[str] = []
        found = running(problems)
        for problem in problems:
            print(f"fsm stores: {printable(problem)}", file=sys.stderr)
        if args.act == "list":
            if args.name is not None:
                raise CommandError(f"to list takes no name; what shall {args.name} do: {', '.join(ACTS[1:])}?")
            answers = [status for _, status in found]
        else:
            request = {}
            if args.act in ("resume", "withdraw"):
                if args.flag is None:
                    raise CommandError(f"say `{args.act} NAME ID`; `fsm stores` lists the messages that are put aside")
                request = {"id": args.flag}
            elif args.flag is not None:
                request = {"flag": args.flag.upper().removeprefix("LOGOFF_")}
            if (args.act == "logoff") != ("flag" in request):
                raise CommandError("say `logoff NAME FLAG`, with one of NO_WAIT, ORDERLY, PURGE, ABORT, QUIET")
            path, store = _one(found, args.name)
            answers = [ask(path, do="status" if args.act == "show" else args.act, store=store, **request)]
    except ControlError as error:
        raise CommandError(printable(str(error)), 1) from None
    for answer in answers:
        print(json.dumps(answer) if args.json else "\n".join(map(printable, _lines(answer))))
    if not answers and not args.json:
        print("no store is running")
    return 0


def _one(found: list[tuple[Path, dict[str, object]]], name: str | None) -> tuple[Path, object]:
    """Return the socket and the name of the store that is meant."""
    from fsm.mail.control import listed_names, meant

    chosen = meant(found, name) if name is not None else []
    if len(chosen) == 1:
        return chosen[0][0], chosen[0][1]["name"]
    if chosen:
        there = listed_names(chosen)
        raise CommandError(f"{len(chosen)} stores are called {name}; name one by its process, as PROCESS/NAME: {there}")
    what = "name a store" if name is None else f"no store is called {name}"
    raise CommandError(f"{what}; running: {listed_names(found)}", 1)


def _lines(answer: dict[str, Any]) -> list[str]:
    asked = f" on {answer['request']}" if answer["request"] else ""
    where = ", ".join(f"{name} {address}" for name, address in answer["addresses"].items())
    lines = [f"{answer['name']} (process {answer['pid']}): {answer['state']}{asked}{f'; {where}' if where else ''}"]
    counts = ", ".join(f"{name} {answer[name]}" for name in COUNTS)
    lines.append(f"    {counts}; {answer['folder']}")
    if answer["step"]:
        then = f", then {answer['next_step']}" if answer["next_step"] else ""
        lines.append(f"    closing: {answer['step']}, {answer['time_left']:.0f} s left{then}")
    lines += [f"    in the way: {blocker}" for blocker in answer["blockers"]]
    lines += [f"    put aside: {message}" for message in answer["aside"]]
    return lines
