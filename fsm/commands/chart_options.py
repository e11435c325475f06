"""What a chart's module says about its chart: `PROPERTIES` and `BOUNDS`, found beside it.

For `--chart module:NAME` they are looked for in `module` itself, then, when it is a package, in `module.properties`.
`PROPERTIES` is a tuple of properties (`fsm/property.py`), `BOUNDS` a tuple of bounds to use when none are given.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from importlib.util import find_spec

from fsm.analysis.bounds import BoundError, bounds_of
from fsm.analysis.properties import Always, Changes, EachConfiguration, EachStep, Falls, Property
from fsm.chart import Chart
from fsm.commands import DEFAULT_CHART, CommandError, find_chart
from fsm.condition import Condition

__all__ = ["add_chart_arguments", "bounds", "chart_of", "properties"]

WORDS = (Always, Changes, EachConfiguration, EachStep, Falls)


def add_chart_arguments(parser: argparse.ArgumentParser) -> None:
    """`--chart` and `--bound`."""
    parser.add_argument("--chart", default=DEFAULT_CHART, metavar="MODULE:NAME", help="the chart (%(default)s)")
    parser.add_argument(
        "--bound", action="append", metavar="EXPR",
        help="a bound over the variables, such as 'INBOUND <= 1'; may be repeated (default: BOUNDS beside the chart)",
    )


def chart_of(args: argparse.Namespace) -> Chart:
    """The chart that was asked for."""
    return find_chart(args.chart)


def bounds(args: argparse.Namespace, chart: Chart) -> tuple[Condition, ...]:
    """The bounds given, or those beside the chart.  CommandError for one that does not fit."""
    given = args.bound if args.bound is not None else _beside(args.chart, "BOUNDS")
    if not isinstance(given, (tuple, list)) or not all(isinstance(one, (str, Condition)) for one in given):
        raise CommandError(f"BOUNDS beside {args.chart} is {type(given).__name__}, not a tuple of bounds")
    try:
        return bounds_of(chart, given)
    except BoundError as error:
        raise CommandError(str(error)) from None


def properties(args: argparse.Namespace) -> tuple[Property, ...]:
    """The properties beside the chart; none when its module brings none."""
    found = _beside(args.chart, "PROPERTIES")
    if not isinstance(found, (tuple, list)) or not all(isinstance(one, WORDS) for one in found):
        raise CommandError(f"PROPERTIES beside {args.chart} is no tuple of properties (see fsm/property.py)")
    return tuple(found)


def _beside(where: str, name: str) -> object:
    module = sys.modules[where.partition(":")[0]]
    if hasattr(module, name):
        return getattr(module, name)
    if hasattr(module, "__path__"):
        inner = f"{module.__name__}.properties"
        try:
            if find_spec(inner) is not None:
                return getattr(import_module(inner), name, ())
        except Exception as error:
            raise CommandError(f"cannot import {inner!r}: {error}") from error
    return ()
