"""The options `--chart` and `--bound`, and what a chart's module brings with it: `PROPERTIES` and `BOUNDS`.

For `--chart module:NAME` they are looked for in `module` itself, then, when it is a package, in `module.properties`.
`PROPERTIES` is a tuple of properties (`fsm.analysis.properties`); `BOUNDS` is a tuple of bounds, used when none are
given.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from fsm.analysis.bounds import BoundError, bounds_of
from fsm.analysis.paths import PathsError
from fsm.analysis.properties import Property, PropertyError
from fsm.analysis.reachability import ExploreError
from fsm.chart import Chart
from fsm.commands import DEFAULT_CHART, CommandError
from fsm.commands.chart_files import CHART, find_chart, importing, module_of
from fsm.condition import Condition
from fsm.stepper.text import printable

__all__ = ["add_chart_arguments", "analysis_errors", "beside", "bounds", "chart_of", "properties"]


def add_chart_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--chart` and `--bound`."""
    parser.add_argument("--chart", default=DEFAULT_CHART, metavar="CHART", help=CHART)
    parser.add_argument(
        "--bound", action="append", metavar="EXPR",
        help="a bound over the variables, such as 'INBOUND <= 1'; may be repeated (default: BOUNDS beside the chart)",
    )


def chart_of(args: argparse.Namespace) -> Chart:
    """Return the chart that was asked for."""
    return find_chart(args.chart)


def bounds(args: argparse.Namespace, chart: Chart) -> tuple[Condition, ...]:
    """Return the bounds given, or those beside the chart.  CommandError for one that does not fit."""
    given = args.bound if args.bound is not None else beside(args.chart, "properties", "BOUNDS", ())
    if not isinstance(given, (tuple, list)) or not all(isinstance(one, (str, Condition)) for one in given):
        raise CommandError(f"BOUNDS beside {args.chart} is {type(given).__name__}, not a tuple of bounds")
    try:
        return bounds_of(chart, given)
    except BoundError as error:
        raise CommandError(str(error)) from None


def properties(args: argparse.Namespace) -> tuple[Property, ...]:
    """Return the properties beside the chart; none when its module brings none."""
    found = beside(args.chart, "properties", "PROPERTIES", ())
    if not isinstance(found, (tuple, list)) or not all(isinstance(one, Property) for one in found):
        raise CommandError(f"PROPERTIES beside {args.chart} is no tuple of properties (see fsm.analysis.properties)")
    return tuple(found)


def beside(where: str, submodule: str, name: str, default: object) -> Any:
    """Return what the module of the chart `where`, or its submodule of that name, has under `name`.

    A chart in a file of data has none.
    """
    module = module_of(where)
    if module is None:
        return default
    if hasattr(module, name):
        return getattr(module, name)
    if hasattr(module, "__path__"):
        inner = f"{module.__name__}.{submodule}"
        with importing(inner):
            if find_spec(inner) is not None:
                return getattr(import_module(inner), name, default)
    return default


@contextmanager
def analysis_errors() -> Iterator[None]:
    """Turn the errors of an analysis into a CommandError that names the option which helps."""
    try:
        yield
    except (ExploreError, PathsError, PropertyError) as error:
        problem, counters = str(error), getattr(error, "counters", ())
        lasting = ", ".join(f'"{name}": 2' for name in counters)
        remedy = f" (--bound, or bounds={{{lasting}}} in the chart)" if counters else " (--bound)"
        raise CommandError(printable(f"{problem}{remedy}" if "bound" in problem else problem)) from error
