"""`fsm step`: walk through a chart on the terminal; without one, or with `--trace`, the same walk as text or JSON.

Exit status: 0; 1 when the walk stops at a refused event; 2 when what was given is no walk of this chart.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import warnings
from pathlib import Path

from fsm.analysis.trace import TraceError, parse_trace
from fsm.chart import Chart
from fsm.commands import DEFAULT_CHART, CommandError
from fsm.commands.chart_files import CHART, find_chart
from fsm.commands.journals import is_database, open_database
from fsm.errors import SnapshotError
from fsm.install import install_command
from fsm.journal.reader import JournalError, TornLine
from fsm.stepper.shortest_path import NEAR
from fsm.stepper.text import printable
from fsm.stepper.transcript import as_data, as_text
from fsm.stepper.walk import Stepper

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--chart", default=DEFAULT_CHART, metavar="CHART", help=CHART)
    parser.add_argument("--trace", metavar="a,b,c", help="walk these events and print the walk")
    parser.add_argument("--from", dest="source", metavar="FILE", help="begin with a snapshot, or with a journal's walk")
    parser.add_argument("--session", metavar="NAME", help="which session of the journal, when it has several")
    parser.add_argument("--goal", metavar="NAME", help="a state or output to show the way to (default: final)")
    parser.add_argument("--format", choices=("text", "json"), help="print the walk like this, also on a terminal")


def run(args: argparse.Namespace) -> int:
    """Walk, and return the exit status."""
    chart = find_chart(args.chart)
    stepper, torn = _begin(chart, args.source, args.session)
    goal = args.goal if args.goal is not None else stepper.goals[0]
    if goal not in stepper.goals:
        known = ", ".join(stepper.goals)
        raise CommandError(printable(f"{chart.name} has no state or output {goal!r} (it has {known})"))
    try:
        if args.trace is None and args.format is None and _is_terminal():
            if chart.opaque:  # an error of a guard is told before the screen is taken
                stepper.verdicts()
                stepper.path_to(goal, NEAR)
            _full_screen(stepper, goal, torn)
            return 0
        events = parse_trace(chart, args.trace or "")
        refusal = stepper.walk(events)
        stepper.verdicts()
        path = stepper.path_to(goal)
    except TraceError as error:
        raise CommandError(printable(str(error))) from error
    if torn:
        print(f"fsm step: {torn}", file=sys.stderr)
    if args.format == "json":
        print(json.dumps(as_data(stepper, refusal, path), indent=1))
    else:
        text = as_text(stepper, refusal, path)
        encoding = sys.stdout.encoding or "utf-8"  # a name that cannot be encoded is no error
        print(text.encode(encoding, "backslashreplace").decode(encoding), end="")
    return 1 if refusal is not None else 0


def _begin(chart: Chart, source: str | None, session: str | None) -> tuple[Stepper, str]:
    """Return the walk to begin with, and a warning about its source, if any."""
    if source is None:
        if session is not None:
            raise CommandError("--session names a session of a journal; say which journal with --from FILE")
        return Stepper(chart), ""
    try:
        with warnings.catch_warnings(record=True) as torn:
            warnings.simplefilter("always", TornLine)
            if is_database(source):
                with open_database(source) as journal:
                    stepper = Stepper.from_journal(chart, journal, session)
            else:
                stepper = Stepper.load(chart, Path(source), session)
    except OSError as error:
        raise CommandError(f"cannot read {source}: {error.strerror}") from error
    except (JournalError, SnapshotError, TraceError) as error:
        raise CommandError(printable(f"{source}: {error}")) from error
    return stepper, "; ".join(f"{source}: {one.message}" for one in torn)


def _is_terminal() -> bool:
    """True when the full screen can be shown; Textual draws on standard error."""
    screen = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.__stderr__) if stream is not None)
    return screen and os.environ.get("TERM", "dumb") not in ("", "dumb")


def _full_screen(stepper: Stepper, goal: str, message: str) -> None:
    gc.disable()  # loading a library leaves little garbage, and collecting it takes a tenth of the start
    try:
        from fsm.stepper.terminal import StepperApp
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        remedy = f"{install_command('step')}, or print the walk with --format text"
        raise CommandError(f"the full screen needs Textual: {remedy}") from None
    finally:
        gc.enable()
    gc.freeze()
    for name in ("COLUMNS", "LINES"):  # an exported size would not change with the terminal
        os.environ.pop(name, None)
    StepperApp(stepper, goal, message).run()
