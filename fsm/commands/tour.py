"""`fsm tour`: real mail over real sockets, logged off in mid-traffic in each way; every message is accounted for.

Each stop starts `fsm serve` on the loopback with a store of its own, a sink, and several clients at once (see
`fsm.mail.demo.tour`).  The exit status is 1 if a message is missing, or a store did not end as it should.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final

from fsm.commands import CommandError
from fsm.install import install_command, own_command

if TYPE_CHECKING:
    from fsm.mail.demo.tour import StopResult

__all__ = ["add_arguments", "run"]

LONGEST: Final = 60_000
"""The configurations that an explorer page may have; the walk of a larger store is only in its journal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fsm tour`."""
    parser.add_argument(
        "--folder", metavar="FOLDER", help="where to leave stores and journals (default: a new temporary one)"
    )
    parser.add_argument(
        "--only", metavar="NAME", help="one stop: QUIET, ABORT, ORDERLY, NO_WAIT, PURGE, release or shared"
    )


def run(args: argparse.Namespace) -> int:
    """Run the stops, and return the exit status."""
    if find_spec("sqlalchemy") is None:
        raise CommandError(f"the tour needs sqlalchemy; install it with: {install_command('mail')}")
    from fsm.mail.demo.tour import STOPS, run_stop

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
    count = f"{len(stops)} stores" if len(stops) > 1 else "One store"
    print(f"{count} in mid-traffic, real mail over real sockets; what they leave is in {folder}")
    start, good = time.monotonic(), True
    results = []
    for stop in stops:
        title = f"\n{stop.asks}{' with another process' if stop.peer else ''}: {stop.about}"
        print(fill(title, 79, subsequent_indent="    ", replace_whitespace=False), flush=True)
        line = _Live()
        result = asyncio.run(run_stop(stop, folder, line))
        line.done()
        results.append(result)
        for text in _lines(result):
            print(f"  {text}", flush=True)
        last = result.next_time or result.audit
        good = good and result.audit.balanced and last.balanced and not any(result.statuses)
    fitting = [one for one in results if _size(one) <= LONGEST]
    shown = min(fitting or results, key=lambda one: one.stop.name != "no_wait")
    page = _page(shown, folder) if fitting else [f"{own_command()} replay {shown.journal}"]
    print(_sum(results, time.monotonic() - start))
    print("Next:", *page, "README.md, for a store in your own program", sep="\n  ")
    return 0 if good else 1


def _lines(result: StopResult) -> list[str]:
    before, answer, audit = result.before, result.answer, result.audit
    counts = ", ".join(f"{name} {before[name]}" for name in ("inbound", "outbound", "ready", "deferred"))
    lines = [
        f"just before    {counts}",
        f"answer         {answer['state']}: {' '.join(answer['flags']) or '-'}",
    ]
    if answer["blockers"]:
        more = f" and {len(answer['blockers']) - 1} more" if len(answer["blockers"]) > 1 else ""
        lines.append(f"in flight      {answer['blockers'][0].partition(',')[0]}{more}")
    if result.refused:
        lines.append(f"refused then   {result.refused} messages, with 421: their senders keep them")
    asked = 1 + result.stop.peer
    for words, status in zip(result.outcomes[:asked], result.statuses, strict=False):
        lines.append(f"came back      {words.split(';')[0]}; exit status {status}")
    lines.append(
        f"submitted      {audit.submitted} = {audit.delivered} delivered"
        f" + {audit.queued} in the outbox + {audit.held} held"
    )
    lines.append(f"received       {audit.received} = {audit.inbox} in the inbox")
    uncertain = f", {audit.uncertain} uncertain" if audit.uncertain else ""
    lines.append(
        f"               {len(audit.lost)} lost, {len(audit.duplicated)} duplicated{uncertain}; {result.seconds:.1f} s"
    )
    if (later := result.next_time) is not None:
        more = f"{later.delivered - audit.delivered} delivered, {later.queued + later.held} in the outbox"
        lines.append(f"the next time  {more}; {len(later.lost)} lost, {len(later.duplicated)} duplicated")
    lines += [f"MISSING        {message_id}" for message_id in (later or audit).lost]
    return lines


def _sum(results: list[StopResult], seconds: float) -> str:
    audits = [result.next_time or result.audit for result in results]
    lost, duplicated = sum(len(one.lost) for one in audits), sum(len(one.duplicated) for one in audits)
    accepted = sum(one.submitted + one.received for one in audits)
    kept = f"{accepted} messages accepted, {lost} lost, {duplicated} duplicated"
    return f"\n{len(results)} stores, {kept}, in {seconds:.0f} s."


def _size(result: StopResult) -> int:
    """Return about how many configurations the graph of this walk has."""
    most = result.most
    return (most["inbound"] + 1) * (most["messages"] + 3) ** 3 // 6 * (most["peers"] + 1) * 8


def _page(result: StopResult, folder: Path) -> list[str]:
    """Write the explorer page for this walk; return lines that say where it is."""
    from fsm.cli import main

    most, file = result.most, folder / "explorer.html"
    lines = [f"{own_command()} replay {result.journal}"]
    bounds = [
        f"inbound <= {most['inbound']}",
        f"outbound + ready + deferred <= {most['messages']}",
        f"peers <= {most['peers']}",
    ]
    words = [word for bound in bounds for word in ("--bound", bound)]
    with redirect_stderr(StringIO()) as said:  # the tour itself says where the page is
        status = main(["explore", *words, "-o", str(file)])
    if status != 0:
        print(said.getvalue(), end="", file=sys.stderr)
    else:
        walk = file.with_name(f"{result.stop.name}.html")
        there = f"{file.name}#{','.join(result.trace)}"
        walk.write_text(
            f'<!doctype html><meta http-equiv="refresh" content="0; url={there}"><a href="{there}">the walk</a>'
        )
        lines.insert(0, f"{walk.resolve().as_uri()}, the explorer at the end of this walk")
    return lines


class _Live:
    """A line with the status of the store that is written over; on a terminal only."""

    def __init__(self) -> None:
        self._width = 0
        self._on = sys.stdout.isatty()

    def __call__(self, status: dict[str, Any]) -> None:
        if self._on:
            counts = "  ".join(f"{name} {status[name]}" for name in ("inbound", "outbound", "ready", "deferred"))
            text = f"  {status['state']:<9} {counts}  sent {status['counters']['sent']}"[:79]
            print(f"\r{text.ljust(self._width)}", end="", flush=True)
            self._width = len(text)

    def done(self) -> None:
        """Erase the line."""
        if self._on:
            print(f"\r{' ' * self._width}\r", end="", flush=True)
