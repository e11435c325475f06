"""The history of a session as a journal: a header, where it began, and an entry for each answer.

What older charts have answered is moved to the present one by the migrations: where each answer led, without its event,
which may mean something else today.  A history whose beginning is no longer kept, or of a chart from which no migration
leads here, begins where its first answer led.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fsm.chart import Chart
from fsm.errors import SnapshotError
from fsm.journal.reader import VERSION, Sections, entry
from fsm.sessions.answer import Answer
from fsm.sessions.place import Stored, snapshot_of
from fsm.snapshot import Migrates, decode, encode, route

__all__ = ["journal_lines"]


def journal_lines(
    chart: Chart, key: str, history: Iterable[Answer], stored: Stored, migrations: Sequence[Migrates]
) -> Iterator[Mapping[str, object]]:
    """Yield the lines of the journal of a session.  SnapshotError if it is of a chart from which none leads here."""
    decode(chart, snapshot_of(chart, stored), migrations)
    sections, left_out, number = Sections(chart, migrations), False, 0
    for line in _lines(chart, key, history, stored):
        if "journal" in line:
            left_out = not _leads_here(chart, line["fingerprint"], migrations)
            head = line if left_out else sections.begin(line)
            if not left_out and not number:
                yield head
                number += 1
        elif not left_out:
            yield sections.present(line)


def _leads_here(chart: Chart, fingerprint: object, migrations: Sequence[Migrates]) -> bool:
    try:
        return fingerprint == chart.fingerprint or bool(route(chart, fingerprint, migrations))
    except SnapshotError:
        return False


def _lines(chart: Chart, key: str, history: Iterable[Answer], stored: Stored) -> Iterator[Mapping[str, object]]:
    """The same, with what older charts have answered as they did, each of them after a header of its own."""
    fingerprint, seq, last = "", 0, None
    for one in history:
        older = one.fingerprint != chart.fingerprint
        words = {"snapshot": 1, "chart": chart.name, "fingerprint": one.fingerprint}
        snapshot = {**words, "state": one.state, "values": one.values}
        begins = last is None
        if one.fingerprint != fingerprint:
            fingerprint = one.fingerprint
            yield {"journal": VERSION, "chart": chart.name, "fingerprint": fingerprint}
            begins = begins or not older
        if begins:
            seq = 0
            fresh = one.seq == 1 and one.event and not older
            start = encode(chart, chart.start()) if fresh else snapshot
            yield {"session": key, "start": start}
            if not fresh:
                last = one
                continue
        seq += 1
        if older:
            asked = {"session": key, "seq": seq, "event": one.event, "data": dict(one.data)}
            yield {**asked, "accepted": one.accepted, "state": one.state, **one.values, "reason": one.reason}
        else:
            stood = {"state": last.state, "values": last.values} if last is not None else encode(chart, chart.start())
            before = decode(chart, {**words, "state": stood["state"], "values": stood["values"]})
            after = decode(chart, snapshot)
            more = {"at": one.at} | {name: value for name, value in (("id", one.event_id), ("note", one.note)) if value}
            yield entry(chart, key, seq, one.event, before, after, one.reason, one.data) | more
        last = one
    if last is None:
        yield {"journal": VERSION, "chart": chart.name, "fingerprint": stored.fingerprint}
        yield {"session": key, "start": snapshot_of(chart, stored)}
