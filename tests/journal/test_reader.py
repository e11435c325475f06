"""Journals: what a line says, what is torn and what is corrupt, and replay to the first divergence."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.chart import Chart, row
from fsm.cli import main
from fsm.journal import reader as journal
from fsm.journal.reader import JournalError, TornLine, records, replay, replayed
from fsm.logoff import LOGOFF, StoreSession
from fsm.snapshot import encode
from fsm.variable import Counter
from fsm.verdict import Refused

EVENTS = st.sampled_from(list(map(str, LOGOFF.events)))
NAMES = st.sampled_from(["a", "b", 'quote"and\\', "\x1b[31m", "\ud800"])
OTHER = Chart("other", states=["on"], events=["go"], rows=[row("r", "on", "go")])


def lines(*objects: object) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


def entries(*steps: tuple[str, str], **start: int) -> list[dict[str, object]]:
    """The records of (session, event) steps, refused ones among them; each session begins with these counts."""
    sessions: dict[str, StoreSession] = {}
    counts: dict[str, int] = {}
    data: list[dict[str, object]] = []
    for name, event in steps:
        if name not in sessions:
            sessions[name], counts[name] = StoreSession(**start), 0
            data.append(journal.start(LOGOFF, name, sessions[name].configuration))
        session, reason = sessions[name], None
        before = session.configuration
        try:
            session.fire(event)
        except Refused as refusal:
            reason = refusal.verdict.reason
        counts[name] += 1
        data.append(journal.entry(LOGOFF, name, counts[name], event, before, session.configuration, reason))
    return data


SAMPLE = [
    journal.header(LOGOFF),
    *entries(("a", "submit"), ("b", "inbound_begin"), ("a", "peer_closed"), ("a", "outbound_begin"), ("a", "logoff_orderly")),
]


def read(text: bytes) -> list[journal.Record]:
    return list(records(LOGOFF, io.BytesIO(text)))


# ---------------------------------------------------------------------------------------------------------- reading


@given(st.lists(st.tuples(NAMES, EVENTS), max_size=40), st.integers(0, 3))
def test_an_entry_is_what_fsm_replay_answers_and_a_journal_replays_without_divergence(
    steps: list[tuple[str, str]], ready: int
) -> None:
    """For all streams: `fsm replay` answers a journal with its own entries, to the byte."""
    data = [journal.header(LOGOFF), *entries(*steps, ready=ready)]
    text = lines(*data)
    assert replay(LOGOFF, io.BytesIO(text)) is None
    assert answers(text) == lines(*(one for one in data if "event" in one)).decode()


def answers(text: bytes, status: int = 0) -> str:
    """What `fsm replay` says to it."""
    out, stdin = io.StringIO(), io.TextIOWrapper(io.BytesIO(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stdin", stdin)
        assert main(["replay"]) == status
    return out.getvalue()


def test_every_record_is_read_with_its_line() -> None:
    found = read(lines(*SAMPLE))
    assert [(one.line, one.session, one.event) for one in found] == [
        (2, "a", ""), (3, "a", "submit"), (4, "b", ""), (5, "b", "inbound_begin"), (6, "a", "peer_closed"),
        (7, "a", "outbound_begin"), (8, "a", "logoff_orderly"),
    ]  # fmt: skip
    assert found[0].start == LOGOFF.start()
    assert [one.data for one in found] == SAMPLE[1:]


def test_a_start_record_puts_its_session_where_the_snapshot_says_and_counts_anew() -> None:
    text = lines(journal.header(LOGOFF), *entries(("a", "outbound_begin"), ready=3), *entries(("a", "submit")))
    assert replay(LOGOFF, io.BytesIO(text)) is None
    first, second = map(json.loads, answers(text).splitlines())
    assert (first["ready"], first["seq"]) == (2, 1)
    assert (second["ready"], second["seq"]) == (1, 1)


def test_a_session_without_a_start_record_starts_as_the_chart_says() -> None:
    steps = list(replayed(LOGOFF, io.BytesIO(lines(journal.header(LOGOFF), {"event": "submit"}))))
    assert [(one.record.session, one.configuration) for one in steps] == [("default", LOGOFF.start({"ready": 1}))]


def test_a_last_line_cut_off_anywhere_is_dropped_with_a_warning() -> None:
    """All prefixes of the last line: nothing before it is lost, and a line that lacks only its end is whole."""
    text = lines(*SAMPLE)
    last = text.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last, len(text) + 1):
        torn = last < end < len(text) - 1
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = read(text[:end])
        assert len(found) == len(SAMPLE) - 1 - (end < len(text) - 1), end
        assert [str(one.message) for one in caught] == torn * ["line 8 was cut off in the middle of writing and is left out"]
        assert all(issubclass(one.category, TornLine) for one in caught)


@pytest.mark.parametrize("tail", [b'{"session": "a", \xc3', b'{"event"' + b"\0" * 4096, b"\0" * 512])
def test_what_a_power_failure_leaves_at_the_end_is_torn_too(tail: bytes) -> None:
    with pytest.warns(TornLine) as caught:
        found = read(lines(*SAMPLE) + tail)
    assert len(found) == len(SAMPLE) - 1
    assert [one.message.line for one in caught if isinstance(one.message, TornLine)] == [len(SAMPLE) + 1]


def test_a_torn_header_is_a_journal_without_records() -> None:
    text = lines(SAMPLE[0])
    for end in range(1, len(text) - 1):
        with pytest.warns(TornLine, match="line 1"):
            assert read(text[:end]) == []


CORRUPT: dict[str, tuple[int, bytes, str]] = {
    "a line in the middle cut off": (3, b'{"session": "a", "se\n', "this is no JSON"),
    "not UTF-8": (3, b'{"session": "\xff"}\n', "this is no JSON"),
    "two lines run together": (4, lines(SAMPLE[1])[:-1] + lines(SAMPLE[2]), "this is no JSON"),
    "an empty line": (2, b"\n", "this is no JSON"),
    "a number": (2, b"7\n", "expected an object, not int"),
    "an unknown event": (5, lines({"event": "nope"}), "store-logoff has no event 'nope'"),
    "an event that is no name": (5, lines({"event": ["submit"]}), "store-logoff has no event"),
    "a session that is no name": (2, lines({"session": 7, "event": "submit"}), '"session" must be a string'),
    "neither event nor start": (2, lines({"session": "a"}), 'neither an "event" nor a "start"'),
    "a second header": (2, lines(SAMPLE[0]), "a second header"),
    "a damaged start": (2, lines({"start": {"snapshot": 9}}), "its version is 9"),
    "a start of another chart": (2, lines({"start": encode(OTHER, OTHER.start())}), "of another chart"),
    "too deep": (3, b"[" * 100_000 + b"\n", "this is no JSON"),
    "too long": (3, b" " * (1 << 20) + b"\n", "longer than 1,048,576 bytes"),
    "a last line that was never one of ours": (8, b"hello", "this is no JSON"),
    "another first line": (1, lines({"event": "submit"}), "a journal begins with a header"),
    "a first line that is none of ours": (1, b'{"x": ', "this is no JSON"),
    "another version": (1, lines({**SAMPLE[0], "journal": 2}), "its version is 2"),
    "another chart's": (1, lines(journal.header(OTHER)), "a journal of 'other'"),
}  # fmt: skip


@pytest.mark.parametrize("case", CORRUPT)
def test_what_is_corrupt_is_named_by_its_line(case: str) -> None:
    number, wrong, words = CORRUPT[case]
    good = [lines(one) for one in SAMPLE]
    rest = good[number:] if wrong.endswith(b"\n") else []
    with pytest.raises(JournalError, match=f"line {number}: .*{words}") as caught:
        read(b"".join([*good[: number - 1], wrong, *rest]))
    assert caught.value.line == number


def test_an_empty_file_is_no_journal() -> None:
    with pytest.raises(JournalError, match="line 1: the file is empty"):
        read(b"")


def test_a_chart_with_a_variable_named_like_a_word_of_journals_cannot_have_one() -> None:
    chart = Chart("c", states=["on"], events=["go"], rows=[row("r", "on", "go")], variables=[Counter("reason")])
    with pytest.raises(JournalError, match="its variable 'reason' is a word of journals"):
        journal.header(chart)


# ------------------------------------------------------------------------------------------------------- divergence

TAMPERED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "seq": lambda entry: entry["seq"] + 1, "accepted": lambda entry: not entry["accepted"], "from": lambda entry: "blocked",
    "state": lambda entry: "released", "request": lambda entry: "PURGE", "inbound": lambda entry: entry["inbound"] + 1,
    "ready": lambda entry: bool(entry["ready"]) or 7, "peers": lambda entry: float(entry["peers"]),
    "flags": lambda entry: 0x10000, "flag_names": lambda entry: ["COMPLETE"],
}  # fmt: skip


@pytest.mark.parametrize("key", TAMPERED)
@pytest.mark.parametrize("place", [place for place, one in enumerate(SAMPLE) if "event" in one])
def test_replay_finds_the_first_entry_that_comes_out_otherwise(key: str, place: int) -> None:
    """Each key of each entry; later entries are tampered with as well, and do not matter."""
    data: list[dict[str, Any]] = [dict(one) for one in SAMPLE]
    was = data[place][key]
    for later in data[place:]:
        if "event" in later:
            later[key] = TAMPERED[key](later)
    found = replay(LOGOFF, io.BytesIO(lines(*data)))
    assert found is not None
    assert (found.line, found.session, found.event) == (place + 1, data[place]["session"], data[place]["event"])
    assert (found.expected, found.found) == ({key: data[place][key]}, {key: was})
    assert f"line {place + 1}: " in str(found)
    assert f"{key} is {json.dumps(was)}, not {json.dumps(data[place][key])}" in str(found)


def test_nothing_is_run_after_the_first_divergence() -> None:
    text = lines(SAMPLE[0], {"event": "submit", "ready": 9}, {"event": "submit", "ready": 9}, {"event": "nope"})
    steps = list(replayed(LOGOFF, io.BytesIO(text)))
    assert [one.record.line for one in steps] == [2]
    assert steps[0].divergence is not None


def test_a_lost_line_is_a_divergence() -> None:
    found = replay(LOGOFF, io.BytesIO(lines(*SAMPLE[:2], *SAMPLE[3:])))
    assert found is not None
    assert (found.line, found.expected["seq"], found.found["seq"]) == (5, 2, 1)


def test_the_wording_of_a_reason_and_what_is_not_told_are_not_compared() -> None:
    reworded = [{**one, "reason": "otherwise"} if one.get("reason") else one for one in SAMPLE]
    brief = [{k: v for k, v in one.items() if k in ("session", "event", "start", "journal", "fingerprint")} for one in SAMPLE]
    assert reworded != SAMPLE
    assert replay(LOGOFF, io.BytesIO(lines(*reworded))) is None
    assert replay(LOGOFF, io.BytesIO(lines(*brief))) is None


# ------------------------------------------------------------------------------------------------------- fsm replay


def test_fsm_replay_answers_a_journal_with_a_torn_end_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "torn.jsonl"
    path.write_bytes(lines(*SAMPLE) + b'{"session": "a", "seq": 5, "ev')
    assert main(["replay", str(path)]) == 0
    out, err = capsys.readouterr()
    assert out == lines(*(one for one in SAMPLE if "event" in one)).decode()
    assert err == "fsm replay: line 9 was cut off in the middle of writing and is left out\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (lines({"event": "submit"}) + b'{"event": "sub', "line 2: not JSON"),
        (lines(SAMPLE[0], {"start": {"snapshot": 9}}), "line 2: this is no snapshot of store-logoff: its version is 9"),
        (lines(SAMPLE[0], {"session": 7, "start": {}}), 'line 2: "session" must be a string, not 7'),
    ],
    ids=["torn, but no journal", "a damaged start", "a session that is no name"],
)
def test_fsm_replay_names_the_line_of_anything_else(text: bytes, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    answers(text, 2)
    assert words in capsys.readouterr().err
