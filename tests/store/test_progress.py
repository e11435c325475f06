"""The progress display: what is on the screen, in 80 columns, and what is written where there is no screen."""

from __future__ import annotations

import asyncio
import io
import re
import threading
from collections.abc import Iterator

import pytest
from rich.console import Console

from fsm.store import Plan, StoreClosing, aio
from fsm.store.progress import WIDTH, Display, picture
from fsm.store.sync import InFlight, Store
from fsm.testing.clock import SimulatedClock

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Lines(io.StringIO):
    """A stream that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._written = threading.Condition()

    def write(self, text: str) -> int:
        with self._written:
            self._written.notify_all()
            return super().write(text)

    def wait_for(self, text: str) -> None:
        with self._written:
            assert self._written.wait_for(lambda: text in self.getvalue(), timeout=60), self.getvalue()


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store(name="relay", clock=SimulatedClock())
    yield store
    store.let_go()


def terminal(width: int = WIDTH) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=True, width=width, height=30, legacy_windows=False, color_system="standard"), file


def busy(store: Store, inbound: int = 2, outbound: int = 1, ready: int = 3) -> list[InFlight]:
    items = [store.inbound(peer=f"10.0.0.{number}:54321", what="MAIL FROM <a@example.org>") for number in range(inbound)]
    for item in items:
        item.__enter__()
    for number in range(outbound + ready):
        store.submit(b"%d" % number)
    outgoing = store.outgoing(provider="smtp:mx1.example.org:25")
    for _ in range(outbound):
        item = next(outgoing)
        item.__enter__()
        item.progress("DATA")
        items.append(item)
    return items


def shown(store: Store, width: int = WIDTH, **options: int) -> str:
    console, file = terminal(width)
    console.print(picture(store.name, store.progress_now(), **options))
    return ESCAPES.sub("", file.getvalue())


def test_a_store_at_work(store: Store) -> None:
    items = busy(store)
    text = shown(store)
    for wanted in (
        "relay  open", "2 coming in", "1 going out", "3 ready", "0 deferred", "0 aside", "so far: 4 submitted",
        "10.0.0.0:54321", "smtp:mx1.example.org:25", "in-1", items[-1].id, "0 s ago: DATA",
    ):  # fmt: skip
        assert wanted in text, text
    assert "left" not in text


def test_a_closing_store_shows_its_step_and_its_time(store: Store) -> None:
    items = busy(store)
    store.begin_closing(Plan.parse("NO_WAIT 20s -> cancel 3s"))
    store.clock.advance(5)  # type: ignore[attr-defined]
    items.pop().__exit__(None, None, None)
    text = shown(store, work=6)
    for wanted in (
        "relay  draining on NO_WAIT", "1 of 6 done", "\u2588" * 4 + "\u2591" * 20, "NO_WAIT 20s", "15 s left, then cancel 3s",
        "\u2588" * 6 + "\u2591" * 18, "5.0 s", "1 sent",
    ):  # fmt: skip
        assert wanted in text, text
    store.next_step()
    assert "3 s left, the last step" in shown(store)


@pytest.mark.parametrize("width", [200, 80, 40, 20])
def test_nothing_is_wider_than_eighty_columns_or_the_screen(store: Store, width: int) -> None:
    busy(store, inbound=12, outbound=3)
    store.begin_closing("NO_WAIT 1000s -> ORDERLY 5s")
    lines = shown(store, width, work=18).splitlines()
    assert max(map(len, lines)) <= min(width, WIDTH)
    assert any("and 7 more" in line for line in lines) or width < 40


def test_names_of_other_people_cannot_steer_the_terminal(store: Store) -> None:
    store.inbound(peer="\x1b]0;owned\x07[red]", what="\x1b[2J\u202e").__enter__()
    console, file = terminal()
    console.print(picture("re\x1blay[/]", store.progress_now()))
    raw = file.getvalue()
    assert "\x1b]0" not in raw
    assert "\x1b[2J" not in raw
    assert "\u202e" not in raw
    assert "re\\x1blay[/]" in ESCAPES.sub("", raw)
    assert "\\x1b]0;owned\\x07[red]" in ESCAPES.sub("", raw)


@pytest.mark.parametrize("state", ["open", "blocked", "draining", "released"])
def test_every_state_is_named_in_words(state: str) -> None:
    store = Store(name="relay", clock=SimulatedClock())
    items = busy(store) if state in ("blocked", "draining") else []
    if state != "open":
        store.begin_closing("ABORT 5s" if state == "blocked" else "ORDERLY 5s")
    assert f"relay  {state}" in shown(store)
    for item in items:
        item.__exit__(None, None, None)
    store.let_go()


def test_the_last_picture_stays_on_the_terminal(store: Store) -> None:
    console, file = terminal()
    with Display(store, console):
        item = store.inbound(peer="10.0.0.7")
        with item:
            pass
        assert store.close("ORDERLY 5s")
    text = ESCAPES.sub("", file.getvalue())
    assert "relay  open" in text
    assert text.rstrip().splitlines()[-3].startswith("relay  released on ORDERLY")
    assert "1 received" in text


# -------------------------------------------------------------------------------------------------- without a terminal


def plain() -> tuple[Console, Lines]:
    lines = Lines()
    return Console(file=lines, force_terminal=False, width=80), lines


def test_without_a_terminal_changes_are_plain_lines(store: Store) -> None:
    console, lines = plain()
    with Display(store, console, every=3600):
        lines.wait_for("relay: open: in 0, out 0, ready 0, deferred 0, sent 0\n")
        items = busy(store, inbound=1, ready=0)
        store.begin_closing("NO_WAIT 20s -> cancel 3s")
        lines.wait_for("relay: draining: in 1, out 1, ready 0, deferred 0, sent 0, 20 s left of NO_WAIT 20s, then cancel 3s\n")
        lines.wait_for("  in the way: inbound in-1 from 10.0.0.0:54321, 0.0 s, MAIL FROM <a@example.org> for 0.0 s\n")
        store.next_step()
        lines.wait_for("3 s left of cancel 3s\n")
        for item in items:
            item.__exit__(None, None, None)
    assert lines.getvalue().splitlines()[-1] == "relay: released: in 0, out 0, ready 0, deferred 0, sent 1"
    assert "\x1b" not in lines.getvalue()


def test_a_plan_under_way_is_not_silent_when_nothing_moves(store: Store) -> None:
    console, lines = plain()
    [item] = busy(store, inbound=1, outbound=0, ready=0)
    with Display(store, console, every=0.001, most=0):
        store.begin_closing("ORDERLY 20s")
        lines.wait_for("and 1 more\n" + "relay: draining: in 1, out 0, ready 0, deferred 0, sent 0, 20 s left of ORDERLY 20s\n" + "  and 1 more\n")
        item.__exit__(None, None, None)


def test_many_changes_are_few_lines(store: Store) -> None:
    """By the store's own clock no time passes here."""
    console, lines = plain()
    with Display(store, console, every=60):
        lines.wait_for("open")
        for number in range(500):
            store.submit(b"%d" % number)
    assert len(lines.getvalue().splitlines()) == 2
    assert "ready 500" in lines.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_stream_that_cannot_show_everything_is_no_trouble(store: Store, encoding: str) -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    with Display(store, Console(file=file, force_terminal=True, width=80), every=3600):
        store.inbound(peer="m\u00fcnchen \u2192 \x1b[31m").__enter__()
        store.begin_closing("ORDERLY 20s")
    file.flush()
    assert b"\x1b" not in raw.getvalue()
    assert b"\\u2192 \\x1b[31m" in raw.getvalue()


def test_in_asyncio_it_is_the_same() -> None:
    console, lines = plain()

    async def program() -> None:
        async with aio.AsyncStore(name="relay") as store:
            with Display(store, console, every=3600):
                await store.submit(b"x")
                await store.close("ORDERLY 5s")
                with pytest.raises(StoreClosing):
                    await store.submit(b"y")

    asyncio.run(program())
    assert "relay: released: in 0, out 0, ready 1, deferred 0, sent 0" in lines.getvalue()
