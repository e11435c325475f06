"""`fsm draw`: a chart, or what a flag, a path or a trace does in it, as SVG, DOT, Mermaid, a table, PNG or PDF."""

from __future__ import annotations

import argparse
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from fsm import draw
from fsm.analysis.paths import Atlas
from fsm.chart import Chart
from fsm.commands import CommandError, choices, number, positive, write_output
from fsm.commands.chart_options import add_chart_arguments, analysis_errors, bounds, chart_of
from fsm.commands.paths import MOST
from fsm.commands.progress import progress
from fsm.condition import label
from fsm.errors import DefinitionError
from fsm.variable import Choice, Sum

__all__ = ["add_arguments", "highlight_of", "run"]

FORMATS: Final = ("svg", "dot", "mermaid", "table", "png", "pdf")
ENDINGS: Final = {"svg": "svg", "dot": "dot", "gv": "dot", "mmd": "mermaid", "md": "table", "png": "png", "pdf": "pdf"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_chart_arguments(parser)
    parser.add_argument("--format", metavar=choices(FORMATS), help="what to write (svg, or after the ending of -o)")
    parser.add_argument("--renderer", default="auto", metavar=choices(draw.RENDERERS), help="what draws (%(default)s)")
    parser.add_argument(
        "--timeout", type=number, default=draw.TIMEOUT, metavar="SECONDS", help="how long dot may draw (%(default)g)"
    )
    parser.add_argument("--brief", action="store_true", help="the overview: events on the arrows, without conditions")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--trace", metavar="A,B,C", help="pick out the rows that these events take")
    group.add_argument("--flag", metavar="NAME", help="pick out every way on which this event or flag leads to the end")
    group.add_argument("--path", metavar="ID", help="pick out one path of `fsm paths`")
    group.add_argument("--counter", metavar="NAME", help="pick out what needs or moves this counter")
    parser.add_argument("-o", dest="file", metavar="FILE", help="write it there instead of to standard output")


def run(args: argparse.Namespace) -> int:
    """Draw, and return the exit status."""
    chart = chart_of(args)
    format = _format(args)
    if args.renderer not in draw.RENDERERS:
        raise CommandError(f"there is no renderer {args.renderer!r}; choose one of {', '.join(draw.RENDERERS)}")
    positive("--timeout", args.timeout, "seconds")
    highlight = highlight_of(chart, args)
    try:
        with progress(f"fsm draw: drawing {chart.name}"):
            data = _drawn(chart, highlight, format, args)
    except draw.DrawingError as error:
        raise CommandError(f"{error}; --format dot gives the source for any other renderer", 1) from None
    remedy = f"{format} is not for a terminal; write it to a file with -o FILE.{format}"
    write_output(data, args.file, remedy if format in ("svg", "png", "pdf") else None)
    return 0


def _format(args: argparse.Namespace) -> str:
    ending = Path(args.file).suffix[1:].lower() if args.file else ""
    if not args.format and ending and ending not in ENDINGS:
        remedy = f"name one with --format, or end the file in .{', .'.join(ENDINGS)}"
        raise CommandError(f"no format ends in .{ending}; {remedy}")
    format: str = args.format or ENDINGS.get(ending, "svg")
    if format not in FORMATS:
        near = get_close_matches(format, FORMATS, 1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(FORMATS)}"
        raise CommandError(f"there is no format {format!r}; {hint}")
    return format


def highlight_of(chart: Chart, args: argparse.Namespace) -> draw.Highlight:
    """Return what was asked to stand out: a flag, a counter, a trace or a path.  CommandError when there is none."""
    if args.flag is not None:
        return draw.flag(chart, _event(chart, args.flag))
    if args.counter is not None:
        try:
            return draw.counter(chart, args.counter)
        except KeyError:
            counters = [v.name for v in chart.variables if not isinstance(v, Choice)]
            known = f"it has {', '.join(counters)}" if counters else "it has none"
            raise CommandError(f"{chart.name} has no counter {args.counter!r}; {known}") from None
    if args.trace is not None:
        try:
            return draw.trace(chart, args.trace)
        except (draw.TraceError, DefinitionError) as error:
            raise CommandError(str(error)) from None
    return _path(chart, args) if args.path is not None else draw.whole(chart)


def _event(chart: Chart, name: str) -> str:
    """Return the event of that name, or the first event that sets an enumerated variable to a value of that name."""
    if name in chart.events:
        return name
    for row in chart.rows:
        for effect in row.effects:
            if not isinstance(effect.value, Sum) and label(effect.value[0]) == name:
                return row.event
    near = get_close_matches(name, chart.events, 1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(chart.events)}"
    raise CommandError(f"{chart.name} has no event or flag {name!r}; {hint}")


def _path(chart: Chart, args: argparse.Namespace) -> draw.Highlight:
    with analysis_errors(), progress(f"fsm draw: looking for the paths of {chart.name}"):
        paths = Atlas(chart, bounds(args, chart), most=MOST, partial=True).paths
    for one in paths:
        if one.id == args.path:
            return draw.path(chart, one.rows, name=one.id, witness=one.witness or ())
    known = f"they are {paths[0].id} to {paths[-1].id}" if paths else "it has none"
    raise CommandError(f"{chart.name} has no path {args.path!r}; {known} (see `fsm paths`)")


def _drawn(chart: Chart, highlight: draw.Highlight, format: str, args: argparse.Namespace) -> bytes:
    if format == "dot":
        return str(draw.graph(chart, highlight, brief=args.brief).source).encode()
    if format == "mermaid":
        return draw.mermaid(chart, highlight, brief=args.brief).encode()
    if format == "table":
        return draw.table(chart, highlight).encode()
    return draw.image(chart, format, highlight, brief=args.brief, renderer=args.renderer, timeout=args.timeout)
