"""The progress of a store on a terminal, live; or as plain lines where there is no terminal.

    with Display(store):                       # for threads or asyncio; an ordinary `with` in both
        store.close("NO_WAIT 20s -> ORDERLY 5s -> cancel 3s")

Theory.
1. On a terminal the picture is drawn a few times a second, since ages and the time left change by themselves.  It fits
   80 columns, uses the terminal's own colours only, and says nothing by colour alone.
2. Elsewhere a line is written when the state, the step or the peers change, and otherwise at most once in `every`
   seconds.  While a plan is under way lines are also written when nothing moves, with what is in the way.
3. Names come from other people: characters that are not printable are escaped.
4. Nothing is written with the store's lock held, so that a slow terminal holds nobody up.

It needs the extra `progress` (rich).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

try:
    from rich.console import Console, Group, RenderableType
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text
except ModuleNotFoundError as missing:
    from fsm.install import install_command

    problem = f"a store's display needs rich: {install_command('progress')}"
    raise ModuleNotFoundError(problem, name=missing.name) from None

from fsm.logoff.chart import BLOCKED, DRAINING, OPEN, RELEASED
from fsm.stepper.text import printable
from fsm.store.base import BaseSpooler, BaseStore
from fsm.store.outcome import Progress
from fsm.store.plan import PlanStep

__all__ = ["Display", "picture"]

WIDTH: Final = 80
BAR: Final = 24
COLOURS: Final = {str(OPEN): "green", str(DRAINING): "magenta", str(BLOCKED): "red", str(RELEASED): "green"}
ARROWS: Final = {"inbound": "\N{RIGHTWARDS ARROW} in", "outbound": "out \N{RIGHTWARDS ARROW}", "storage": "store"}
COUNTERS: Final = ("submitted", "sent", "received", "deferred", "failed", "uncertain", "refused_new")


class Display:
    """Shows the progress of a store, or of all stores of a spooler, while its block runs.

    It names at most `most` items in flight.

    `console` is where it is shown (default: standard error); `every` is in seconds (rule 2).
    """

    def __init__(
        self, store: BaseStore | BaseSpooler, console: Console | None = None, *, every: float = 5.0, most: int = 8
    ) -> None:
        self._store, self._every, self._most = store, every, most
        self._console = console or Console(stderr=True)
        self._work = 0
        self._live: Live | None = None
        self._changed, self._stopping = threading.Event(), False
        self._unsubscribe: Callable[[], None]
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal and not (self._console.is_dumb_terminal or self._console.options.ascii_only):
            self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=4)
            self._live.start(refresh=True)
        else:
            self._changed.set()
            self._unsubscribe = self._store.subscribe(self._changed.set)
            self._thread = threading.Thread(target=self._write_lines, name="fsm display", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; the last picture or line stays on the screen."""
        if self._live is not None:
            self._live.stop()
        if self._thread is not None:
            self._unsubscribe()
            self._stopping = True
            self._changed.set()
            self._thread.join()

    def _render(self) -> RenderableType:
        now = self._store.progress_now()
        remaining = now.inbound + now.outbound + now.ready
        self._work = max(self._work, remaining) if now.step is not None else remaining
        return picture(self._store.name, now, work=self._work, most=self._most)

    def _write_lines(self) -> None:
        clock = self._store.clock
        written: tuple[object, ...] = ()
        due, closing = clock.monotonic(), False
        while True:
            moved = self._changed.wait(self._every if closing else None)
            self._changed.clear()
            stopping, now = self._stopping, self._store.progress_now()  # in this order: the last line is up to date
            known, closing = (now.state, now.request, now.step, now.peers), now.step is not None
            if known != written or stopping or (closing and not moved) or clock.monotonic() >= due:
                written, due = known, clock.monotonic() + self._every
                self._write_line(now, closing)
            if stopping:
                return

    def _write_line(self, now: Progress, closing: bool) -> None:
        named = "".join(f"\n  in the way: {one}" for one in map(str, now.blockers[: self._most])) * closing
        more = len(now.blockers) - self._most
        rest = f"\n  and {more} more" if closing and more > 0 else ""
        line = "\n".join(printable(part) for part in f"{self._store.name}: {now}{named}{rest}".split("\n"))
        line = line.encode(self._console.encoding, "backslashreplace").decode(self._console.encoding)
        self._console.print(line, markup=False, highlight=False, soft_wrap=True, emoji=False)


def picture(name: str, now: Progress, *, work: int = 0, most: int = 8) -> RenderableType:
    """Return a picture of one moment of a store, at most 80 columns wide.

    `work` is the number of messages that were to be moved when the closing began.
    """
    asked = f" on {now.request.name}" if now.request is not None else ""
    head = Text.assemble((printable(name), "bold"), "  ", (now.state + asked, f"bold {COLOURS[now.state]}"))
    if now.peers:
        head.append(f"  {now.peers} other process{'es' if now.peers > 1 else ''} on this store")
    counts = Table.grid(padding=(0, 3))
    counts.add_row(*(_count(word, number) for word, number in (
        ("coming in", now.inbound), ("going out", now.outbound), ("ready", now.ready), ("deferred", now.deferred),
        ("aside", now.held))))  # fmt: skip
    parts: list[RenderableType] = [head, counts, _totals(now)]
    if now.step is not None and now.time_left is not None:
        parts.append(_plan(now, now.step, work))
    if now.blockers:
        parts.append(_blockers(now, most))
    return _Narrow(Group(*parts))


class _Narrow:
    """A renderable in no more than 80 columns."""

    def __init__(self, content: RenderableType) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: object) -> list[RenderableType]:
        table = Table.grid(expand=False)
        table.add_column(width=min(WIDTH, console.width), no_wrap=True, overflow="ellipsis")
        table.add_row(self._content)
        return [table]


def _count(word: str, number: int) -> Text:
    return Text.assemble((f"{number:,} ", "bold" if number else "dim"), (word, "" if number else "dim"))


def _totals(now: Progress) -> Text:
    counted = ((name.replace("refused_new", "refused"), now.counters[name]) for name in COUNTERS)
    totals = [f"{count:,} {name}" for name, count in counted if count]
    return Text("so far: " + (", ".join(totals) or "nothing"), style="dim")


def _plan(now: Progress, step: PlanStep, work: int) -> RenderableType:
    done, left = max(0, work - now.inbound - now.outbound - now.ready), now.time_left or 0.0
    then = f", then {now.next_step}" if now.next_step else ", the last step"
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=16, no_wrap=True)
    grid.add_column(width=BAR)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_row(Text("messages"), _bar(done, work), Text(f"{done:,} of {work:,} done"))
    grid.add_row(
        Text(str(step), style="bold"), _bar(step.seconds - left, step.seconds), Text(f"{left:.0f} s left{then}")
    )
    return grid


def _bar(done: float, total: float) -> Text:
    full = round(BAR * min(1.0, done / total)) if total else BAR
    return Text.assemble("\N{FULL BLOCK}" * full, ("\N{LIGHT SHADE}" * (BAR - full), "dim"))


def _blockers(now: Progress, most: int) -> RenderableType:
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, header_style="dim", width=WIDTH - 2)
    table.add_column("way", no_wrap=True, width=6)
    table.add_column("message", no_wrap=True, overflow="ellipsis", width=20)
    table.add_column("with", no_wrap=True, overflow="ellipsis", width=24)
    table.add_column("age", justify="right", no_wrap=True, width=7)
    table.add_column("last progress", no_wrap=True, overflow="ellipsis", ratio=1)
    for one in now.blockers[:most]:
        note = f"{one.silent:.0f} s ago{f': {one.note}' if one.note else ''}"
        other = one.provider or one.peer
        cells = (ARROWS[one.direction], one.id, other, f"{one.age:.1f} s", note)
        table.add_row(*(Text(printable(text)) for text in cells))
    if len(now.blockers) > most:
        table.add_row(Text(""), Text(f"and {len(now.blockers) - most:,} more", style="dim"))
    return table
