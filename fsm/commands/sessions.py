"""`fsm sessions`: look at the durable sessions in a database, fire an event in one, or move all to a changed chart.

    fsm sessions list DATABASE [--chart NAME] [--state STATE] [--older-than 2d] [--due] [--json]
    fsm sessions show DATABASE KEY --of shop:Order      where it stands, the way there, what is possible, and why not
    fsm sessions journal DATABASE KEY --of shop:Order   its history as a journal: `… | fsm replay --chart shop:ORDER`
    fsm sessions fire DATABASE KEY EVENT [NAME=VALUE …] --of shop:Order --reason TEXT [--id ID]
    fsm sessions migrate DATABASE --of shop:Order [--dry-run]

DATABASE is a file or a URL.  `--of` is the session class, whose listeners run, or its chart; MIGRATIONS beside it move
the sessions of older charts.  Only `fire` and `migrate` change anything.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from fsm.chart import Chart
from fsm.commands import CommandError
from fsm.commands.chart_files import find_chart, find_object
from fsm.commands.chart_options import beside
from fsm.commands.progress import progress
from fsm.data import Field
from fsm.errors import DataError, SnapshotError, UnknownEvent
from fsm.install import install_command
from fsm.session import Session
from fsm.snapshot import Migrates, decode, migrated
from fsm.stepper.text import printable

if TYPE_CHECKING:
    from fsm.sessions import Sessions
    from fsm.sessions.sql.reading import Listed, Reader

__all__ = ["add_arguments", "run"]

ACTS: Final = ("list", "show", "journal", "fire", "migrate")
UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
"""The seconds of the units of time."""
PATIENCE: Final = 5.0
"""Seconds to wait for a lock or a connection."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fsm sessions`."""
    parser.add_argument("act", choices=ACTS, help="what to do")
    parser.add_argument("database", help="a SQLite file, or postgresql://…")
    parser.add_argument("words", nargs="*", metavar="KEY | KEY EVENT NAME=VALUE", help="for show, journal and fire")
    parser.add_argument("--of", metavar="MODULE:NAME", help="the session class, or its chart")
    parser.add_argument("--chart", metavar="NAME", help="list: the sessions of the chart of this name")
    parser.add_argument("--state", help="list: the sessions in this state")
    parser.add_argument(
        "--older-than", metavar="TIME", type=_duration, help="list: the sessions in the same state for longer: 90s, 2d"
    )
    parser.add_argument("--due", action="store_true", help="list: the sessions in which something is due, first that")
    parser.add_argument("--json", action="store_true", help="list: print JSON, one object a line")
    parser.add_argument("--id", help="fire: the event's id; the same id again is not applied again")
    parser.add_argument("--reason", help="fire: why, which is recorded")
    parser.add_argument("--dry-run", action="store_true", help="migrate: say what would become of each state")


def run(args: argparse.Namespace) -> int:
    """Do what was asked, and return the exit status."""
    with _command_errors():
        if args.act == "list":
            if args.words:
                raise CommandError(f"list takes a database alone, not {args.words[0]!r}; use --state or --chart")
            return _list(args)
        cls, migrations = _class(args)
        if args.act == "migrate":
            return _migrate(args, cls, migrations)
        if not args.words or (args.act != "fire" and len(args.words) > 1):
            raise CommandError(f"{args.act} takes the key of a session; `fsm sessions list` lists them")
        if args.act == "fire":
            return _fire(args, cls, migrations)
        reader = _reader(args)
        try:
            return (_show if args.act == "show" else _journal)(reader, cls, migrations, args.words[0])
        finally:
            reader.close()


@contextmanager
def _command_errors() -> Iterator[None]:
    try:
        from fsm.sessions import Conflict, IdReused
        from fsm.store.errors import StorageError
    except ModuleNotFoundError as error:
        raise CommandError(f"sessions in a database need {error.name}: {install_command('store')}") from None
    try:
        yield
    except SnapshotError as error:
        raise CommandError(printable(error.problem), 1) from None
    except (StorageError, Conflict, IdReused, UnknownEvent, DataError) as error:
        raise CommandError(printable(str(error)), 1) from None


def _class(args: argparse.Namespace) -> tuple[type[Session], tuple[Migrates, ...]]:
    if args.of is None:
        raise CommandError(f"{args.act} needs the session class or its chart: --of module:NAME")
    found = find_chart(args.of) if args.of.endswith((".py", ".json", ".scxml")) else find_object(args.of, "a class")
    if isinstance(found, Chart):
        found = Session.of(found)
    if not (isinstance(found, type) and issubclass(found, Session) and hasattr(found, "chart")):
        raise CommandError(f"{args.of} is neither a session class nor a chart")
    migrations = beside(args.of, "migrations", "MIGRATIONS", ())
    if not isinstance(migrations, (tuple, list)) or not all(hasattr(one, "migrated") for one in migrations):
        raise CommandError(f"MIGRATIONS beside {args.of} is no tuple of migrations (see fsm.migration)")
    return found, tuple(migrations)


def _reader(args: argparse.Namespace) -> Reader:
    from fsm.sessions.sql.reading import Reader
    from fsm.store.sql.connect import url_for

    return Reader(url_for(args.database), PATIENCE, only=True)


def _open(args: argparse.Namespace, cls: type[Session], migrations: tuple[Migrates, ...]) -> Sessions[Session]:
    from fsm.sessions import Sessions
    from fsm.store import Database

    _reader(args).close()  # nothing is made where no sessions are
    return Sessions(Database(args.database), cls, migrations=migrations)


# -------------------------------------------------------------------------------------------------------------- list


def _list(args: argparse.Namespace) -> int:
    before = None if args.older_than is None else time.time() - args.older_than
    reader = _reader(args)
    try:
        found: Iterator[Listed] | list[Listed] = reader.sessions(args.chart, args.state, entered_before=before)
        if args.due:
            found = sorted((one for one in found if one.due is not None), key=lambda one: one.due or 0.0)
        empty = True
        for one in found:
            print(json.dumps(one._asdict()) if args.json else printable(_line(one)))
            empty = False
        if empty and not args.json:
            print("no session is there")
    finally:
        reader.close()
    return 0


def _line(one: Listed) -> str:
    values = "".join(f", {name} {value}" for name, value in one.values.items())
    due = "" if one.due is None else f"; something is due {_when(one.due)}"
    return f"{one.key} ({one.chart}): {one.state}{values}, for {_span(time.time() - one.entered)}{due}"


def _when(moment: float) -> str:
    left = moment - time.time()
    return f"in {_span(left)}" if left >= 0 else f"since {_span(-left)}"


def _duration(text: str) -> float:
    found = re.fullmatch(rf"([0-9]+(?:\.[0-9]+)?) *({'|'.join(UNITS)})", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; one is like 90s, 30min, 1.5h or 2d")
    return float(found[1]) * UNITS[found[2]]


def _span(seconds: float) -> str:
    for unit, length in reversed(UNITS.items()):
        if seconds >= length > 1:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


# ----------------------------------------------------------------------------------------------------- one session


def _show(reader: Reader, cls: type[Session], migrations: tuple[Migrates, ...], key: str) -> int:
    from fsm.sessions.place import restored

    stored = reader.stored(cls.chart.name, key)
    if stored is None:
        raise CommandError(printable(f"{cls.chart.name} has no session {key!r}"), 1)
    session = restored(cls, key, stored, migrations)
    lines = [f"{key}: {cls.chart.describe(session.configuration)}, for {_span(time.time() - stored.entered)}"]
    if stored.due is not None:
        lines.append(f"    something is due {_when(stored.due)}")
    lines.append("the way here:")
    for one in reader.history(cls.chart.name, key):
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.at))
        more = "".join(f" ({word} {said})" for word, said in (("id", one.event_id), ("note", one.note)) if said)
        lines.append(f"    {stamp}  {str(one).partition(': ')[2] if one.key in str(one) else one}{more}")
    lines.append("what is possible:")
    lines += [f"    {event}: {'yes' if one else one.reason}" for event, one in session.verdicts().items()]
    print("\n".join(map(printable, lines)))
    return 0


def _journal(reader: Reader, cls: type[Session], migrations: tuple[Migrates, ...], key: str) -> int:
    from fsm.sessions.journal import journal_lines

    stored = reader.stored(cls.chart.name, key)
    if stored is None:
        raise CommandError(printable(f"{cls.chart.name} has no session {key!r}"), 1)
    for line in journal_lines(cls.chart, key, reader.history(cls.chart.name, key), stored, migrations):
        sys.stdout.write(json.dumps(line) + "\n")
    return 0


def _fire(args: argparse.Namespace, cls: type[Session], migrations: tuple[Migrates, ...]) -> int:
    key, *rest = args.words
    if not rest:
        raise CommandError("fire takes a key and an event: fire DATABASE KEY EVENT NAME=VALUE")
    if args.reason is None:
        raise CommandError("say why the event is fired: --reason TEXT; it is recorded with the event")
    event, *given = rest
    data = _data(cls.chart, event, given)
    with _open(args, cls, migrations) as sessions:
        answer = sessions.fire(key, event, event_id=args.id, note=args.reason, connection=None, **data)
    print(printable(f"{answer}{' (answered before)' if answer.repeated else ''}"))
    return 0 if answer else 1


def _data(chart: Chart, event: str, given: list[str]) -> Mapping[str, object]:
    if event not in chart.events:
        raise UnknownEvent(chart.name, event, chart.events)
    text = {one.name for one in chart.event(event).data if isinstance(one, Field) and one.type is str}
    found: dict[str, object] = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals:
            raise CommandError(f"the data of an event are NAME=VALUE, not {word!r}")
        try:
            found[name] = value if name in text else json.loads(value)
        except ValueError:
            found[name] = value
    return found


# ----------------------------------------------------------------------------------------------------------- migrate


def _migrate(args: argparse.Namespace, cls: type[Session], migrations: tuple[Migrates, ...]) -> int:
    chart = cls.chart
    reader = _reader(args)
    try:
        counts, stuck = Counter[str](), 0
        for one in reader.sessions(chart.name, other_than=chart.fingerprint):
            words = {"snapshot": 1, "chart": one.chart, "fingerprint": one.fingerprint}
            try:
                found = migrated(chart, {**words, "state": one.state, "values": one.values}, migrations)
                decode(chart, found)
                becomes = f"{found['state']}"
            except SnapshotError as error:
                becomes, stuck = f"cannot be moved: {error.problem}", stuck + 1
            counts[f"{one.state} of {one.fingerprint} -> {becomes}"] += 1
    finally:
        reader.close()
    for line, count in sorted(counts.items()):
        print(printable(f"{count:8,}  {line}"))
    total = sum(counts.values())
    if stuck:
        raise CommandError(f"nothing was moved: {stuck} of {total} sessions cannot be moved to {chart.fingerprint}", 1)
    if not args.dry_run:
        with _open(args, cls, migrations) as sessions, progress(f"fsm sessions: moving {total:,} sessions"):
            total = sessions.migrate()
    moved = "would be moved" if args.dry_run else "were moved"
    print(f"{total} session{'' if total == 1 else 's'} {moved} to {chart.fingerprint}")
    return 0
