"""`fsm sessions`: what is in a database, one session with its way and its possibilities, an event, and a migration."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from fsm.cli import main
from fsm.commands.explore_server import FollowedJournal, messages
from fsm.sessions import Sessions
from fsm.store import Database
from tests.sessions.shop import MIGRATIONS, OLD, ORDER, OldOrder, Order

OF = "tests.sessions.shop:Order"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shop(tmp_path: Path) -> str:
    where = str(tmp_path / "shop.db")
    with Sessions(Database(where), Order) as orders:
        orders.fire("order-17", "pay", amount=5, event_id="evt-901")
        orders.fire("order-17", "arrive")
        orders.fire("order-18", "pay", amount=7, by="express")
    return where


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        status = main(["sessions", *words])
        return status, *capsys.readouterr()

    return call


def test_list(shop: str, run: Run) -> None:
    status, out, _ = run("list", shop)
    assert status == 0
    assert {line.partition(" for ")[0] for line in out.splitlines()} == {
        "order-17 (order): paid, paid 5, tries 0,", "order-18 (order): shipping, paid 7, tries 0,",
    }  # fmt: skip
    assert "; something is due in 1.0 h" in out or "; something is due in 60.0 min" in out
    assert run("list", shop, "--state", "paid")[1].startswith("order-17 ")
    assert [json.loads(line)["key"] for line in run("list", shop, "--due", "--json")[1].splitlines()] == ["order-18"]
    assert run("list", shop, "--chart", "other")[1] == "no session is there\n"


def test_list_of_the_sessions_that_stay_in_a_state(tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    where = str(tmp_path / "shop.db")
    for key, hours in (("order-17", 1), ("order-18", 3)):
        with Sessions(Database(where), Order, clock=lambda hours=hours: time.time() - 3600 * hours) as orders:  # type: ignore[misc]
            orders.fire(key, "pay", amount=5)
    for age, keys in (("90s", {"order-17", "order-18"}), ("1.5 h", {"order-18"}), ("150m", {"order-18"}), ("2d", set())):
        lines = run("list", where, "--older-than", age, "--json")[1].splitlines()
        assert {json.loads(line)["key"] for line in lines} == keys
    for wrong in ("2", "d", "-1d", "2 weeks", "nan h", "inf d", "1.2.3 s", "\u0663d"):
        with pytest.raises(SystemExit, match="2"):
            main(["sessions", "list", where, f"--older-than={wrong}"])
        assert f"{wrong!r} is no duration; one is like 90s, 30min, 1.5h or 2d" in capsys.readouterr().err


def test_show(shop: str, run: Run) -> None:
    status, out, _ = run("show", shop, "order-17", "--of", OF)
    assert status == 0
    assert out.startswith("order-17: paid, paid 5, for ")
    assert "pay(amount=5, by=None) -> paid (id evt-901)" in out
    assert "arrive refused in paid: not legal in paid" in out
    assert "    ship: yes\n    remind: not legal in paid\n" in out


@pytest.mark.parametrize(("key", "begins", "events"), [("order-17", "open", ["pay", "arrive"]), ("old", "paid", ["ship"])])
def test_its_journal_is_opened_by_replay_the_stepper_and_the_explorer(
    key: str, begins: str, events: list[str], shop: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also that of a session which an older chart has begun."""
    with Sessions(Database(shop), OldOrder) as before:
        before.fire("old", "pay", amount=5)
    with Sessions(Database(shop), Order, migrations=MIGRATIONS) as orders:
        orders.fire("old", "ship")
        now = orders.get(key).configuration  # type: ignore[union-attr]
    journal = tmp_path / "journal.jsonl"
    journal.write_text(run("journal", shop, key, "--of", OF)[1])
    assert main(["replay", "--chart", "tests.sessions.shop:ORDER", str(journal)]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event"] for one in answers] == events
    assert (answers[-1]["state"], answers[-1]["paid"], answers[-1]["tries"]) == now
    assert main(["step", "--chart", "tests.sessions.shop:ORDER", "--from", str(journal), "--format", "json"]) == 0
    walk = json.loads(capsys.readouterr().out)
    assert (walk["start"]["state"], walk["steps"][-1]["state"]) == (begins, now[0])
    told = messages(ORDER, FollowedJournal(journal, stopped()))
    records = [record for message in told for record in message.get("records", ())]  # type: ignore[attr-defined]
    assert [record["event"] for record in records if "event" in record] == events


def stopped() -> Event:
    stop = Event()
    stop.set()
    return stop


def test_fire(shop: str, run: Run) -> None:
    words = ("fire", shop, "order-17", "pay", "amount=2", "by=7", "--of", OF, "--reason", "the bank called", "--id", "x")
    assert run(*words) == (0, "order-17: pay(amount=2, by='7') -> paid\n", "")
    assert run(*words)[1].endswith("-> paid (answered before)\n")
    assert "(id x) (note the bank called)" in run("show", shop, "order-17", "--of", OF)[1]
    assert run("fire", shop, "order-17", "lose", "--of", OF, "--reason", "x")[:2] == (1, "order-17: lose refused in paid: not legal in paid\n")


def test_migrate(tmp_path: Path, run: Run) -> None:
    where = str(tmp_path / "shop.db")
    with Sessions(Database(where), OldOrder) as orders:
        for number in range(3):
            orders.fire(f"{number}", "pay", amount=1)
    assert run("migrate", where, "--of", OF, "--dry-run") == (
        0, f"       3  settled of {OLD.fingerprint} -> paid\n3 sessions would be moved to {ORDER.fingerprint}\n", "",
    )  # fmt: skip
    assert run("migrate", where, "--of", OF)[1].endswith(f"3 sessions were moved to {ORDER.fingerprint}\n")
    assert run("migrate", where, "--of", OF)[1] == f"0 sessions were moved to {ORDER.fingerprint}\n"
    status, out, err = run("migrate", where, "--of", "tests.sessions.shop:OldOrder", "--dry-run")
    assert (status, err) == (1, f"fsm sessions: nothing was moved: 3 of 3 sessions cannot be moved to {OLD.fingerprint}\n")
    assert "cannot be moved: " in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("list", "nowhere.db"), "nowhere.db does not exist"),
        (("list", "{shop}", "x"), "list takes a database alone, not 'x'; use --state or --chart"),
        (("show", "{shop}", "order-17"), "show needs the session class or its chart: --of module:NAME"),
        (("show", "{shop}", "--of", OF), "show takes the key of a session; `fsm sessions list` lists them"),
        (("show", "{shop}", "x", "--of", OF), "order has no session 'x'"),
        (("journal", "{shop}", "x", "--of", OF), "order has no session 'x'"),
        (("show", "{shop}", "x", "--of", "tests.sessions.shop:HOUR"), "tests.sessions.shop:HOUR is neither a session class nor a chart"),
        (("fire", "{shop}", "order-17", "--of", OF), "fire takes a key and an event: fire DATABASE KEY EVENT NAME=VALUE"),
        (("fire", "{shop}", "x", "ship", "--of", OF), "say why the event is fired: --reason TEXT; it is recorded with the event"),
        (("fire", "{shop}", "x", "shp", "--of", OF, "--reason", "x"), "order has no event 'shp'; did you mean ship?"),
        (("fire", "{shop}", "x", "pay", "5", "--of", OF, "--reason", "x"), "the data of an event are NAME=VALUE, not '5'"),
        (("fire", "{shop}", "x", "pay", "amount=-5", "--of", OF, "--reason", "x"), "amount must be a whole number, 0 or more, not -5"),
        (("fire", "{shop}", "order-17", "ship", "--id", "evt-901", "--of", OF, "--reason", "x"), "it cannot be used for ship as well"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(words: tuple[str, ...], says: str, shop: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*(word.format(shop=shop) for word in words))
    assert (status > 0, out) == (True, "")
    assert err.startswith("fsm sessions: ")
    assert err.endswith(f"{says}\n")
    assert err.count("\n") == 1
    assert not Path("nowhere.db").exists()


def test_a_store_without_sessions_is_said(tmp_path: Path, run: Run) -> None:
    storage: Any = Database(tmp_path / "store.db")
    storage.open()
    storage.close()
    assert run("list", str(tmp_path / "store.db")) == (1, "", f"fsm sessions: {tmp_path / 'store.db'} contains no sessions\n")
