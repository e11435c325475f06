"""`fsm tour`: real mail over real sockets, logged off in mid-traffic in each way; every message is accounted for.

Each stop starts `fsm serve` on the loopback with a store of its own, a sink, and several clients at once; see
`fsm/mail/tour.py`.  Exit status 1 when a message is missing, or a store did not end as it should.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final

from fsm.commands import CommandError

if TYPE_CHECKING:
    from fsm.mail.demo.tour import Visited

__all__ = ["add_arguments", "run"]

LONGEST: Final = 60_000
"""Configurations of a page; the walk of a store that had more in it has a journal to replay, and no page."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "--folder", metavar="FOLDER", help="where to leave stores and journals (default: a new temporary one)"
    )
    parser.add_argument(
        "--only", metavar="NAME", help="one stop: QUIET, ABORT, ORDERLY, NO_WAIT, PURGE, release or shared"
    )


def run(args: argparse.Namespace) -> int:
    """Make all stops; exit status 1 when a message is missing."""
    missing = [name for name in ("aiosmtpd", "aiosmtplib", "sqlalchemy") if find_spec(name) is None]
    if missing:
        raise CommandError(f"the tour needs {missing[0]}; install it with: pip install 'fsm-logoff[mail]'")
    from fsm.mail.demo.tour import STOPS, visit

    wanted = (args.only or "").lower()
    stops = [stop for stop in STOPS if wanted in ("", stop.name, "shared" if stop.peer else stop.asks.lower())]
    if not stops:
        raise CommandError(
            f"there is no stop {args.only!r}; choose one of QUIET, ABORT, ORDERLY, NO_WAIT, PURGE, release, shared"
        )
    folder = Path(args.folder) if args.folder else Path(tempfile.mkdtemp(prefix="fsm-tour-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"cannot use the folder {folder}: {error.strerror}") from error
    if taken := [stop.name for stop in stops if (folder / stop.name).exists()]:
        raise CommandError(f"{folder / taken[0]} is there from another tour; choose another folder")
    print(f"Real mail over real sockets; stores and journals are in {folder}")
    start, good = time.monotonic(), True
    visits = []
    for stop in stops:
        title = f"\n{stop.asks}{' with another process' if stop.peer else ''}: {stop.about}"
        print(fill(title, 79, subsequent_indent="    ", replace_whitespace=False), flush=True)
        line = _Live()
        visited = asyncio.run(visit(stop, folder, line))
        line.done()
        visits.append(visited)
        for told in _told(visited):
            print(f"  {told}", flush=True)
        last = visited.next_time or visited.books
        good = good and visited.books.balanced and last.balanced and not any(visited.statuses)
    fitting = [one for one in visits if _size(one) <= LONGEST]
    shown = min(fitting or visits, key=lambda one: one.stop.name != "no_wait")
    page = _page(shown, folder) if fitting else [f"fsm replay {shown.journal}"]
    print(_sum(visits, time.monotonic() - start))
    print("Next:", *page, "README.md, for a store in your own program", sep="\n  ")
    return 0 if good else 1


def _told(visited: Visited) -> list[str]:
    before, answer, books = visited.before, visited.answer, visited.books
    counts = ", ".join(f"{name} {before[name]}" for name in ("inbound", "outbound", "ready", "deferred"))
    lines = [
        f"just before    {counts}",
        f"answer         {answer['state']}: {' '.join(answer['flags']) or '-'}",
    ]
    if answer["blockers"]:
        more = f" and {len(answer['blockers']) - 1} more" if len(answer["blockers"]) > 1 else ""
        lines.append(f"in flight      {answer['blockers'][0].partition(',')[0]}{more}")
    if visited.refused:
        lines.append(f"refused then   {visited.refused} messages, with 421: their senders keep them")
    asked = 1 + visited.stop.peer
    for words, status in zip(visited.outcomes[:asked], visited.statuses, strict=False):
        lines.append(f"came back      {words.split(';')[0]}; exit status {status}")
    lines.append(
        f"submitted      {books.submitted} = {books.delivered} delivered"
        f" + {books.queued} in the outbox + {books.held} held"
    )
    lines.append(f"received       {books.received} = {books.inbox} in the inbox")
    uncertain = f", {books.uncertain} uncertain" if books.uncertain else ""
    lines.append(
        f"               {len(books.lost)} lost, {len(books.doubled)} duplicated{uncertain}; {visited.seconds:.1f} s"
    )
    if (later := visited.next_time) is not None:
        told = f"{later.delivered - books.delivered} delivered, {later.queued + later.held} in the outbox"
        lines.append(f"the next time  {told}; {len(later.lost)} lost, {len(later.doubled)} duplicated")
    lines += [f"MISSING        {message_id}" for message_id in (later or books).lost]
    return lines


def _sum(visits: list[Visited], seconds: float) -> str:
    books = [visited.next_time or visited.books for visited in visits]
    lost, doubled = sum(len(one.lost) for one in books), sum(len(one.doubled) for one in books)
    accepted = sum(one.submitted + one.received for one in books)
    return (
        f"\n{len(visits)} stores, {accepted} messages accepted, {lost} lost, {doubled} duplicated, in {seconds:.0f} s."
    )


def _size(visited: Visited) -> int:
    """About how many configurations the graph of this walk has."""
    most = visited.most
    return (most["inbound"] + 1) * (most["messages"] + 3) ** 3 // 6 * (most["peers"] + 1) * 8


def _page(visited: Visited, folder: Path) -> list[str]:
    """The explorer for this walk, as lines that say where it is."""
    from fsm.cli import main

    most, file = visited.most, folder / "explorer.html"
    told = [f"fsm replay {visited.journal}"]
    bounds = [
        f"inbound <= {most['inbound']}",
        f"outbound + ready + deferred <= {most['messages']}",
        f"peers <= {most['peers']}",
    ]
    words = [word for bound in bounds for word in ("--bound", bound)]
    if main(["explore", *words, "-o", str(file)]) == 0:
        walk = file.with_name(f"{visited.stop.name}.html")
        there = f"{file.name}#{','.join(visited.trace)}"
        walk.write_text(
            f'<!doctype html><meta http-equiv="refresh" content="0; url={there}"><a href="{there}">the walk</a>'
        )
        told.insert(0, f"{walk.resolve().as_uri()}, the explorer at the end of this walk")
    return told


class _Live:
    """A line that says how the store stands, on a terminal; nothing where it could not be written over."""

    def __init__(self) -> None:
        self._width = 0
        self._on = sys.stdout.isatty()

    def __call__(self, told: dict[str, Any]) -> None:
        if self._on:
            counts = "  ".join(f"{name} {told[name]}" for name in ("inbound", "outbound", "ready", "deferred"))
            text = f"  {told['state']:<9} {counts}  sent {told['counters']['sent']}"[:79]
            print(f"\r{text.ljust(self._width)}", end="", flush=True)
            self._width = len(text)

    def done(self) -> None:
        """Take the line away."""
        if self._on:
            print(f"\r{' ' * self._width}\r", end="", flush=True)
