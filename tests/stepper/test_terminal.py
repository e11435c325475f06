"""The full-screen stepper, driven through Textual's own pilot: what is on the screen after which keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from fsm.chart import Chart, Output, State, row
from fsm.journal.reader import header
from fsm.logoff import LOGOFF
from fsm.stepper.terminal import KEYS, StepperApp, keys_of
from fsm.stepper.walk import Stepper
from tests.small_charts import ACCOUNT
from tests.support import run

CROSS = "\N{MULTIPLICATION SIGN}"
HOSTILE = Chart(
    "[red]x[/red]\x1b[31m", states=["a\x1b[2Jb", State("[bold]c", final=True)], events=["[b]go\x07", "\u202eog"],
    rows=[row("r1", "a\x1b[2Jb", "[b]go\x07", target="[bold]c", why="[blink]why\x1b"), row("r2", "a\x1b[2Jb", "\u202eog")],
    outputs=[Output("\x1b]0;x", 1)],
)  # fmt: skip
MANY = Chart(
    "many", states=["on"], events=[f"event_{n:02}" for n in range(80)],
    rows=[row(f"r{n}", "on", f"event_{n:02}") for n in range(80)],
)  # fmt: skip

Act = Callable[[Pilot[None], StepperApp], Awaitable[None]]


def drive(act: Act, chart: Chart = LOGOFF, size: tuple[int, int] = (80, 24), trace: str = "") -> Stepper:
    """Run the program on a screen of this size, let `act` use it, and return the walk."""
    app = StepperApp(Stepper(chart))
    app.stepper.walk(filter(None, trace.split(",")))

    async def go() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await act(pilot, app)

    asyncio.run(go())
    return app.stepper


def screen(app: StepperApp) -> list[str]:
    return [strip.text for strip in app.screen._compositor.render_strips()]


def shows(app: StepperApp, *wanted: str) -> None:
    text = "\n".join(screen(app))
    assert [one for one in wanted if one not in text] == [], text


async def typed(pilot: Pilot[None], text: str) -> None:
    """Type a line into the question that is asked."""
    pilot.app.query_one("#prompt", Input).value = text
    await pilot.press("enter")
    await pilot.pause()


# ------------------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize("trace", ["", "submit,outbound_begin,inbound_begin,logoff_no_wait", "release"])
def test_every_event_has_a_key_that_takes_its_step_or_says_why_not(trace: str) -> None:
    async def act(pilot: Pilot[None], app: StepperApp) -> None:
        for key, event in app.keys.items():
            here, verdict = app.stepper.configuration, app.stepper.verdicts()[event]
            await pilot.press(key)
            await pilot.pause()
            if verdict:
                assert app.stepper.trail[-1].event == event
                shows(app, f"trail {app.stepper.place}/", event)
                await pilot.press("u")
            else:
                told = " ".join(" ".join(screen(app)[-7:-2]).split())
                assert told.endswith(f"cannot {event} while {verdict.state}: {verdict.reason}")
            await pilot.pause()
            assert app.stepper.configuration == here

    drive(act, trace=trace)


def test_no_key_is_both_an_event_and_a_command() -> None:
    commands = set("ursljkcgqv0?/<>")  # here or in the explorer, which has the same keys
    assert not commands & set(KEYS)
    assert len(set(KEYS)) == len(KEYS) >= 50
    assert list(keys_of(MANY.events).values()) == list(MANY.events)[: len(KEYS)]


def test_a_step_says_what_happened_and_the_keys_are_explained() -> None:
    async def act(pilot: Pilot[None], app: StepperApp) -> None:
        for key, told in (
            ("7", "submit: now open, ready 1; output OUTBOUND_QUEUE"), ("u", "undid submit: now open; output none"),
            ("r", "redid submit: now open, ready 1"), ("0", "the start: now open; output none"), ("?", "l load, q quit."),
        ):  # fmt: skip
            await pilot.press(key)
            await pilot.pause()
            shows(app, told)
        await pilot.press("j", "j", "k")
        await pilot.pause()
        assert app.query_one("#events", OptionList).highlighted == 7
        await pilot.resize_terminal(60, 20)
        await pilot.pause()
        shows(app, "? keys  q quit")
        await pilot.resize_terminal(200, 50)
        await pilot.press("7", "7")
        await pilot.pause()
        shows(app, "  2 submit: open, ready 2", "(the kind of activity is returned; a waiting ABORT is withdrawn)")

    drive(act)


def test_undo_redo_and_the_ends_of_the_trail() -> None:
    async def act(pilot: Pilot[None], app: StepperApp) -> None:
        for key, place, told in (
            ("u", 2, "trail 2/3 submit,submit (submit)"), ("left", 1, "trail 1/3 submit (submit,submit)"),
            ("r", 2, "trail 2/3"), ("right", 3, "trail 3/3 submit,submit,submit"), ("r", 3, "nothing was undone"),
            ("<", 0, "trail 0/3 - (submit,submit,submit)"), ("u", 0, "this is the start of the walk"), (">", 3, "trail 3/3"),
        ):  # fmt: skip
            await pilot.press(key)
            await pilot.pause()
            assert app.stepper.place == place
            shows(app, told, f"ready {place},")

    drive(act, trace="submit,submit,submit")


def test_events_are_chosen_with_the_arrows_and_the_mouse_too() -> None:
    """A chart with more events than there are keys."""

    async def act(pilot: Pilot[None], app: StepperApp) -> None:
        await pilot.press("end", "enter")
        assert app.stepper.trace == "event_79"
        await pilot.pause()
        shows(app, "    event_79", "event_79: now on")
        await pilot.press("up", "up", "enter")
        await pilot.press("home")
        await pilot.pause()
        await pilot.click("#events", offset=(8, 3))
        assert app.stepper.trace == "event_79,event_77,event_03"

    drive(act, MANY)


def test_an_event_with_data_asks_for_them() -> None:
    async def act(pilot: Pilot[None], app: StepperApp) -> None:
        shows(app, "1   deposit(amount)", f"2 {CROSS} withdraw(amount")
        await pilot.press("2")
        await pilot.pause()
        shows(app, "cannot withdraw")
        for answer, told in [("5", ""), ("amount=0", "cannot deposit while open: needs amount > 0"), ("amount=-1", "0 or more, not -1"),
                             ("tip=1", "it needs amount (in cents); it takes no 'tip'"), ("", "it needs amount"), ("=", "deposit")]:
            await pilot.press("1")
            await pilot.pause()
            assert pilot.app.query_one("#prompt", Input).placeholder == "amount=…, where amount (in cents); Escape leaves"
            await typed(pilot, answer)
            shows(app, told or "balance 5")
        await pilot.press("2")
        await pilot.pause()
        await typed(pilot, 'amount=2,reason="rent, may"')
        await pilot.press("5")
        await pilot.pause()
        shows(app, "needs balance == 0; balance is 3")

    walk = drive(act, ACCOUNT, size=(120, 24))
    assert walk.trace == 'deposit(amount=5),withdraw(amount=2,reason="rent, may")'
    assert [entry["data"] for entry in walk.entries()] == [{"amount": 5}, {"amount": 2, "reason": "rent, may"}]


def test_a_walk_with_data_is_saved_and_loaded(tmp_path: Path) -> None:
    walk = Stepper(ACCOUNT)
    assert walk.walk(["deposit(amount=3)", 'withdraw(amount=1,reason="rent")', "freeze"]) is None
    walk.save(tmp_path / "walk.jsonl")
    again = Stepper.load(ACCOUNT, tmp_path / "walk.jsonl")
    assert (again.trace, again.configuration) == (walk.trace, walk.configuration)
    assert str(again.path_to("closed")) == "shortest way to closed: thaw,withdraw(amount=2),close"


def test_the_goal_changes_and_the_trace_is_copied() -> None:
    async def act(pilot: Pilot[None], app: StepperApp) -> None:
        shows(app, "shortest way to released:", "outbound_sent")
        for goal in app.stepper.goals[1:]:
            await pilot.press("g")
            await pilot.pause()
            assert app.goal == goal
            shows(app, f"way to {goal}" if app.stepper.path_to(goal).events is not None else f"{goal} was not found")
        await pilot.press("c")
        await pilot.pause()
        assert app.clipboard == "submit,outbound_begin,logoff_orderly"
        shows(app, "copied: submit,outbound_begin,logoff_orderly")

    drive(act, trace="submit,outbound_begin,logoff_orderly")


# ----------------------------------------------------------------------------------------------------------- screen


@pytest.mark.parametrize("state", LOGOFF.states)
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
def test_the_present_state_is_lit_with_counts_outputs_and_all_events(state: str, size: tuple[int, int]) -> None:
    traces = {
        "open": "inbound_begin", "blocked": "inbound_begin,logoff_abort", "draining": "inbound_begin,logoff_orderly",
        "released": "inbound_begin,logoff_orderly,inbound_received",
    }  # fmt: skip

    async def act(pilot: Pilot[None], app: StepperApp) -> None:
        stepper = app.stepper
        assert stepper.state == state
        shows(app, f"store-logoff: {state}", f"▶║ {state.ljust(8)} ", f"output 0x{stepper.flags:X}", *stepper.flag_names)
        shows(app, f"inbound {stepper.configuration[2]}, ", "peers 0")
        for key, (event, verdict) in zip(KEYS, stepper.verdicts().items(), strict=False):
            shows(app, f"{key} {' ' if verdict else CROSS} {event}")

    drive(act, size=size, trace=traces[state])


def test_it_is_laid_out_anew_when_the_terminal_is_resized() -> None:
    async def act(pilot: Pilot[None], app: StepperApp) -> None:
        first = screen(app)
        for size in ((59, 24), (80, 15), (20, 5), (1, 1)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            told = " ".join(" ".join(screen(app)).split())
            wanted = f"This terminal is {size[0]}x{size[1]}; fsm step needs 60x16."
            assert told.startswith(wanted[: len(told)])
            assert "open" not in told
        for size in ((60, 16), (120, 40), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            shows(app, "▶[open]" if size == (60, 16) else "▶║ open     ║", "trail 0/0", "logoff_quiet")
            assert {len(line) for line in screen(app)} == {size[0]}
        assert screen(app) == first

    drive(act)


def test_a_walk_goes_on_while_the_terminal_is_too_small() -> None:
    async def act(pilot: Pilot[None], app: StepperApp) -> None:
        await pilot.resize_terminal(30, 5)
        await pilot.press("7", "q")
        await pilot.pause()
        assert not app.is_running

    assert drive(act).trace == "submit"


def test_what_is_refused_is_dimmed_and_crossed_and_what_is_legal_is_neither() -> None:
    async def act(pilot: Pilot[None], app: StepperApp) -> None:
        verdicts, seen = app.stepper.verdicts(), set()
        for strip in app.screen._compositor.render_strips():
            for text, style, _ in strip:
                if style is not None and text[4:].split(" ")[0] in verdicts:
                    verdict = verdicts[text[4:].split(" ")[0]]
                    assert (text[2] == CROSS, bool(style.dim)) == (not verdict, not verdict)
                    seen.add(verdict.event)
        assert seen == set(verdicts)

    drive(act)


def test_hostile_names_are_shown_literally() -> None:
    async def act(pilot: Pilot[None], app: StepperApp) -> None:
        shows(app, "[red]x[/red]\\x1b[31m", "a\\x1b[2Jb", "[bold]c", "[b]go\\x07", "\\u202eog", "[blink]why\\x1b", "\\x1b]0;x")
        await pilot.press("1")
        await pilot.pause()
        shows(app, "▶║ [bold]c", "trail 1/1 [b]go\\x07")
        await pilot.press("2")
        await pilot.pause()
        shows(app, "cannot \\u202eog while [bold]c: [bold]c is final")
        assert all(line.isprintable() for line in screen(app))

    drive(act, HOSTILE)


# --------------------------------------------------------------------------------------------------- saving, loading


def test_a_walk_is_saved_and_loaded_and_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "walk.jsonl"

    async def act(pilot: Pilot[None], app: StepperApp) -> None:
        await pilot.press("s")
        await pilot.pause()
        shows(app, "save:", "file to save the walk in")
        await typed(pilot, str(path))
        assert Stepper.load(LOGOFF, path).trace == "submit,submit"
        shows(app, "saved 2 steps in")
        await pilot.press("u", "s")
        await pilot.pause()
        await typed(pilot, str(path))
        shows(app, "is there already")
        assert Stepper.load(LOGOFF, path).trace == "submit,submit"
        await pilot.press("s")
        await pilot.pause()
        await typed(pilot, str(path))
        assert Stepper.load(LOGOFF, path).trace == "submit"
        await pilot.press("j", "l")
        await pilot.pause()
        await typed(pilot, str(path))
        shows(app, "loaded", "trail 1/1 submit")

    assert drive(act, trace="submit,submit").trace == "submit"


def test_a_question_takes_letters_as_letters_and_escape_leaves_it() -> None:
    async def act(pilot: Pilot[None], app: StepperApp) -> None:
        await pilot.press("l", "7", "u", "q", "s")
        await pilot.pause()
        assert app.query_one("#prompt", Input).value == "7uqs"
        await pilot.press("escape")
        await pilot.pause()
        assert not app.query("#prompt")
        await pilot.press("7")

    assert drive(act, trace="submit").trace == "submit,submit"


LOADS = {
    "a trace": ("submit,outbound_begin", "walked the trace", "submit,outbound_begin"),
    "a trace that stops": ("submit,peer_closed,submit", "the trace stops: cannot peer_closed while open", "submit"),
    "a long trace": (",".join(["submit"] * 60), "walked the trace", ",".join(["submit"] * 60)),
    "an unknown event": ("submit,nope", "no such file, and as a trace: event 2 of the trace: store-logoff has", "release"),
    "nobody's home": ("~nobody-of-that-name/x", "no such file, and as a trace: event 1", "release"),
    "a snapshot": ("snapshot.json", "loaded snapshot.json", ""),
    "another chart's snapshot": ("other.json", "other.json: this is no snapshot of store-logoff", "release"),
    "a corrupt journal": ("corrupt.jsonl", "corrupt.jsonl: line 2: this is no JSON", "release"),
    "a torn journal": ("torn.jsonl", "loaded torn.jsonl; line 3 was cut off", "submit"),
    "several sessions": ("two.jsonl", "two.jsonl: it has the sessions 'a', 'b'; name one", "release"),
    "a folder": (".", "cannot read .: Is a directory", "release"),
    "markup and escapes": ("[red]\x1b[2J", "[red]\\x1b[2J: there is no such file", "release"),
}


@pytest.mark.parametrize("case", LOADS)
def test_what_is_loaded_becomes_the_walk_and_what_is_wrong_leaves_it(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    head = json.dumps(header(LOGOFF)) + "\n"
    Path("snapshot.json").write_text(json.dumps(run("inbound_begin").snapshot()))
    Path("other.json").write_text(json.dumps({**run("").snapshot(), "fingerprint": "0", "chart": "other"}))
    Path("corrupt.jsonl").write_text(head + "{\n{}\n")
    Path("torn.jsonl").write_text(head + '{"event": "submit"}\n{"ev')
    Path("two.jsonl").write_text(head + '{"event": "submit", "session": "a"}\n{"event": "submit", "session": "b"}\n')
    what, told, trace = LOADS[case]

    async def act(pilot: Pilot[None], app: StepperApp) -> None:
        await pilot.press("l")
        await pilot.pause()
        await typed(pilot, what)
        assert " ".join(told.split()) in " ".join(" ".join(screen(app)[-7:-2]).split())

    assert drive(act, trace="release").trace == trace


@pytest.mark.parametrize(
    ("name", "told"),
    [("nowhere/x", "cannot write nowhere/x: No such file"), (".", ". is there already"), ("x" * 300, "File name too long")],
)
def test_a_file_that_cannot_be_written_is_told(
    name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def act(pilot: Pilot[None], app: StepperApp) -> None:
        await pilot.press("s")
        await pilot.pause()
        await typed(pilot, name)
        assert told in app.message
        shows(app, told)

    drive(act)
    assert list(tmp_path.iterdir()) == []
