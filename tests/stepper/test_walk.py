"""The walk: traces in and out, undo, redo and jump, refusals that change nothing, goals, and where a walk may begin."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from fsm.analysis.trace import TraceError, parse_trace
from fsm.chart import Chart, Output, State, row
from fsm.errors import SnapshotError, UnknownEvent
from fsm.journal import Recorder
from fsm.journal.reader import JournalError, TornLine, header, replay, start
from fsm.logoff import LOGOFF, StoreSession
from fsm.stepper.walk import Stepper
from fsm.variable import Counter
from fsm.verdict import Refused, judge
from tests.support import after, configurations, run

EVENTS = list(map(str, LOGOFF.events))
N, NEVER = Counter("n"), Counter("never_raised")
COUNTS = Chart(
    "counts",
    states=["low", State("high", final=True), "nowhere"],
    events=["up", "leap", "never"],
    variables=[N, NEVER],
    rows=[
        row("u", "low", "up", effects=[N.becomes(N + 1)]),
        row("l", "low", "leap", guard=N > 2, target="high"),
        row("t", "low", "never", guard=NEVER > 0, target="nowhere"),
        row("b", "nowhere", "never", target="low"),
    ],
    outputs=[Output("MANY", 1, guard=N > 1)],
)
LOOP = Chart(
    "loop", states=["a", "b", State("c", final=True)], events=["go", "back", "end"], variables=[NEVER],
    rows=[
        row("1", "a", "go", target="b"), row("2", "b", "back", target="a"),
        row("3", "b", "end", guard=NEVER > 0, target="c"),
    ],
)  # fmt: skip


FORK = Chart(
    "fork", states=["a", "b", "c", "d", State("end", final=True)], events=["x", "y"],
    rows=[
        row("1", "a", "x", target="b"), row("2", "a", "y", target="c"), row("3", "b", "x", target="end"),
        row("4", "c", "y", target="d"), row("5", "d", "x", target="end"),
    ],
)  # fmt: skip


def walked(trace: str, chart: Chart = LOGOFF) -> Stepper:
    stepper = Stepper(chart)
    assert stepper.walk(parse_trace(chart, trace)) is None
    return stepper


# ---------------------------------------------------------------------------------------------------------- walking


@given(st.lists(st.sampled_from(EVENTS), max_size=30))
def test_a_walk_is_what_a_session_does_and_its_trace_leads_there_again(events: list[str]) -> None:
    stepper, session = Stepper(LOGOFF), StoreSession()
    for event in events:
        assert list(stepper.verdicts().values()) == list(session.verdicts().values())
        if session.may(event):
            session.fire(event)
            assert stepper.fire(event) == (event, session.configuration)
        else:
            with pytest.raises(Refused):
                stepper.fire(event)
        assert (stepper.configuration, stepper.state) == (session.configuration, session.state)
        assert (stepper.flags, stepper.flag_names) == (session.flags, LOGOFF.flag_names(session.flags))
    assert run(stepper.trace).configuration == session.configuration
    again = walked(stepper.trace)
    assert (again.configuration, again.trail, again.place) == (stepper.configuration, stepper.trail, stepper.place)


def test_a_refused_event_changes_nothing_the_redo_included() -> None:
    """Every configuration within bounds and every event that is refused there."""
    refused = 0
    for here in configurations(1, 1, 1):
        stepper = Stepper(LOGOFF, here)
        stepper.fire("release")
        stepper.undo()
        trail = list(stepper.trail)
        for event, verdict in stepper.verdicts().items():
            if not verdict:
                refused += 1
                with pytest.raises(Refused):
                    stepper.fire(event)
                assert (stepper.configuration, stepper.trail, stepper.place) == (here, trail, 0)
    assert refused > 500


@given(st.lists(st.sampled_from(["undo", "redo", "first", "last", *EVENTS]), max_size=40))
def test_undo_redo_and_jump_move_along_the_trail_as_a_list_and_an_index_do(acts: list[str]) -> None:
    stepper = Stepper(LOGOFF)
    trail, place = [LOGOFF.start()], 0
    for act in acts:
        if act == "undo":
            assert stepper.undo() is (place > 0)
            place = max(0, place - 1)
        elif act == "redo":
            assert stepper.redo() is (place < len(trail) - 1)
            place = min(len(trail) - 1, place + 1)
        elif act in ("first", "last"):
            place = 0 if act == "first" else len(trail) - 1
            stepper.jump(place)
        elif (there := after(StoreSession, trail[place], act)) is not None:
            same = place + 1 < len(trail) and stepper.trail[place] == (act, there)
            if not same:
                trail[place + 1 :] = [there]
            place += 1
            stepper.fire(act)
        assert [moment.configuration for moment in stepper.trail] == trail[1:]
        assert (stepper.place, stepper.configuration) == (place, trail[place])
        assert stepper.trace == ",".join(moment.event for moment in stepper.trail[:place])


def test_the_event_that_was_undone_is_the_redo_and_another_one_starts_the_trail_anew() -> None:
    stepper = walked("submit,outbound_begin,outbound_sent")
    stepper.jump(1)
    stepper.fire("outbound_begin")
    assert [moment.event for moment in stepper.trail] == ["submit", "outbound_begin", "outbound_sent"]
    stepper.fire("outbound_failed")
    assert [moment.event for moment in stepper.trail] == ["submit", "outbound_begin", "outbound_failed"]


@pytest.mark.parametrize("place", [-1, 3])
def test_there_is_no_place_outside_the_trail(place: int) -> None:
    stepper = walked("submit,submit")
    with pytest.raises(ValueError, match=f"the trail has the places 0 to 2, not {place}"):
        stepper.jump(place)
    assert stepper.place == 2


def test_a_walk_stops_at_the_first_refusal_and_keeps_the_steps_before_it() -> None:
    stepper = Stepper(LOGOFF)
    refusal = stepper.walk(["submit", "peer_closed", "submit"])
    assert refusal is not None
    assert refusal.verdict.event == "peer_closed"
    assert stepper.trace == "submit"
    with pytest.raises(UnknownEvent):
        stepper.fire("nope")


# -------------------------------------------------------------------------------------------------- where it begins


def test_a_walk_begins_at_a_snapshot(tmp_path: Path) -> None:
    session = run("submit,outbound_begin,logoff_no_wait", deferred=2)
    stepper = Stepper.from_snapshot(LOGOFF, session.snapshot())
    assert (stepper.configuration, stepper.trace) == (session.configuration, "")
    for indent in (None, 2):
        path = tmp_path / f"snapshot-{indent}.json"
        path.write_text(json.dumps(session.snapshot(), indent=indent))
        assert Stepper.load(LOGOFF, path).configuration == session.configuration
    assert stepper.snapshot_at(0) == session.snapshot()


def test_a_snapshot_of_another_chart_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps(Stepper(COUNTS).snapshot_at(0)))
    with pytest.raises(SnapshotError, match="of another chart"):
        Stepper.load(LOGOFF, path)


def test_a_walk_begins_with_the_accepted_events_of_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Recorder(LOGOFF, path) as journal:
        session = StoreSession(ready=2)
        journal.attach(session, "a")
        session.outbound_begin()
        with pytest.raises(Refused):
            journal.fire(session, "peer_closed")
        session.outbound_deferred()
    stepper = Stepper.load(LOGOFF, path)
    assert (stepper.begin, stepper.trace) == (LOGOFF.start({"ready": 2}), "outbound_begin,outbound_deferred")
    assert stepper.configuration == session.configuration
    with Recorder(LOGOFF, path) as journal:
        again, other = StoreSession(), StoreSession(peers=1)
        journal.attach(again, "a")
        journal.attach(other, "b")
        again.submit()
    assert Stepper.load(LOGOFF, path, "a").trace == "submit"  # the last time it was started
    assert Stepper.load(LOGOFF, path, "b").configuration == other.configuration
    with pytest.raises(TraceError, match="it has the sessions 'a', 'b'; name one"):
        Stepper.load(LOGOFF, path)
    with pytest.raises(TraceError, match="no session 'c'; it has the sessions 'a', 'b'"):
        Stepper.load(LOGOFF, path, "c")


def test_a_journal_without_entries_is_the_start_of_a_walk(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Recorder(LOGOFF, path).close()
    assert Stepper.load(LOGOFF, path).configuration == LOGOFF.start()


@pytest.mark.parametrize(
    ("tail", "error", "words"),
    [
        ('{"event": "submit", "state": "draining"}\n', TraceError, 'line 2: submit .* state is "open", not "draining"'),
        ("hello\n", JournalError, "line 2: this is no JSON"),
        ('{"event": "nope"}\n', JournalError, "line 2: store-logoff has no event 'nope'"),
    ],
)
def test_a_journal_that_is_corrupt_or_diverges_is_no_walk(
    tail: str, error: type[Exception], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(json.dumps(header(LOGOFF)) + "\n" + tail)
    with pytest.raises(error, match=words):
        Stepper.load(LOGOFF, path)


def test_a_torn_journal_is_a_walk_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(json.dumps(header(LOGOFF)) + '\n{"event": "submit"}\n{"event": "out')
    with pytest.warns(TornLine, match="line 3"):
        assert Stepper.load(LOGOFF, path).trace == "submit"


# ----------------------------------------------------------------------------------------------------------- saving


@given(st.lists(st.sampled_from(EVENTS), max_size=20), st.integers(0, 2), st.integers(0, 20))
def test_a_saved_walk_is_a_journal_and_loads_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, events: list[str], ready: int, back: int
) -> None:
    path = tmp_path_factory.mktemp("s") / "walk.jsonl"
    stepper = Stepper(LOGOFF, LOGOFF.start({"ready": ready}))
    for event in events:
        stepper.walk([event])
    stepper.jump(max(0, stepper.place - back))
    stepper.save(path)
    again = Stepper.load(LOGOFF, path)
    assert (again.begin, again.trace, again.configuration) == (stepper.begin, stepper.trace, stepper.configuration)
    assert replay(LOGOFF, io.BytesIO(path.read_bytes())) is None
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    stepper = walked("submit")
    path = tmp_path / "walk.jsonl"
    stepper.save(path)
    before = path.read_bytes()
    for wrong in (tmp_path, tmp_path / "nowhere" / "x", path / "x", tmp_path / ("x" * 300), Path("/dev/null")):
        with pytest.raises(OSError, match=r"directory|too long|not a regular file"):
            stepper.save(wrong)
    assert Path("/dev/null").is_char_device()
    assert (list(tmp_path.iterdir()), path.read_bytes()) == ([path], before)
    link = tmp_path / "link"
    link.symlink_to(path)
    walked("submit,submit").save(link)
    assert link.is_symlink()
    assert Stepper.load(LOGOFF, path).trace == "submit,submit"


def test_a_walk_is_saved_from_where_it_began() -> None:
    stepper = Stepper(LOGOFF, LOGOFF.start({"ready": 1}))
    stepper.walk(["outbound_begin", "outbound_sent"])
    assert start(LOGOFF, "x", stepper.begin)["start"] == stepper.snapshot_at(0)
    assert [(one["seq"], one["event"], one["from"], one["ready"], one["outbound"]) for one in stepper.entries()] == [
        (1, "outbound_begin", "open", 0, 1), (2, "outbound_sent", "open", 0, 0),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ goals


def distances(goal: str) -> dict[object, int]:
    """How far each configuration within bounds is from COMPLETE, by asking the table and nothing else."""
    known = configurations(2, 2, 1)
    edges: dict[object, list[object]] = {}
    for here in known:
        values = LOGOFF.values(here)
        for event in EVENTS:
            taken = judge(LOGOFF, here, event).row
            if taken is not None:
                new = {effect.name: effect.new(values) for effect in taken.effects}
                edges.setdefault((taken.target, *({**values, **new}).values()), []).append(here)
    found: dict[object, int] = {here: 0 for here in known if goal in LOGOFF.flag_names(LOGOFF.flags(here))}
    todo = list(found)
    for there in todo:
        for before in edges.get(there, ()):
            if before not in found:
                found[before] = found[there] + 1
                todo.append(before)
    return found


@pytest.mark.parametrize("goal", ["COMPLETE", "released"])
def test_the_way_to_complete_is_a_shortest_one_from_every_configuration(goal: str) -> None:
    shortest = distances("COMPLETE")
    for here in configurations(1, 1, 1):
        stepper = Stepper(LOGOFF, here)
        path = stepper.path_to(goal)
        assert path.events is not None
        assert len(path.events) == shortest[here]
        assert stepper.walk(path.events) is None
        assert "COMPLETE" in stepper.flag_names
        assert stepper.path_to(goal).events == ()


def test_goals_are_final_states_then_outputs_then_the_rest() -> None:
    assert Stepper(COUNTS).goals == ("high", "MANY", "low", "nowhere")
    with pytest.raises(ValueError, match=r"counts has no state or output 'x' \(it has high, MANY, low, nowhere\)"):
        Stepper(COUNTS).path_to("x")


@pytest.mark.parametrize(
    ("chart", "goal", "limit", "events", "told"),
    [
        (COUNTS, "high", 100, ("up", "up", "up", "leap"), "shortest way to high: up,up,up,leap"),
        (COUNTS, "MANY", 100, ("up", "up"), "shortest way to MANY: up,up"),
        (COUNTS, "low", 100, (), "shortest way to low: already there"),
        (COUNTS, "high", 3, None, "high was not found (the 3 nearest configurations looked at)"),
        (COUNTS, "nowhere", 1_000, None, "nowhere was not found (the 1,000 nearest configurations looked at)"),
        (FORK, "end", 100, ("x", "x"), "shortest way to end: x,x"),
        (LOOP, "c", 100, None, "c cannot be reached from here (all 2 configurations looked at)"),
    ],
)
def test_a_way_says_what_was_looked_at(
    chart: Chart, goal: str, limit: int, events: tuple[str, ...] | None, told: str
) -> None:
    path = Stepper(chart).path_to(goal, limit)
    assert (path.events, str(path)) == (events, told)
    assert path.looked <= limit
    assert path.everywhere is ("all" in told.split("(")[-1].split())


def test_a_guard_that_reads_more_than_the_variables_is_told_and_nothing_has_changed() -> None:
    rows = [row("in", "low", "up", guard=lambda session: session.user == "x", target="high")]
    stepper = Stepper(Chart("gate", states=["low", State("high", final=True)], events=["up"], rows=rows))
    told = "from low, a guard raised AttributeError: .*'user'; a guard that reads more than the variables can be asked by"
    for ask in (stepper.verdicts, lambda: stepper.fire("up"), lambda: stepper.path_to("high")):
        with pytest.raises(TraceError, match=told):
            ask()
    assert (stepper.trail, stepper.state) == ([], "low")
