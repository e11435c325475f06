"""`fsm migrate`: move stored snapshots, or a journal, from an older table to the present one; or check the migrations.

    fsm migrate --to shop.order:ORDER snapshots.jsonl -o moved.jsonl
    fsm migrate --to shop/order.py:ORDER --from shop/order_1.json --check

The migrations are the tuple `MIGRATIONS` beside the new chart, or `--by module:NAME`.  A line is a snapshot, with any
further keys (they stay), or a record of a journal; a journal becomes one of the new table, in which each entry of the
old is a start record.  With `-o` nothing is written unless every line can be moved, and each that cannot is named.

Exit status 0; 1 when a migration fails the check; 2 for wrong input.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO, Final

from fsm.analysis.bounds import BoundError, read_bound
from fsm.analysis.report import Finding
from fsm.chart import Chart
from fsm.commands import CommandError
from fsm.commands.chart_files import find_chart, find_object
from fsm.commands.chart_options import beside
from fsm.commands.check import finding_lines
from fsm.commands.progress import progress
from fsm.condition import Condition
from fsm.errors import SnapshotError
from fsm.journal.reader import JournalError, Sections, TornLine, parsed
from fsm.migration import Migration
from fsm.migration.check import examine
from fsm.migration.moves import is_fingerprint
from fsm.snapshot import decode, migrated, route
from fsm.stepper.text import printable

__all__ = ["add_arguments", "run"]

NAMED: Final = 20
"""The lines that are named when several cannot be moved."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", nargs="?", default="-", help="JSON Lines, or - for standard input (default)")
    parser.add_argument("--to", required=True, metavar="NEW", help="the chart to move to: module:NAME, or a .py file")
    parser.add_argument(
        "--from", dest="source", metavar="OLD", help="the only table to move: its chart, or its fingerprint"
    )
    parser.add_argument("--by", metavar="MODULE:NAME", help="the migrations (default: MIGRATIONS beside the new chart)")
    parser.add_argument("-o", "--output", metavar="FILE", help="write here, all or nothing; it may be the file itself")
    parser.add_argument("--check", action="store_true", help="check the migrations, and move nothing")
    parser.add_argument(
        "--bound", action="append", metavar="EXPR", help="with --check: a bound over the old variables; may be repeated"
    )


def run(args: argparse.Namespace) -> int:
    """Check the migrations or move the lines, and return the exit status."""
    new = find_chart(args.to)
    migrations = _migrations(args)
    old = None if args.source is None or is_fingerprint(args.source) else find_chart(args.source)
    source = old.fingerprint if old is not None else args.source
    if args.check:
        return _check(new, old, migrations, args)
    if source is not None and source != new.fingerprint:
        _route(new, source, migrations)
    lines = _Lines(new, migrations, source)
    with _opened(args.file) as file:
        if args.output is None:
            for line in lines.moved(file):
                sys.stdout.write(line)
        else:
            _write_all(lines, file, Path(args.output))
            print(f"wrote {args.output}", file=sys.stderr)
    return 0


def _migrations(args: argparse.Namespace) -> tuple[Migration, ...]:
    where = args.by or f"MIGRATIONS beside {args.to}"
    own = beside(args.to, "migrations", "MIGRATIONS", ())
    found = own if args.by is None else find_object(args.by, "a migration")
    found = (found,) if isinstance(found, Migration) else found
    if not isinstance(found, (tuple, list)) or not all(isinstance(one, Migration) for one in found):
        raise CommandError(f"{where} is no tuple of migrations (see fsm.migration)")
    if not found:
        raise CommandError(f"there are no migrations: write MIGRATIONS = (Migration(...),) beside {args.to} (--by)")
    return tuple(found)


def _route(new: Chart, source: str, migrations: tuple[Migration, ...]) -> tuple[Migration, ...]:
    try:
        found = route(new, source, migrations)
    except SnapshotError as error:
        raise CommandError(error.problem) from None
    if not found:
        starts = ", ".join(dict.fromkeys(one.old for one in migrations))
        raise CommandError(f"no migration begins at {source!r} (they begin at {starts})")
    return found


# -------------------------------------------------------------------------------------------------------- checking


def _check(new: Chart, old: Chart | None, migrations: tuple[Migration, ...], args: argparse.Namespace) -> int:
    charts = {chart.fingerprint: chart for one in migrations for chart in (one.old_chart, one.new_chart) if chart}
    charts |= {chart.fingerprint: chart for chart in (new, old) if chart is not None}
    statuses: list[str] = []
    for one in migrations if old is None else _route(new, old.fingerprint, migrations):
        for fingerprint in (one.old, one.new):
            if fingerprint not in charts:
                raise CommandError(f"the {one} cannot be checked without the chart of {fingerprint} (--from)")
        within = _bounds(charts[one.old], args.bound, charts)
        with progress(f"fsm migrate: checking the {one}"):
            findings = examine(one, charts[one.old], charts[one.new], within)
        _report(str(one), findings)
        statuses += [finding.status for finding in findings]
    held, failed, unknown = map(statuses.count, ("holds", "fails", "unknown"))
    print(f"{held} of {len(statuses)} properties hold, {failed} fail, {unknown} are not known")
    return 1 if failed else 0


def _bounds(old: Chart, given: list[str] | None, charts: Mapping[str, Chart]) -> list[Condition]:
    """The bounds that speak of this chart.  CommandError for one that speaks of none."""
    found = []
    for bound in given or ():
        try:
            found.append(read_bound(old, bound))
        except BoundError as error:
            if not any(_fits(bound, chart) for chart in charts.values()):
                raise CommandError(str(error)) from None
    return found


def _fits(bound: str, chart: Chart) -> bool:
    try:
        read_bound(chart, bound)
    except BoundError:
        return False
    return True


def _report(title: str, findings: tuple[Finding, ...]) -> None:
    print(printable(title))
    for finding in findings:
        for line in finding_lines(finding):
            print(printable(line))
    print()


# ---------------------------------------------------------------------------------------------------------- moving


class _Lines:
    """Moves the lines of a file."""

    def __init__(self, new: Chart, migrations: tuple[Migration, ...], source: str | None) -> None:
        self.new, self.migrations, self.source = new, migrations, source
        self.sections = Sections(new, migrations)
        self.in_journal = False
        self.wrong: list[str] | None = None
        """What could not be moved, if that does not end the command at once."""

    def moved(self, file: BinaryIO) -> Iterator[str]:
        """Yield each line as it is written.  CommandError with its number for one that cannot be moved."""
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                data = parsed(line, number)
                if data is None and self.in_journal:
                    print(f"fsm migrate: {TornLine(number)}", file=sys.stderr)
                    return
                if data is None:
                    raise CommandError("this is no JSON")
                yield json.dumps(self._moved(data)) + "\n"
            except (CommandError, JournalError, SnapshotError) as error:
                problem = error.problem if isinstance(error, SnapshotError) else str(error)
                sentence = printable(problem if problem.startswith(f"line {number}: ") else f"line {number}: {problem}")
                if self.wrong is None:
                    raise CommandError(sentence) from None
                self.wrong.append(sentence)

    def _moved(self, data: Mapping[str, object]) -> Mapping[str, object]:
        if type(data.get("snapshot")) is int:
            return self._snapshot(data)
        if "journal" in data and "event" not in data:
            self._known(data.get("fingerprint"))
            self.in_journal = True
            return self.sections.begin(data)
        if "event" not in data and "start" not in data:
            raise CommandError("it is neither a snapshot nor a record of a journal")
        record = self.sections.present(data)
        if "start" in record:
            decode(self.new, record["start"])
        return record

    def _snapshot(self, data: Mapping[str, object]) -> Mapping[str, object]:
        self._known(data.get("fingerprint"))
        found = migrated(self.new, data, self.migrations)
        decode(self.new, found)
        return found

    def _known(self, fingerprint: object) -> None:
        if self.source is not None and fingerprint not in (self.source, self.new.fingerprint):
            raise CommandError(f"its fingerprint is {fingerprint!r}, not {self.source!r} (--from)")


def _write_all(lines: _Lines, file: BinaryIO, output: Path) -> None:
    """Write every line, or nothing."""
    lines.wrong = []
    try:
        descriptor, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
        try:
            with open(descriptor, "w", encoding="utf-8") as written:  # noqa: PTH123 - it is a descriptor
                for line in lines.moved(file):
                    if not lines.wrong:
                        written.write(line)
            if not lines.wrong:
                Path(name).chmod(output.stat().st_mode & 0o777 if output.exists() else 0o666 & ~_umask())
                os.replace(name, output)  # noqa: PTH105 - from a name
        finally:
            with suppress(FileNotFoundError):
                Path(name).unlink()
    except OSError as error:
        raise CommandError(f"cannot write {output}: {error.strerror}", 1) from None
    if lines.wrong:
        more = f"; and {len(lines.wrong) - NAMED} more" if len(lines.wrong) > NAMED else ""
        raise CommandError(f"nothing was written: {'; '.join(lines.wrong[:NAMED])}{more}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _opened(file: str) -> AbstractContextManager[BinaryIO]:
    if file == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(file).open("rb")
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot read {file!r}: {getattr(error, 'strerror', None) or error}") from error
