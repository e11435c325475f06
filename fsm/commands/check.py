"""`fsm check`: examine the properties of a chart, and give a trace where one fails.

Exit status 0 when nothing fails, 1 when a property fails, 2 for wrong input.  Besides what must hold of every chart,
the command examines the properties that the chart's module brings with it (see `chart_options.py`).
"""

from __future__ import annotations

import argparse

from fsm.analysis.reachability import cut_text
from fsm.analysis.report import Finding, Report, check
from fsm.commands.chart_options import add_chart_arguments, analysis_errors, bounds, chart_of, properties
from fsm.commands.progress import progress
from fsm.stepper.text import printable

__all__ = ["add_arguments", "finding_lines", "run"]

MARKS = {"holds": "holds", "fails": "FAILS", "unknown": "?    "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_chart_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the report, and return the exit status."""
    chart = chart_of(args)
    own = properties(args)
    with analysis_errors(), progress(f"fsm check: examining {chart.name}"):
        report = check(chart, bounds(args, chart), own)
    print(printable(f"{chart.name}, {len(chart.states)} states, {len(chart.events)} events, {len(chart.rows)} rows"))
    print(printable(cut_text(chart, report.bounds, report.cut)))
    if not own:
        print(f"no PROPERTIES beside {args.chart}: only what must hold of every chart is examined")
    print()
    for finding in report.findings:
        for line in finding_lines(finding):
            print(printable(line))
    print()
    print(_summary(report))
    return 1 if report.failed else 0


def finding_lines(finding: Finding) -> list[str]:
    """Return the text of a finding: the sentence, how it is known, and what is wrong, with its trace."""
    lines = [f"{MARKS[finding.status]}  {finding.sentence}", f"       {finding.known}"]
    if finding.detail:
        lines.append(f"       {finding.detail}")
    if finding.trace is not None:
        lines.append(f"       trace: {','.join(finding.trace) or '(the start)'}")
    return lines


def _summary(report: Report) -> str:
    held = sum(one.status == "holds" for one in report.findings)
    left = sum(one.status == "unknown" for one in report.findings)
    sums = f"{held} of {len(report.findings)} properties hold, {len(report.failed)} fail, {left} are not known"
    return f"{sums}; examined {report.configurations:,} configurations and {report.steps:,} steps"
