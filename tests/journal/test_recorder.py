"""The recorder: journals written by running sessions, through refusals, raising listeners, full disks and kill -9."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread, current_thread, main_thread
from typing import Any

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.chart import Chart, row
from fsm.errors import UnknownEvent
from fsm.journal import Recorder, recorder
from fsm.journal.reader import JournalError, TornLine, header, records, replay
from fsm.logoff import LOGOFF, GuardedStoreSession, StoreSession
from fsm.session import Session, Step
from fsm.variable import Counter
from fsm.verdict import Refused

OTHER = Chart("other", states=["on"], events=["go"], rows=[row("r", "on", "go")])
EVENTS = st.lists(st.sampled_from(list(map(str, LOGOFF.events))), max_size=30)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def recorded(path: Path) -> list[str]:
    """What a journal tells, in short: `start`, `event`, or `event!` when it was refused; and it must replay."""
    text = path.read_bytes()
    assert replay(LOGOFF, io.BytesIO(text)) is None
    return [
        "start" if one.start is not None else one.event + "!" * (not one.data["accepted"])
        for one in records(LOGOFF, io.BytesIO(text))
    ]


def attempt(journal: Recorder, session: Session, event: str) -> None:
    try:
        journal.fire(session, event)
    except Refused:
        assert not session.may(event)


@given(EVENTS)
def test_accepted_and_refused_events_are_all_there_in_order(tmp_path_factory: pytest.TempPathFactory, events: list[str]) -> None:
    path = tmp_path_factory.mktemp("r") / "journal.jsonl"
    expected = ["start"]
    with Recorder(LOGOFF, path) as journal:
        session = StoreSession(ready=1, deferred=1)
        journal.attach(session, "a")
        for event in events:
            expected.append(event if session.may(event) else f"{event}!")
            attempt(journal, session, event)
    assert recorded(path) == expected


def test_steps_are_recorded_whoever_fires_them_and_refusals_by_the_journal_alone(path: Path) -> None:
    with Recorder(LOGOFF, path) as journal:
        session = StoreSession()
        journal.attach(session)
        session.submit()
        session.post("outbound_begin")
        with pytest.raises(Refused):
            session.peer_closed()
        with pytest.raises(Refused, match="peers is 0"):
            journal.fire(session, "peer_closed")
        with pytest.raises(UnknownEvent):
            journal.fire(session, "nope")
    session.inbound_begin()  # the journal is closed, and the session goes on
    assert recorded(path) == ["start", "submit", "outbound_begin", "peer_closed!"]


def test_a_journal_is_continued_under_its_one_header(path: Path) -> None:
    for _ in range(2):
        with Recorder(LOGOFF, path) as journal:
            session = StoreSession()
            journal.attach(session)
            session.submit()
    assert recorded(path) == ["start", "submit", "start", "submit"]
    assert path.read_text().count('"journal"') == 1


def test_a_torn_line_is_cut_off_before_the_journal_goes_on(path: Path) -> None:
    """All cuts of a journal's last line, and of one that is all header."""
    with Recorder(LOGOFF, path) as journal:
        session = StoreSession()
        journal.attach(session)
        session.submit()
    text = path.read_bytes()
    last = text.rstrip(b"\n").rfind(b"\n") + 1
    first = text.find(b"\n") + 1
    for end in (*range(last, len(text) + 1), *range(first + 1)):
        path.write_bytes(text[:end])
        before = ["start", "submit"] if end >= len(text) - 1 else ["start"] if end >= last else []
        if end in (0, first - 1, first, last, len(text) - 1, len(text)):
            journal = Recorder(LOGOFF, path)
        else:
            with pytest.warns(TornLine, match=f"line {3 if end > last else 1} "):
                journal = Recorder(LOGOFF, path)
        with journal:
            session = StoreSession()
            journal.attach(session)
            session.submit()
        assert recorded(path) == [*before, "start", "submit"], end


NO_JOURNAL = {
    "a text": (b"hello\n", "line 1: this is no JSON"),
    "a text without a line end": (b"hello", "line 1: this is no JSON"),
    "something like JSON": (b'{"a": [1, 2', "line 1: this is no JSON"),
    "a snapshot": (b'{"snapshot": 1}', "line 1: its version is None"),
    "another chart's": (json.dumps(header(OTHER)).encode() + b"\n", "line 1: it is a journal of 'other'"),
    "a strange end": (json.dumps(header(LOGOFF)).encode() + b"\nhello", "line 2: this is no JSON"),
}


@pytest.mark.parametrize("case", NO_JOURNAL)
def test_what_is_no_journal_of_this_chart_is_refused_and_left_as_it_was(case: str, path: Path) -> None:
    text, words = NO_JOURNAL[case]
    path.write_bytes(text)
    with pytest.raises(JournalError, match=words):
        Recorder(LOGOFF, path)
    assert path.read_bytes() == text


def test_one_process_writes_at_a_time(path: Path) -> None:
    with Recorder(LOGOFF, path), pytest.raises(JournalError, match="another process is writing this journal"):
        Recorder(LOGOFF, path)
    Recorder(LOGOFF, path).close()


def test_a_file_that_cannot_be_written_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        Recorder(LOGOFF, tmp_path)
    with pytest.raises(FileNotFoundError):
        Recorder(LOGOFF, tmp_path / "nowhere" / "journal.jsonl")
    with pytest.raises(JournalError, match="line 1: longer than"):
        Recorder(LOGOFF, "/dev/zero")


def test_a_chart_that_cannot_have_a_journal_gets_no_file(path: Path) -> None:
    chart = Chart("c", states=["on"], events=["go"], rows=[row("r", "on", "go")], variables=[Counter("event")])
    with pytest.raises(JournalError, match="'event'"):
        Recorder(chart, path)
    assert not path.exists()


def test_who_may_be_attached(path: Path) -> None:
    with Recorder(LOGOFF, path) as journal:
        one, two = StoreSession(), StoreSession()
        journal.attach(one, "a")
        for session, name in ((two, "a"), (one, "b")):
            with pytest.raises(ValueError, match="is attached already"):
                journal.attach(session, name)
        with pytest.raises(ValueError, match="a journal of store-logoff, not of other"):
            journal.attach(Session.of(OTHER)())
        journal.detach(one)
        journal.detach(one)
        one.submit()
        with pytest.raises(KeyError):
            journal.fire(one, "submit")
        journal.attach(two, "a")
        two.submit()
    with pytest.raises(JournalError, match="is closed"):
        journal.attach(one)
    assert recorded(path) == ["start", "start", "submit"]


def test_a_forgotten_session_gives_its_name_back(path: Path) -> None:
    with Recorder(LOGOFF, path) as journal:
        for _ in range(3):
            session = StoreSession()
            journal.attach(session, "a")
            session.submit()
            del session


# ------------------------------------------------------------------------------------------------ listeners that raise


class Raises:
    def on_enter_draining(self, step: Step) -> None:
        raise RuntimeError("after")

    def before_submit(self, step: Step) -> None:
        raise RuntimeError("before")


def test_a_step_whose_listeners_raise_is_recorded_and_a_cancelled_one_is_not(path: Path) -> None:
    with Recorder(LOGOFF, path) as journal:
        session = StoreSession()
        session.inbound_begin()
        session.listen(Raises())
        journal.attach(session)
        with pytest.raises(RuntimeError, match="before"):
            journal.fire(session, "submit")
        with pytest.raises(RuntimeError, match="after"):
            journal.fire(session, "logoff_orderly")
        journal.fire(session, "inbound_received")
    assert recorded(path) == ["start", "logoff_orderly", "inbound_received"]


def test_a_step_that_went_unrecorded_is_noticed_at_the_next(path: Path) -> None:
    with Recorder(LOGOFF, path) as journal:
        session = StoreSession()
        session.inbound_begin()
        session.listen(Raises())
        journal.attach(session)
        with pytest.raises(RuntimeError, match="after"):
            session.logoff_orderly()  # not through the journal, which is called last
        session.inbound_received()
    assert recorded(path) == ["start", "start", "inbound_received"]


# ------------------------------------------------------------------------------------------------------ many at a time


def test_threads_share_a_journal_and_it_replays(path: Path) -> None:
    """Two threads on each of two guarded sessions, some through the journal and some not."""
    sessions = [GuardedStoreSession(ready=50), GuardedStoreSession(deferred=50)]
    events = [str(event) for event in LOGOFF.events if not event.startswith(("logoff", "release"))]

    def work(journal: Recorder, session: GuardedStoreSession, seed: int) -> None:
        chosen = random.Random(seed)
        for _ in range(300):
            event = chosen.choice(events)
            try:
                journal.fire(session, event) if seed % 2 else session.fire(event)
            except Refused:
                continue

    with Recorder(LOGOFF, path) as journal:
        for number, session in enumerate(sessions):
            journal.attach(session, f"s{number}")
        threads = [Thread(target=work, args=(journal, sessions[seed // 2], seed)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(recorded(path)) > 300


def test_no_step_can_fall_between_a_refusal_and_its_record(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a guarded session's refusal is written down, no other thread gets at the session."""
    session, free = GuardedStoreSession(), []
    append = recorder._Recording.append

    def look() -> None:
        free.append(session.lock.acquire(blocking=False))
        if free[-1]:
            session.lock.release()

    def watched(self: Any, *args: Any) -> None:
        other = Thread(target=look)
        other.start()
        other.join()
        append(self, *args)

    monkeypatch.setattr(recorder._Recording, "append", watched)
    with Recorder(LOGOFF, path) as journal:
        journal.attach(session)
        attempt(journal, session, "peer_closed")
    assert free == [False]
    assert recorded(path) == ["start", "peer_closed!"]


# ----------------------------------------------------------------------------------------------- kill -9 and full disks

WRITER = """
import sys
from fsm.logoff import LOGOFF, StoreSession
from fsm.journal import Recorder, recorder
from fsm.verdict import Refused
with Recorder(LOGOFF, sys.argv[1]) as journal:
    session = StoreSession(ready=3)
    journal.attach(session, "killed")
    number = 0
    while True:
        for event in ("submit", "outbound_begin", "peer_closed", "outbound_sent"):
            try:
                journal.fire(session, event)
            except Refused:
                pass
            number += 1
            print(number, flush=True)
"""


def test_after_kill_9_every_event_that_had_returned_is_there(path: Path) -> None:
    """Killed in the middle of writing, again and again, the same journal going on each time."""
    seen = 0
    for round_ in range(4):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            output = [writer.stdout.readline() for _ in range(50 + 37 * round_)]
            writer.send_signal(signal.SIGKILL)
            output += writer.stdout.readlines()
        assert writer.returncode == -signal.SIGKILL
        returned = sum(line.endswith("\n") for line in output)
        entries = [one for one in records(LOGOFF, io.BytesIO(path.read_bytes())) if one.event]
        assert len(entries) - seen >= returned > 0
        assert len({one.data["accepted"] for one in entries}) == 2
        assert replay(LOGOFF, io.BytesIO(path.read_bytes())) is None
        seen = len(entries)


FULL = """
import os, resource, sys
from fsm.logoff import LOGOFF, StoreSession
from fsm.journal import Recorder
with Recorder(LOGOFF, sys.argv[1]) as journal:
    session = StoreSession()
    journal.attach(session)
    session.submit()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = os.path.getsize(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        session.inbound_begin()
    except OSError as error:
        print(error.strerror, os.path.getsize(sys.argv[1]) - size, session.inbound)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    session.inbound_received()
"""


def test_a_disk_that_is_full_half_way_through_a_line_leaves_no_half(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True)
    assert done.stdout == "File too large 0 1\n", done.stderr  # the step was taken, and its caller got the error
    assert recorded(path) == ["start", "submit", "start", "inbound_received"]


def test_sync_writes_to_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(file) or sync(file))
    for expected in (0, 3):
        with Recorder(LOGOFF, path, sync=bool(expected)) as journal:
            session = StoreSession()
            journal.attach(session)
            session.submit()
            session.submit()
        assert len(synced) == expected


class Alike(StoreSession):
    """Sessions that equal each other, and have no hash."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Alike)

    __hash__ = None  # type: ignore[assignment]


def test_equal_sessions_are_recorded_each_by_itself(path: Path) -> None:
    one, other = Alike(), Alike()
    with Recorder(LOGOFF, path) as journal:
        journal.attach(one, "a")
        journal.attach(other, "b")
        other.submit()
        journal.detach(other)
        one.submit()
        with pytest.raises(ValueError, match="this session is attached already, as 'a'"):
            journal.attach(one, "c")
    assert recorded(path) == ["start", "start", "submit", "submit"]


class Watched(GuardedStoreSession):
    """A session that tells when another thread than the main one asks for its lock."""

    __slots__ = ("asked",)

    @property
    def lock(self) -> Any:
        """The lock."""
        if current_thread() is not main_thread():
            self.asked.set()
        return super().lock


def test_who_attaches_a_session_in_the_middle_of_a_step_waits_without_the_journals_lock(path: Path) -> None:
    """A step holds the session's lock and then takes the journal's; the other order would be a deadlock."""
    session, asking = Watched(), Event()
    session.asked = Event()

    class Meanwhile:
        def before(self, step: Step) -> None:
            asking.set()
            session.asked.wait()

    with Recorder(LOGOFF, path) as journal:
        journal.attach(session, "one")
        session.listen(Meanwhile())

        def detach() -> None:
            asking.wait()
            journal.detach(session)

        thread = Thread(target=detach, daemon=True)
        thread.start()
        session.submit()
        thread.join()
    assert recorded(path) == ["start", "submit"]
