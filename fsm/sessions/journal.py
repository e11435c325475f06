"""The history of a session as a journal: a header, where it began, and an entry for each answer.

What older charts have answered is moved to the present chart by whoever reads the journal; each of them has a header.
A history whose beginning is no longer kept begins where its first answer led.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from fsm.chart import Chart
from fsm.journal.reader import VERSION, entry
from fsm.sessions.answer import Answer
from fsm.sessions.place import Stored, snapshot_of
from fsm.snapshot import decode, encode

__all__ = ["journal_lines"]


def journal_lines(chart: Chart, key: str, history: Iterable[Answer], stored: Stored) -> Iterator[Mapping[str, object]]:
    """Yield the lines of the journal of a session."""
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
