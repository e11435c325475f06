"""The progress of a store on a terminal, live; where there is none that can show it, as plain lines.

    with Display(store):                       # of either face; an ordinary `with` in asyncio, too
        store.close("NO_WAIT 20s -> ORDERLY 5s -> cancel 3s")

Theory.
1. On a terminal the picture is made anew a few times a second, because ages and the time that is left run by
   themselves.  It fits 80 columns, uses the terminal's own colours only, and says nothing by colour alone.
2. Elsewhere a line is written when the state, the step or the peers change, and otherwise not more often than `every`
   seconds; while a plan is under way also when nothing moves, with what is in the way, so that silence means the end.
3. Names come from other people: what is not printable is written out.
4. Neither writes under the store's lock; a slow terminal holds nobody up.

This file does not know how a store is closed.  It needs the extra `progress` (rich).
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Final, Self

try:
    from rich.console import Console, Group, RenderableType
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text
except ModuleNotFoundError as missing:
    told = "a store's display needs rich: pip install 'fsm-logoff[progress]'"
    raise ModuleNotFoundError(told, name=missing.name) from None

from fsm.logoff.chart import BLOCKED, DRAINING, OPEN, RELEASED
from fsm.stepper.text import shown
from fsm.store.base import BaseStore
from fsm.store.outcome import Progress
from fsm.store.plan import PlanStep

__all__ = ["Display", "picture"]

WIDTH: Final = 80
BAR: Final = 24
COLOURS: Final = {str(OPEN): "green", str(DRAINING): "magenta", str(BLOCKED): "red", str(RELEASED): "green"}
ARROWS: Final = {"inbound": "\N{RIGHTWARDS ARROW} in", "outbound": "out \N{RIGHTWARDS ARROW}"}
TOLD: Final = ("submitted", "sent", "received", "deferred", "failed", "uncertain", "refused_new")


class Display:
    """The progress of a store while the block runs; `most` items in flight are named.

    `console` is where it is shown (left out: standard error), `every` is in seconds (rule 2).
    """

    def __init__(self, store: BaseStore, console: Console | None = None, *, every: float = 5.0, most: int = 8) -> None:
        self._store, self._every, self._most = store, every, most
        self._console = console or Console(stderr=True)
        self._work = 0
        self._live: Live | None = None
        self._changed, self._left = threading.Event(), False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal and not (self._console.is_dumb_terminal or self._console.options.ascii_only):
            self._live = Live(get_renderable=self._now, console=self._console, refresh_per_second=4)
            self._live.start(refresh=True)
        else:
            self._changed.set()
            self._store._core.told.append(self._changed.set)
            self._thread = threading.Thread(target=self._write, name="fsm display", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The last of it stays on the screen."""
        if self._live is not None:
            self._live.stop()
        if self._thread is not None:
            self._store._core.told.remove(self._changed.set)
            self._left = True
            self._changed.set()
            self._thread.join()

    def _now(self) -> RenderableType:
        with self._store._core.lock:
            now, step = self._store._closer.progress(), self._store._closer.step
        todo = now.inbound + now.outbound + now.ready
        self._work = max(self._work, todo) if step is not None else todo
        return picture(self._store._core.name, now, step, work=self._work, most=self._most)

    def _write(self) -> None:
        clock = self._store._core.clock
        told: tuple[object, ...] = ()
        due, closing = clock.monotonic(), False
        while True:
            moved = self._changed.wait(self._every if closing else None)
            self._changed.clear()
            left, now = self._left, self._store._closer.progress()  # in this order: the last line is the last word
            known, closing = (now.state, now.request, now.step, now.peers), now.step is not None
            if known != told or left or (closing and not moved) or clock.monotonic() >= due:
                told, due = known, clock.monotonic() + self._every
                named = "".join(f"\n  in the way: {one}" for one in map(str, now.blockers[: self._most])) * closing
                more = len(now.blockers) - self._most
                rest = f"\n  and {more} more" if closing and more > 0 else ""
                line = "\n".join(shown(part) for part in f"{self._store._core.name}: {now}{named}{rest}".split("\n"))
                line = line.encode(self._console.encoding, "backslashreplace").decode(self._console.encoding)
                self._console.print(line, markup=False, highlight=False, soft_wrap=True, emoji=False)
            if left:
                return


def picture(name: str, now: Progress, step: PlanStep | None = None, *, work: int = 0, most: int = 8) -> RenderableType:
    """One moment of a store, at most 80 columns wide; `work` is how many messages there were to move when it began."""
    asked = f" on {now.request.name}" if now.request is not None else ""
    head = Text.assemble((shown(name), "bold"), "  ", (now.state + asked, f"bold {COLOURS[now.state]}"))
    if now.peers:
        head.append(f"  {now.peers} other process{'es' if now.peers > 1 else ''} on this store")
    counts = Table.grid(padding=(0, 3))
    counts.add_row(*(_count(word, number) for word, number in (
        ("coming in", now.inbound), ("going out", now.outbound), ("ready", now.ready), ("deferred", now.deferred),
        ("aside", now.held))))  # fmt: skip
    parts: list[RenderableType] = [head, counts, _totals(now)]
    if step is not None and now.time_left is not None:
        parts.append(_plan(now, step, work))
    if now.blockers:
        parts.append(_blockers(now, most))
    return _Narrow(Group(*parts))


class _Narrow:
    """What is inside, in no more than 80 columns."""

    def __init__(self, inside: RenderableType) -> None:
        self._inside = inside

    def __rich_console__(self, console: Console, options: object) -> list[RenderableType]:
        table = Table.grid(expand=False)
        table.add_column(width=min(WIDTH, console.width), no_wrap=True, overflow="ellipsis")
        table.add_row(self._inside)
        return [table]


def _count(word: str, number: int) -> Text:
    return Text.assemble((f"{number:,} ", "bold" if number else "dim"), (word, "" if number else "dim"))


def _totals(now: Progress) -> Text:
    told = [f"{now.counters[word]:,} {word.replace('refused_new', 'refused')}" for word in TOLD if now.counters[word]]
    return Text("so far: " + (", ".join(told) or "nothing"), style="dim")


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
        told = (ARROWS[one.direction], one.id, other, f"{one.age:.1f} s", note)
        table.add_row(*(Text(shown(text)) for text in told))
    if len(now.blockers) > most:
        table.add_row(Text(""), Text(f"and {len(now.blockers) - most:,} more", style="dim"))
    return table
