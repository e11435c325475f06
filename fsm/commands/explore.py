"""`fsm explore`: a chart as one HTML file to step through; or the same page served, following a journal while it grows.

For a chart `module:NAME` it uses `BOUNDS` (see `chart_options.py`), and looks in `module`, `module.citations` and
`module.gallery` for the `SENTENCES` that the rows cite and the `SUMS` of counters that have a name.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsm import draw
from fsm.analysis.paths import Atlas, PathsError
from fsm.analysis.reachability import Graph
from fsm.commands import CommandError, choices, number, positive, whole, write_output
from fsm.commands.chart_files import place_of
from fsm.commands.chart_options import add_chart_arguments, analysis_errors, beside, bounds, chart_of
from fsm.commands.progress import progress
from fsm.draw.page import page

__all__ = ["add_arguments", "make_page", "run"]

MOST_PATHS = 5_000
"""The most paths that a page lists; of a chart with more it has the shortest."""
LARGEST = 100_000
"""The most configurations of a page, unless `--limit` allows more; few browsers would open a larger one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_chart_arguments(parser)
    parser.add_argument("-o", dest="file", metavar="FILE", help="write the page there instead of to standard output")
    parser.add_argument("--renderer", default="auto", metavar=choices(draw.RENDERERS), help="what draws (%(default)s)")
    parser.add_argument(
        "--timeout", type=number, default=draw.TIMEOUT, metavar="SECONDS", help="how long dot may draw (%(default)g)"
    )
    parser.add_argument(
        "--limit", type=whole, default=LARGEST, metavar="N", help="the most configurations of a page (%(default)s)"
    )
    parser.add_argument("--serve", action="store_true", help="serve it on this machine alone, and open the browser")
    parser.add_argument("--journal", metavar="FILE", help="with --serve: follow this journal while it is written")
    parser.add_argument("--port", type=whole, default=0, metavar="N", help="with --serve: the port (default: any)")
    parser.add_argument("--no-open", action="store_true", help="with --serve: do not open the browser")


def run(args: argparse.Namespace) -> int:
    """Write or serve the page, and return the exit status."""
    if args.renderer not in draw.RENDERERS:
        raise CommandError(f"there is no renderer {args.renderer!r}; choose one of {', '.join(draw.RENDERERS)}")
    positive("--timeout", args.timeout, "seconds")
    positive("--limit", args.limit, "configurations")
    if not args.serve:
        for given, option in ((args.journal, "--journal FILE"), (args.port, "--port N"), (args.no_open, "--no-open")):
            if given:
                raise CommandError(f"{option} goes with --serve")
        remedy = "a page is not for a terminal; write it with -o page.html, or open it with --serve"
        write_output(make_page(args).encode(), args.file, remedy)
        return 0
    if args.file is not None:
        raise CommandError("--serve writes no file; give either --serve or -o FILE")
    from fsm.commands.explore_server import serve
    from fsm.commands.journals import database_name, is_database

    follows: Path | str | None = Path(args.journal) if args.journal is not None else None
    name = follows.name if isinstance(follows, Path) else ""
    if args.journal is not None and is_database(args.journal):
        follows, name = args.journal, database_name(args.journal)
    return serve(make_page(args, name), chart_of(args), follows, args.port, not args.no_open)


def make_page(args: argparse.Namespace, follows: str = "") -> str:
    """Make the page that was asked for.  CommandError when that is impossible."""
    chart = chart_of(args)
    within = bounds(args, chart)
    paths: dict[str, Any] = {}
    with analysis_errors(), progress(f"fsm explore: exploring {chart.name}"):
        graph = Graph(chart, within, limit=args.limit)
        try:
            atlas = Atlas(chart, within, most=MOST_PATHS, partial=True, limit=args.limit)
            paths = {"paths": atlas.paths, "flag_name": atlas.flag_name, "more": atlas.more}
        except PathsError as error:
            paths = {"without": str(error)}
    sentences = _mapping(args.chart, "citations", "SENTENCES")
    sums = _mapping(args.chart, "gallery", "SUMS")
    try:
        with progress(f"fsm explore: making the page of {chart.name}"):
            return page(
                graph, where=place_of(args.chart), sentences=sentences, sums=sums, follows=follows,
                renderer=args.renderer, timeout=args.timeout, **paths,
            )  # fmt: skip
    except draw.DrawingError as error:
        raise CommandError(f"the page needs a picture: {error}", 1) from None


def _mapping(where: str, submodule: str, name: str) -> Any:
    """Return a mapping that the chart's module brings with it, itself or in that submodule; None when there is none."""
    found = beside(where, submodule, name, None)
    if found is not None and not isinstance(found, Mapping):
        raise CommandError(f"{name} beside {where} is {type(found).__name__}, not a mapping")
    return found
