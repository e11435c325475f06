"""`fsm paths`: whether and how the end can be reached, then every elementary path to it with its shortest witness.

A chart without a final or absorbing state has no end: its paths are the ways around, back to the initial state.
`--length` is in events: of the witness of a path, and of the legal sequences that are counted.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from fsm.analysis.paths import Atlas, Path
from fsm.analysis.reachability import Graph, cut_text
from fsm.analysis.sequences import count_sequences
from fsm.commands import CommandError, positive, whole
from fsm.commands.chart_options import add_chart_arguments, analysis_errors, bounds, chart_of
from fsm.commands.progress import progress
from fsm.condition import Condition
from fsm.stepper.text import printable

if TYPE_CHECKING:
    from fsm.analysis.coverage import Cover

__all__ = ["add_arguments", "run"]

USUAL_LENGTHS: Final = (1, 10)
LONGEST: Final = 1_000
MOST: Final = 10_000
"""The most paths that are listed when `--most` does not say."""
COLUMNS: Final = ("id", "states", "rows", "flag", "witness", "infeasible")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_chart_arguments(parser)
    parser.add_argument(
        "--format", choices=("table", "json", "csv"), default="table", help="what is printed (%(default)s)"
    )
    parser.add_argument("--flag", metavar="NAME", help="only paths that can end with this flag, with such a witness")
    parser.add_argument("--state", metavar="NAME", help="only paths through this state")
    parser.add_argument("--row", metavar="ID", help="only paths this row is on, with a witness that takes it")
    parser.add_argument("--length", metavar="N|MIN-MAX", help="only witnesses, and counts, of so many events")
    parser.add_argument("--most", type=whole, default=MOST, metavar="N", help="so many paths at most (%(default)s)")
    parser.add_argument("--walks", action="store_true", help="also few and short walks that take every row (table)")


def run(args: argparse.Namespace) -> int:
    """Print the paths, and return the exit status."""
    chart = chart_of(args)
    if args.walks and args.format == "table":
        _covering()
    lengths = _lengths(args.length)
    positive("--most", args.most, "paths")
    _known("state", args.state, [str(state) for state in chart.states])
    _known("row", args.row, [row.id for row in chart.rows])
    within = bounds(args, chart)
    first, last = lengths or USUAL_LENGTHS
    counts: dict[int, int] = {}
    with analysis_errors(), progress(f"fsm paths: looking for the paths of {chart.name}"):
        atlas = Atlas(chart, within, most=args.most, partial=True)
        if args.flag is not None:
            args.flag = _cased(args.flag, list(atlas.by_flag))
            _known("flag", args.flag, list(atlas.by_flag), chart.name)
        paths = _chosen(atlas, args, lengths)
        if args.format != "csv":
            counts = {length: n for length, n in enumerate(count_sequences(atlas.graph, last)) if length >= first}
    if args.format == "csv":
        _csv(paths)
        return 0
    graph = atlas.graph
    if args.format == "json":
        told = {"reached": _reached(atlas), "paths": list(map(_record, paths)), "counts": _counts(graph, counts)}
        print(json.dumps({**told, **({"more": True} if atlas.more else {})}, indent=1))
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


def _reached(atlas: Atlas) -> dict[str, str | None]:
    return {end: None if trace is None else ",".join(trace) for end, trace in atlas.reached.items()}


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
    for line in _ends(atlas):
        _print(f"{chart.name}: {line}")
    _print(_how_many(atlas, paths))
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
    to = "" if atlas.rounds else f" to {' or '.join(atlas.ends)}"
    _print(f"legal sequences of events{to}, by length{_in(graph.bounds)}:")
    for length, number in counts.items():
        _print(f"  {length:3}  {number:,}")
    if args.walks:
        _walks(graph)


def _line(path: Path, flag_name: str | None) -> str:
    flag = f" {path.flag or 'none':9}" if flag_name is not None else ""
    also = ", ".join(name for name in path.flags if name != path.flag)
    trace = (path.infeasible or "") if not path.proved else f"no witness: {path.infeasible}"
    if path.witness is not None:
        trace = (",".join(path.witness) or "(the start is the end)") + (f"   (also with {also})" if also else "")
    return f"  {path.id}{flag} {' > '.join(path.rows)}\n      {trace}"


def _ends(atlas: Atlas) -> Iterator[str]:
    """Say of each end whether it can be reached, and how; of a chart without an end that it never ends."""
    if atlas.rounds:
        lost = [name for name, trace in atlas.reached.items() if trace is None and name != atlas.chart.initial]
        yield f"it has no final state and never ends; {_all_but(lost, atlas.graph)}"
    for name, trace in atlas.reached.items():
        if atlas.rounds and name != atlas.chart.initial:
            continue
        what = f"it can come back to {name}" if atlas.rounds else f"{name} can be reached"
        if trace is not None:
            yield f"{what}; the shortest trace is {','.join(trace)}" if trace else f"{what}; it starts there"
        else:
            yield f"{what.replace(' can ', ' cannot ', 1)}{_as_far_as(atlas.graph)}"


def _all_but(lost: list[str], graph: Graph) -> str:
    if not lost:
        return "every state can be reached"
    return f"{', '.join(lost)} cannot be reached{_as_far_as(graph)}"


def _as_far_as(graph: Graph) -> str:
    """Say how far something was looked for that was not found."""
    if graph.cut.steps:
        return f"{_in(graph.bounds)[1:]}; beyond them it was not looked for (--bound)"
    return f": all {len(graph.configurations):,} configurations were looked at"


def _how_many(atlas: Atlas, paths: list[Path]) -> str:
    kind = "elementary rounds" if atlas.rounds else "elementary paths"
    all = f"the {len(atlas.paths):,} shortest" if atlas.more else f"{len(atlas.paths):,}"
    lost = sum(path.witness is None for path in paths)
    longer = "; a longer way, which visits a state twice, may take the same rows" if lost else ""
    more = " (there are more; list them with --most N)" if atlas.more else ""
    return f"{len(paths):,} of {all} {kind}, {lost:,} without a witness{longer}{more}"


def _rows(atlas: Atlas) -> None:
    off = [use for use in atlas.uses.values() if use.path is None]
    _print(f"{len(atlas.uses) - len(off)} of {len(atlas.uses)} rows are on a path{'; these are not:' if off else ''}")
    for use in off:
        trace = atlas.taken.get(use.row)
        taken = f"never taken{_as_far_as(atlas.graph)}" if trace is None else f"taken by {','.join(trace)}"
        _print(f"  {use.row}: {use.reason}; {taken}")
    _print("")


def _walks(graph: Graph) -> None:
    with progress(f"fsm paths: looking for few and short walks of {graph.chart.name}"):
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


def _in(bounds: tuple[Condition, ...]) -> str:
    return f", within {', '.join(map(str, bounds))}" if bounds else ""


def _print(text: str) -> None:
    print("\n".join(map(printable, text.split("\n"))))
