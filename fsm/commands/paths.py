"""`fsm paths`: every elementary path to a final state, each with its shortest witness or the reason why it has none.

`--length` is in events: of the witness of a path, and of the legal sequences that are counted.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from fsm.analysis.paths import Atlas, Path
from fsm.analysis.reachability import Graph, cut_text
from fsm.analysis.sequences import count_sequences
from fsm.chart import Chart
from fsm.commands import CommandError
from fsm.commands.chart_options import add_chart_arguments, analysis_errors, bounds, chart_of
from fsm.condition import Condition
from fsm.stepper.text import printable

if TYPE_CHECKING:
    from fsm.analysis.coverage import Cover

__all__ = ["add_arguments", "run"]

USUAL_LENGTHS: Final = (1, 10)
LONGEST: Final = 1_000
COLUMNS: Final = ("id", "states", "rows", "flag", "witness", "infeasible")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_chart_arguments(parser)
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table", help="(%(default)s)")
    parser.add_argument("--flag", metavar="NAME", help="only paths that can end with this flag, with such a witness")
    parser.add_argument("--state", metavar="NAME", help="only paths through this state")
    parser.add_argument("--row", metavar="ID", help="only paths this row is on, with a witness that takes it")
    parser.add_argument("--length", metavar="N|MIN-MAX", help="only witnesses, and counts, of so many events")
    parser.add_argument("--walks", action="store_true", help="also few and short walks that take every row (table)")


def run(args: argparse.Namespace) -> int:
    """Print the paths, and return the exit status."""
    chart = chart_of(args)
    if args.walks and args.format == "table":
        _covering()
    lengths = _lengths(args.length)
    _known("state", args.state, [str(state) for state in chart.states])
    _known("row", args.row, [row.id for row in chart.rows])
    within = bounds(args, chart)
    with analysis_errors():
        atlas = Atlas(chart, within)
        if args.flag is not None:
            args.flag = _cased(args.flag, list(atlas.by_flag))
            _known("flag", args.flag, list(atlas.by_flag), chart.name)
        paths = _chosen(atlas, args, lengths)
        if args.format == "csv":
            _csv(paths)
            return 0
        graph = Graph(chart, within)
    first, last = lengths or USUAL_LENGTHS
    counts = {length: n for length, n in enumerate(count_sequences(graph, last)) if length >= first}
    if args.format == "json":
        print(json.dumps({"paths": [_record(path) for path in paths], "counts": _counts(graph, counts)}, indent=1))
    else:
        _table(atlas, paths, graph, counts, args)
    return 0


def _lengths(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()) or len(text) > 10:
        raise CommandError(f"--length is a number of events, N or MIN-MAX such as 2-5, not {text!r}")
    low, high = int(first), int(last if dash else first)
    if low > high:
        raise CommandError(f"--length {text} begins after its end; write {high}-{low}")
    if high > LONGEST:
        raise CommandError(f"--length goes up to {LONGEST} events, not {high}")
    return low, high


def _known(kind: str, name: str | None, names: list[str], chart: str = "") -> None:
    if name is None or name in names:
        return
    plain = {one.casefold(): one for one in names}
    near = get_close_matches(name.casefold(), plain, 1)
    hint = f"did you mean {plain[near[0]]}?" if near else f"there are {', '.join(names[:12]) or 'none'}"
    raise CommandError(f"there is no {kind} {name!r}{f' at the end of a path of {chart}' if chart else ''}; {hint}")


def _cased(name: str, names: list[str]) -> str:
    """Return the name as the chart writes it, when only the case differs."""
    alike = [one for one in names if one.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else name


def _chosen(atlas: Atlas, args: argparse.Namespace, lengths: tuple[int, int] | None) -> list[Path]:
    paths = list(atlas.paths if args.row is None else atlas.paths_with(args.row))
    if args.flag is not None:
        paths = [path.with_flag(args.flag) for path in paths if args.flag in path.flags]
    if args.state is not None:
        paths = [path for path in paths if args.state in path.states]
    if lengths is not None:
        paths = [p for p in paths if p.witness is not None and lengths[0] <= len(p.witness) <= lengths[1]]
    return paths


def _record(path: Path) -> dict[str, object]:
    return {
        "id": path.id, "states": path.states, "rows": path.rows, "flag": path.flag,
        "witness": None if path.witness is None else ",".join(path.witness), "infeasible": path.infeasible,
    }


def _counts(graph: Graph, counts: dict[int, int]) -> dict[str, object]:
    return {
        "bounds": [str(bound) for bound in graph.bounds], "cut": graph.cut.steps,
        "configurations": len(graph.configurations), "steps": graph.size,
        "by_length": {str(length): number for length, number in counts.items()},
    }


def _csv(paths: list[Path]) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(COLUMNS)
    for path in paths:
        witness = None if path.witness is None else ",".join(path.witness)
        out.writerow((path.id, " > ".join(path.states), " > ".join(path.rows), path.flag, witness, path.infeasible))


def _table(atlas: Atlas, paths: list[Path], graph: Graph, counts: dict[int, int], args: argparse.Namespace) -> None:
    chart = atlas.chart
    lost = sum(path.witness is None for path in paths)
    _print(f"{chart.name}: {len(paths)} of {len(atlas.paths)} elementary paths, {lost} without a witness")
    _print(cut_text(chart, graph.bounds, graph.cut))
    families = dict.fromkeys(path.states for path in paths)
    for states in families:
        family = [path for path in paths if path.states == states]
        _print("")
        _print(f"{' > '.join(states)}  ({len(family)})")
        for path in family:
            _print(_line(path, atlas.flag_name))
    _print("")
    if len(paths) == len(atlas.paths):
        _rows(atlas)
    _print(f"legal sequences of events to {_ends(chart)}, by length{_in(graph.bounds)}:")
    for length, number in counts.items():
        _print(f"  {length:3}  {number:,}")
    if args.walks:
        _walks(graph)


def _line(path: Path, flag_name: str | None) -> str:
    flag = f" {path.flag or 'none':9}" if flag_name is not None else ""
    also = ", ".join(name for name in path.flags if name != path.flag)
    trace = f"infeasible: {path.infeasible}"
    if path.witness is not None:
        trace = (",".join(path.witness) or "(the start is final)") + (f"   (also with {also})" if also else "")
    return f"  {path.id}{flag} {' > '.join(path.rows)}\n      {trace}"


def _rows(atlas: Atlas) -> None:
    off = [use for use in atlas.uses.values() if use.path is None]
    _print(f"{len(atlas.uses) - len(off)} of {len(atlas.uses)} rows are on a path{'; these are not:' if off else ''}")
    for use in off:
        _print(f"  {use.row}: {use.reason}")
    _print("")


def _walks(graph: Graph) -> None:
    found = _covering()(graph)
    _print("")
    proof = "this is proved to be shortest" if found.shortest else f"no set of walks has fewer than {found.least}"
    _print(f"{len(found.walks)} walks with {found.events} events together take every row{_in(graph.bounds)}; {proof}:")
    for row in found.missing:
        _print(f"  never taken: {row}")
    for walk in found.walks:
        _print(f"  {','.join(walk.events)}")


def _covering() -> Callable[[Graph], Cover]:
    """Load the function that finds the walks.  CommandError without networkx."""
    try:
        from fsm.analysis.coverage import cover
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "networkx":
            raise
        raise CommandError(str(error)) from None
    return cover


def _ends(chart: Chart) -> str:
    return " or ".join(str(state) for state in chart.states if state.final)


def _in(bounds: tuple[Condition, ...]) -> str:
    return f", within {', '.join(map(str, bounds))}" if bounds else ""


def _print(text: str) -> None:
    print("\n".join(map(printable, text.split("\n"))))
