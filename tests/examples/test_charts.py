"""The charts of `examples/charts`: every command takes each of them without an option, and each does what it is about."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fsm import Chart, DataError, Refused, Session, draw
from fsm.analysis.trace import parse_trace
from fsm.cli import main
from fsm.commands.chart_files import find_chart, find_object
from fsm.migration.check import examine
from fsm.runtime import Timers
from fsm.testing.clock import SimulatedClock

FOLDER = Path(__file__).parents[2] / "examples" / "charts"
CHARTS = {
    "account": "ACCOUNT", "breaker": "BREAKER", "crossing": "CROSSING", "lift": "LIFT", "order": "ORDER",
    "pairing": "PAIRING", "tcp": "TCP", "vending": "VENDING",
}  # fmt: skip
NAMED = pytest.mark.parametrize("name", CHARTS)


def where(name: str) -> str:
    return f"{FOLDER / name}.py:{CHARTS[name]}"


def chart(name: str) -> Chart:
    return find_chart(where(name))


def walk(name: str, trace: str) -> Session:
    session = Session.of(chart(name))()
    for step in parse_trace(session.chart, trace):
        session.fire(step.event, **step.data)
    return session


def test_every_file_of_the_folder_is_here() -> None:
    assert {file.stem for file in FOLDER.glob("*.py")} == set(CHARTS)


# ----------------------------------------------------------------------------------------------- without an option


@NAMED
def test_everything_that_is_checked_holds(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--chart", where(name)]) == 0
    out = capsys.readouterr().out
    assert "FAILS" not in out
    ends = any(state.final for state in chart(name).states)
    assert "\n?  " not in out or not ends


@NAMED
def test_its_paths_are_told_and_every_row_is_taken(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paths", "--chart", where(name)]) == 0
    out = capsys.readouterr().out
    assert re.match(rf"{name}: (\w+ can be reached; the shortest trace is |it has no final state and never ends)", out)
    assert "never taken" not in out
    assert main(["paths", "--chart", where(name), "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    for trace in [*told["reached"].values(), *(path["witness"] for path in told["paths"] if path["witness"])]:
        walk(name, trace)


def drawing(name: str) -> str:
    return draw.svg(chart(name), renderer="embedded")


@NAMED
def test_its_drawing_is_the_one_beside_it_and_shows_every_row(name: str, tmp_path: Path) -> None:
    file = tmp_path / "drawn.svg"
    assert main(["draw", "--chart", where(name), "--renderer", "embedded", "-o", str(file)]) == 0
    assert file.read_text() == (FOLDER / f"{name}.svg").read_text(), "it changed: make examples"
    for row in chart(name).rows:
        assert file.read_text().count(f'id="t-{row.id}"') == 1


@NAMED
def test_it_can_be_stepped_through(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["step", "--chart", where(name), "--format", "text"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{name}, from {chart(name).initial}")
    assert all(f"  {event}" in out for event in chart(name).events)


@NAMED
def test_it_has_a_page(name: str, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    assert main(["explore", "--chart", where(name), "--renderer", "embedded", "-o", str(file)]) == 0
    assert f"<title>{name}</title>" in file.read_text()


# --------------------------------------------------------------------------------------------------- what each does


def test_a_connection_ends_by_its_time_outs_alone() -> None:
    clock = SimulatedClock()
    timers = Timers(clock)
    for trace, states in [
        ("active_open", [(179, "syn_sent"), (1, "closed")]),
        ("passive_open,syn", [(180, "closed")]),
        ("active_open,syn_ack", [(10_000, "established")]),
        ("active_open,syn_ack,close", [(299, "fin_wait_1"), (1, "closed")]),
        ("active_open,syn_ack,close,fin_ack", [(239, "time_wait"), (1, "closed")]),
        ("active_open,syn_ack,fin,close", [(300, "closed")]),
    ]:
        session = timers.attach(walk("tcp", trace))
        for seconds, state in states:
            clock.advance(seconds)
            assert session.state == state, trace
    waiting = timers.attach(walk("tcp", "active_open,syn_ack,close,fin_ack"))
    clock.advance(200)
    waiting.fire("fin")
    clock.advance(200)
    assert waiting.state == "time_wait", "a FIN that comes again restarts the time-out"
    clock.advance(40)
    assert waiting.state == "closed"


@pytest.mark.parametrize(("trace", "state"), [  # the figures 6 to 10 of RFC 9293
    ("passive_open,syn,ack", "established"), ("active_open,syn_ack", "established"), ("active_open,syn,ack", "established"),
    ("passive_open,syn,rst", "listen"), ("active_open,syn,rst", "closed"), ("active_open,syn_ack,rst", "closed"),
    ("active_open,syn_ack,close,ack,fin,two_msl", "closed"), ("active_open,syn_ack,fin,close,ack", "closed"),
    ("active_open,syn_ack,close,fin,ack,two_msl", "closed"),
])  # fmt: skip
def test_the_exchanges_of_the_rfc(trace: str, state: str) -> None:
    assert walk("tcp", trace).state == state


def test_an_account_is_never_overdrawn() -> None:
    account = walk("account", "deposit(amount=500),reserve(amount=300)")
    with pytest.raises(Refused, match="needs amount <= balance; balance is 200"):
        account.fire("withdraw", amount=201)
    for wrong in ({}, {"amount": -1}, {"amount": 1.5}, {"amount": 1, "tip": 1}):
        with pytest.raises(DataError):
            account.fire("withdraw", **wrong)
    account.fire("capture", amount=100)
    assert not account.may("close")
    for step in ("release", "freeze"):
        account.fire(step)
    assert not account.may("withdraw", amount=1)
    account.fire("thaw")
    account.fire("withdraw", amount=400, reason="rent")
    account.fire("close")
    assert account.configuration == ("closed", 0, 0)


def test_an_order_is_paid_in_parts_and_refunded_in_parts() -> None:
    order = walk("order", "add(price=700),add(price=300),place,pay(amount=400)")
    assert not order.may("pay", amount=601)
    order.fire("pay", amount=600)
    order.fire("refund", amount=999, reason="late")
    assert order.may("ship")
    order.fire("refund", amount=1)
    assert not order.may("ship")
    assert not order.may("refund", amount=1)
    assert walk("order", "add(price=5),place,pay(amount=2),expire").configuration == ("cancelled", 5, 2, 2)


def test_stored_orders_of_last_year_have_their_place() -> None:
    old = find_object(f"{FOLDER / 'order'}.py:LAST_YEAR", "a chart")
    migrations = find_object(f"{FOLDER / 'order'}.py:MIGRATIONS", "migrations")
    assert isinstance(old, Chart)
    assert all(finding.status == "holds" for finding in examine(migrations[0], old, chart("order")))  # type: ignore[index]
    for trace, moved in [("add(price=5)", ("cart", 5, 0, 0)), ("add(price=5),pay", ("paid", 5, 5, 0)),
                         ("add(price=5),pay,send", ("completed", 5, 5, 0)), ("add(price=5),pay,drop", ("cancelled", 5, 0, 0))]:
        stored = Session.of(old)()
        for step in parse_trace(old, trace):
            stored.fire(step.event, **step.data)
        order = Session.of(chart("order")).restore(stored.snapshot(), migrations=migrations)  # type: ignore[arg-type]
        assert order.configuration == moved


def test_pairing_gives_up_and_blocks() -> None:
    clock = SimulatedClock()
    timers = Timers(clock)
    headset = timers.attach(walk("pairing", 'press,request(address="aa:bb")'))
    clock.advance(14)
    assert (headset.state, headset.configuration[2]) == ("connecting", 2)
    clock.advance(1)
    assert headset.state == "idle"
    blinking = timers.attach(walk("pairing", "press"))
    clock.advance(59)
    blinking.fire("press")
    clock.advance(59)
    assert blinking.state == "discoverable"
    clock.advance(1)
    assert blinking.state == "idle"
    blocked = walk("pairing", "press,request(address=x),answer,wrong_code,wrong_code,wrong_code")
    assert (blocked.state, any(blocked.verdicts().values())) == ("blocked", False)


def test_nobody_walks_while_anybody_drives() -> None:
    clock = SimulatedClock()
    crossing = Timers(clock).attach(walk("crossing", "press"))
    seen = []
    for _ in range(122):
        seen.append(crossing.state)
        clock.advance(1)
    assert seen[40:] == ["main_yellow"] * 3 + ["all_red"] * 2 + ["walk"] * 12 + ["side_green"] * 15 + ["side_yellow"] * 3 + [
        "main_green"] * 40 + ["main_yellow"] * 3 + ["all_red"] * 2 + ["side_green"] * 2  # fmt: skip
    broken = walk("crossing", "fault,blink,blink,repaired")
    assert broken.state == "all_red"


def test_change_is_given_or_nothing_is_sold() -> None:
    machine = walk("vending", "coin,coin,give_back,given,note(amount=20)")
    assert not machine.may("choose", price=15)
    assert machine.may("choose", price=20)
    machine = walk("vending", "coin,coin,choose(price=2),given,note(amount=5)")
    assert not machine.may("choose", price=2)
    machine.fire("choose", price=3, drink="tea")
    assert machine.configuration == ("giving", 0, 2, 0, 2)


def test_a_lift_passes_every_floor_and_stops_at_its_goal() -> None:
    lift = walk("lift", "call(to=3),passed,passed")
    assert lift.configuration == ("up", 2, 3)
    assert not lift.may("call", to=1)
    lift.fire("passed")
    assert lift.configuration == ("door_open", 3, 3)
    assert not walk("lift", "").may("call", to=4)
    assert walk("lift", "call(to=2),passed,late,condemned").state == "out_of_order"


def test_a_breaker_opens_at_the_third_failure_and_tries_again() -> None:
    clock = SimulatedClock()
    breaker = Timers(clock).attach(walk("breaker", "failure,success,failure,failure"))
    assert breaker.state == "closed"
    breaker.fire("failure")
    clock.advance(30)
    assert breaker.state == "half_open"
    clock.advance(10)
    assert breaker.state == "open", "no answer is a failure, too"
    clock.advance(30)
    breaker.fire("success")
    assert breaker.state == "closed"
    assert walk("breaker", "failure(lost=7)").state == "open"


if __name__ == "__main__":
    for one in CHARTS:
        (FOLDER / f"{one}.svg").write_text(drawing(one))
