"""`fsm export`: a chart as C, Python, JavaScript, SCXML, XState, Promela, SMT-LIB or JSON.

Promela is written within the bounds, and Promela and SMT-LIB with the properties beside the chart (`chart_options.py`).
For a chart `module:NAME` it uses `ADDITIONS` beside the chart: source to put at the end of a file, by format.  It is
looked for in `module`, then in `module.additions`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from fsm.commands import CommandError, choices, write_output
from fsm.commands.chart_options import add_chart_arguments, beside, bounds, chart_of, properties
from fsm.export import FORMATS, ExportError, files
from fsm.stepper.text import printable

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_chart_arguments(parser)
    parser.add_argument("--format", required=True, metavar=choices(FORMATS), help="the language or tool")
    parser.add_argument("-o", dest="file", metavar="FILE", help="write it there (and what belongs to it beside it)")


def run(args: argparse.Namespace) -> int:
    """Write the export, and return the exit status."""
    if args.format not in FORMATS:
        raise CommandError(f"there is no format {args.format!r}; choose one of {', '.join(FORMATS)}")
    chart = chart_of(args)
    additions = beside(args.chart, "additions", "ADDITIONS", {})
    if not isinstance(additions, Mapping):
        raise CommandError(f"ADDITIONS beside {args.chart} is {type(additions).__name__}, not a mapping")
    try:
        made = files(
            chart, args.format, args.file or "", bounds=bounds(args, chart), properties=properties(args),
            addition=additions.get(args.format, ""),
        )  # fmt: skip
    except ExportError as error:
        raise CommandError(printable(str(error))) from None
    for name, text in made.items():
        write_output(text.encode("utf-8", "backslashreplace"), name if args.file is not None else None)
        if args.file is None:
            break
    return 0
