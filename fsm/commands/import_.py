"""`fsm import`: a chart as Python source, from JSON, SCXML or a Machine of transitions.

What was dropped or changed is said on standard error, and in the source.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fsm.commands import CommandError, write_output
from fsm.commands.chart_files import find_object
from fsm.export.errors import ExportError, ReadError
from fsm.export.from_transitions import (
    is_machine,
    read as read_machine,
)
from fsm.export.python_source import source
from fsm.export.reading import read_file
from fsm.stepper.text import printable

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", metavar="FILE", help="a .json or .scxml file, or MODULE:NAME of a transitions Machine")
    parser.add_argument(
        "-o", dest="output", metavar="FILE", help="write the source there instead of to standard output"
    )


def run(args: argparse.Namespace) -> int:
    """Write the source, and return the exit status."""
    functions: tuple[str, ...] = ()
    try:
        if Path(args.file).suffix.lower() in (".json", ".scxml"):
            chart, notes = read_file(Path(args.file))
        else:
            found = find_object(args.file, "a Machine of transitions", "as a .json or .scxml file")
            if not is_machine(found):
                raise CommandError(f"{args.file} is {type(found).__name__}, not a Machine of transitions")
            chart, notes, functions = read_machine(found, args.file.rpartition(":")[2].lower())
        text = source(chart, notes, functions)
    except OSError as error:
        raise CommandError(f"cannot read {args.file}: {error.strerror}") from None
    except (ReadError, ExportError) as error:
        raise CommandError(printable(f"{args.file}: {error}")) from None
    write_output(text.encode("utf-8", "backslashreplace"), args.output)
    for note in notes:
        print(printable(f"fsm import: {note}"), file=sys.stderr)
    return 0
