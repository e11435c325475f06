"""The stepper on a terminal: a full-screen Textual program around a `Stepper`, which makes all decisions.

    the diagram with the present state lit   |   the events, each with its key
    counts, outputs, the way to the goal     |   (what is refused is dimmed, with the reason)
    what the chosen event would do, or what has just happened
    the trail, and the keys

Characters say what colours say: `▶` and double lines for the present state, a cross for a refused event.
Every name is shown literally: as Content, which has no markup, and through `text.printable`.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from fsm.analysis.trace import TraceError, parse_trace
from fsm.chart import Event
from fsm.errors import DataError, SnapshotError
from fsm.journal.reader import JournalError, TornLine
from fsm.stepper.diagram import text_diagram
from fsm.stepper.shortest_path import NEAR
from fsm.stepper.text import columns, cut, printable, wrapped
from fsm.stepper.transcript import consequence, count_lines, trail, walk_lines, with_data
from fsm.stepper.walk import Stepper
from fsm.verdict import Refused, Verdict

__all__ = ["StepperApp", "keys_of"]

LEAST: Final = (60, 16)
"""The smallest size in which the screen is useful, in columns and rows."""
KEYS: Final = "123456789abdefhimnoptwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The keys of events, in the chart's order, as in the explorer; the arrows choose further ones.  Other letters are
commands."""
COMMANDS: Final = "u undo  r redo  0 start  g goal  s save  ? keys  q quit"
"""The commands that every width has room for."""
HELP: Final = (
    "The key beside an event takes it; j k ↑ ↓ choose one, and ⏎ takes it.  u ← undo, r → redo, 0 < start again, "
    "> to the end, g next goal, c copy the trace, s save, l load, q quit.  fsm explore has the same keys."
)
"""What `?` says."""
ROOMY: Final = 120
"""The columns from which on a screen shows the whole walk, and why each event does what it does."""
DATA: Final = "data of "
"""Before the name of an event, in the name of the prompt that asks for its data."""
REFUSED: Final = "\N{MULTIPLICATION SIGN}"
STYLES: Final = {"box": "", "here": "bold $success", "lane": "dim", "lit": "$success"}


def keys_of(events: tuple[str, ...]) -> dict[str, str]:
    """Return the event of each key, as far as there are keys."""
    return dict(zip(KEYS, events, strict=False))


class _Left(Static):
    """The left side, whose size decides how the chart is drawn."""

    def on_resize(self) -> None:
        if isinstance(self.app, StepperApp):
            self.app.show()


class StepperApp(App[None]):
    """The full-screen stepper.  `stepper` is the walk, and stays usable after the program has ended."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #small, .small #main, .small #status, .small #trail, .small #keys { display: none; }
    .small #small { display: block; }
    #main { height: 1fr; }
    #left { width: 31; max-width: 47%; height: 100%; padding: 0 1 0 0; }
    .roomy #left { width: 60; max-width: 40%; }
    #events { width: 1fr; height: 1fr; max-height: 100%; border: none; padding: 0; background: transparent;
              text-wrap: nowrap; text-overflow: ellipsis; scrollbar-size-vertical: 1; }
    #events:focus { border: none; background-tint: transparent 0%; }
    #events > .option-list--option { padding: 0; }
    #events > .option-list--option-highlighted, #events:focus > .option-list--option-highlighted {
        background: transparent; color: ansi_cyan; text-style: bold underline; }
    #trail, #keys { height: 1; }
    #status { height: auto; min-height: 2; max-height: 5; }
    #prompt { border: none; height: 1; padding: 0; }
    """
    BINDINGS: ClassVar = [
        Binding("u,left", "undo"), Binding("r,right", "redo"), Binding("s", "ask('save')"),
        Binding("l", "ask('load')"), Binding("c", "copy"), Binding("g", "goal"), Binding("q", "quit"),
        Binding("less_than_sign,0", "ends(0)"), Binding("greater_than_sign", "ends(1)"), Binding("escape", "leave"),
        Binding("j", "next(1)"), Binding("k", "next(-1)"), Binding("question_mark", "help"),
    ]

    def __init__(self, stepper: Stepper, goal: str | None = None, message: str = "") -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"  # the terminal's own colours, light or dark
        self.stepper = stepper
        self.goal = goal if goal is not None else stepper.goals[0]
        self.message = message
        self.keys = keys_of(stepper.chart.events)
        self.verdicts: dict[str, Verdict] = {}
        self._replaced: str | None = None

    # -------------------------------------------------------------------------------------------------- what is shown

    def compose(self) -> ComposeResult:
        """The screen."""
        yield Static(id="small")
        with Horizontal(id="main"):
            yield _Left(id="left")
            yield OptionList(*(Option("") for _ in self.stepper.chart.events), id="events", markup=False)
        yield Vertical(Static(id="message"), id="status")
        yield Static(id="trail")
        yield Static(_plain(COMMANDS), id="keys")

    def on_mount(self) -> None:
        """Choose the first event."""
        self._list.highlighted = 0 if self._list.option_count else None
        self._list.focus()

    def on_resize(self, event: events.Resize) -> None:
        """Lay the screen out anew, or say that the terminal is too small."""
        small = event.size.width < LEAST[0] or event.size.height < LEAST[1]
        self.screen.set_class(small, "small")
        self.screen.set_class(event.size.width >= ROOMY, "roomy")
        if small:
            here = f"{event.size.width}x{event.size.height}"
            hint = f"This terminal is {here}; fsm step needs {LEAST[0]}x{LEAST[1]}. Make it larger, or press q."
            self.query_one("#small", Static).update(_plain(hint))

    @property
    def _list(self) -> OptionList:
        return self.query_one("#events", OptionList)

    def show(self) -> None:
        """Show the walk as it is now."""
        left = self.query_one("#left", Static)
        self.verdicts = self.stepper.verdicts()
        names = {event: with_data(self.stepper.chart, event) for event in self.verdicts}
        wide = max(map(columns, names.values()), default=0)
        keys = {event: key for key, event in self.keys.items()}
        for place, (event, verdict) in enumerate(self.verdicts.items()):
            roomy = self.size.width >= ROOMY
            line = _event_line(keys.get(event, " "), names[event], verdict, min(wide, 20), roomy=roomy)
            self._list.replace_option_prompt_at_index(place, line)
        left.update(self._left(left.size.width - 1, self.query_one("#main").size.height))
        self._show_trail()
        self._show_message()

    def _left(self, width: int, height: int) -> Content:
        stepper = self.stepper
        names = " ".join(map(printable, stepper.flag_names)) or "none"
        head = wrapped(f"{printable(stepper.chart.name)}: {printable(stepper.state)}", width)
        output = wrapped(f"output 0x{stepper.flags:X} {names}", width)
        tail = count_lines(stepper.chart, stepper.configuration, width)
        tail += wrapped(str(stepper.path_to(self.goal, NEAR)), width)
        left_over = height - len(head) - len(output) - len(tail)
        lines = [*(Content.styled(line, "bold") for line in head), *map(Content, output)]
        for line in text_diagram(stepper.chart, stepper.state, width, left_over):
            lines.append(Content.assemble(*((piece, STYLES[kind]) for piece, kind in line)))
        lines += map(Content, tail)
        if self.size.width >= ROOMY:
            lines += map(Content, ["", *walk_lines(stepper, width)][: max(0, height - len(lines))])
        return Content("\n").join(lines)

    def _show_trail(self) -> None:
        head, done, undone = trail(self.stepper, self.size.width - 1)
        self.query_one("#trail", Static).update(Content.assemble((head, "bold"), done, (undone, "dim")))

    def _show_message(self) -> None:
        """Say what has just happened, or else what the chosen event would do."""
        place = self._list.highlighted
        message = self.message
        if not message and place is not None and self.verdicts:
            event = str(self.stepper.chart.events[place])
            row = self.verdicts[event].row
            why = (row.why if row is not None else "") or self.stepper.chart.event(event).doc
            message = f"{event}: {consequence(self.verdicts[event])}{f' ({why})' if why else ''}"
        self.query_one("#message", Static).update(_plain(message))

    # ------------------------------------------------------------------------------------------------------- the keys

    def on_key(self, event: events.Key) -> None:
        """Take the step of the event with this key."""
        if self.query("#prompt"):
            return
        if (name := self.keys.get(event.character or "")) is not None:
            event.stop()
            with self._list.prevent(OptionList.OptionHighlighted):
                self._list.highlighted = self.stepper.chart.events.index(name)
            self._choose(name)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take the step of the event chosen with Enter or the mouse."""
        self._choose(str(self.stepper.chart.events[event.option_index]))

    def on_option_list_option_highlighted(self) -> None:
        """Describe the chosen event."""
        self.message = ""
        self._show_message()

    def _choose(self, event: str) -> None:
        """Take a step, or ask first for the data of the event if some would be accepted."""
        if self.stepper.chart.event(event).data and self.verdicts[event]:
            self._prompt(f"{DATA}{event}", event, _hint(self.stepper.chart.event(event)))
        else:
            self._fire(event)

    def _fire(self, event: str) -> None:
        try:
            moment = self.stepper.fire(event)
            self.message = self._stands(f"{moment.event}:")
        except Refused as refusal:
            verdict = refusal.verdict
            self.message = f"cannot {verdict.event} while {verdict.state}: {verdict.reason}"
        except (DataError, TraceError) as error:
            self.message = str(error).removeprefix("event 1 of the trace: ")
        self.show()

    def action_undo(self) -> None:
        """Go one step back."""
        undone = self.stepper.trail[self.stepper.place - 1].event if self.stepper.place else ""
        self.message = self._stands(f"undid {undone}:") if self.stepper.undo() else "this is the start of the walk"
        self.show()

    def action_redo(self) -> None:
        """Go one step forward again."""
        redone = self.stepper.redo()
        self.message = self._stands(f"redid {self._last}:") if redone else "nothing was undone"
        self.show()

    def action_ends(self, end: int) -> None:
        """Go to the start or the end of the trail."""
        self.stepper.jump(len(self.stepper.trail) if end else 0)
        self.message = self._stands("the end of the walk:" if end else "the start:")
        self.show()

    def action_next(self, by: int) -> None:
        """Choose the next event, or the one before."""
        (self._list.action_cursor_down if by > 0 else self._list.action_cursor_up)()

    def action_help(self) -> None:
        """Say the keys, until the next one."""
        self.message = HELP
        self.show()

    @property
    def _last(self) -> str:
        return str(self.stepper.trail[self.stepper.place - 1].event)

    def _stands(self, after: str) -> str:
        """What has happened: where the walk stands after it, and the output."""
        names = ", ".join(self.stepper.flag_names)
        output = f"; output {names or 'none'}" if self.stepper.chart.outputs else ""
        return f"{after} now {self.stepper.chart.describe(self.stepper.configuration)}{output}"

    def action_goal(self) -> None:
        """Choose the next goal."""
        goals = self.stepper.goals
        self.goal = goals[(goals.index(self.goal) + 1) % len(goals)]
        self.message = str(self.stepper.path_to(self.goal))
        self.show()

    def action_copy(self) -> None:
        """Copy the trace to the clipboard, where the terminal allows it, and show it."""
        self.copy_to_clipboard(self.stepper.trace)
        self.message = f"copied: {self.stepper.trace or '(an empty trace)'}"
        self.show()

    # ------------------------------------------------------------------------------------------------ saving, loading

    def action_ask(self, what: str) -> None:
        """Ask for a file name in the message line."""
        hint = "file to save the walk in" if what == "save" else "file (journal or snapshot), or a trace a,b,c"
        self._prompt(what, what, hint)

    def _prompt(self, name: str, label: str, hint: str) -> None:
        if self.query("#prompt"):
            return
        prompt = Input(id="prompt", name=name, placeholder=f"{hint}; Escape leaves")
        self.query_one("#message", Static).update(_plain(f"{label}:"))
        self.query_one("#status", Vertical).mount(prompt)
        prompt.focus()

    def action_leave(self, message: str = "") -> None:
        """Close the question."""
        self.query("#prompt").remove()
        self._list.focus()
        self.message = message
        self.show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the answer to the question."""
        answer, name = event.value.strip(), event.input.name or ""
        if name.startswith(DATA):
            self.action_leave()
            event_name = name.removeprefix(DATA)
            given = _named(self.stepper.chart.event(event_name), answer)
            self._fire(f"{event_name}({given})" if answer else event_name)
            return
        self.action_leave(answer and (self._save(answer) if name == "save" else self._load(answer)))

    def _save(self, name: str) -> str:
        path, there = _file(name)
        if there and self._replaced != name:
            self._replaced = name
            return f"{cut(name, 40)} is there already; save under this name once more to replace it"
        self._replaced = None
        try:
            self.stepper.save(path)
        except (OSError, JournalError) as error:
            return f"cannot write {cut(name, 40)}: {getattr(error, 'strerror', error)}"
        return f"saved {self.stepper.place} steps in {cut(name, 40)}"

    def _load(self, name: str) -> str:
        chart, (path, there), what = self.stepper.chart, _file(name), cut(name, 40)
        try:
            if there:
                with warnings.catch_warnings(record=True) as torn:
                    warnings.simplefilter("always", TornLine)
                    self.stepper = Stepper.load(chart, path)
                return "; ".join([f"loaded {what}", *(str(one.message) for one in torn)])
            stepper = Stepper(chart)
            refusal = stepper.walk(parse_trace(chart, name))
        except OSError as error:
            return f"cannot read {what}: {error.strerror}"
        except (JournalError, SnapshotError, TraceError) as error:
            return f"{what}: {error}" if there else f"{what}: there is no such file, and as a trace: {error}"
        self.stepper = stepper
        return f"the trace stops: {refusal}" if refusal else "walked the trace"


def _hint(event: Event) -> str:
    """What can be entered for an event: `amount=…,reason=…`, and what each datum is."""
    told = [f"{one.name} ({one.doc})" if one.doc else one.name for one in event.data]
    return f"{','.join(f'{one.name}=…' for one in event.data)}, where {', '.join(told)}"


def _named(event: Event, answer: str) -> str:
    """The data as they were entered, with the name of the datum before a value that stands alone."""
    return answer if "=" in answer else f"{event.data[0].name}={answer}"


def _file(name: str) -> tuple[Path, bool]:
    """Return the path that was entered, and whether it exists."""
    path = Path(name)
    with suppress(RuntimeError, OSError):  # there is no such user; a long trace is no file name
        path = path.expanduser()
        return path, path.exists()
    return path, False


def _event_line(key: str, name: str, verdict: Verdict, wide: int, *, roomy: bool) -> Content:
    name = cut(name, wide)
    line = f"{key} {' ' if verdict.accepted else REFUSED} {name}{' ' * (wide - columns(name))} {consequence(verdict)}"
    if roomy and verdict.row is not None and verdict.row.why:
        line += printable(f"  ({verdict.row.why})")
    return Content.styled(line, "" if verdict.accepted else "dim")


def _plain(text: str) -> Content:
    return Content(printable(text))
