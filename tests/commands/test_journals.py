"""The journal in a store's database, for the commands that read journals: a SQLite file, or a PostgreSQL URL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from fsm.commands.explore_server import _follow, messages
from fsm.commands.journals import is_database
from fsm.install import install_command
from fsm.logoff import LOGOFF
from tests.commands.test_explore import serving
from tests.store.conftest import Place, database, server  # noqa: F401 - fixtures
from tests.store.sql.test_journal import WALK, RecordedSession, recorded
from tests.support import program

FSM = [sys.executable, "-m", "fsm.cli"]


def fsm(*words: str) -> tuple[int, str, str]:
    done = subprocess.run([*FSM, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_replay_answers_a_databases_journal(database: Place) -> None:  # noqa: F811
    recorded(database, "a", "b")
    status, out, errors = fsm("replay", "--strict", database.where)
    assert (status, errors) == (0, "")
    answers = [json.loads(line) for line in out.splitlines()]
    assert [one["event"] for one in answers if one["session"] == "a"] == [*WALK]
    assert answers[-1]["state"] == "released"


def test_step_walks_a_session_of_it(database: Place) -> None:  # noqa: F811
    recorded(database, "a", "b")
    status, out, errors = fsm("step", "--from", database.where, "--session", "b", "--format", "json")
    assert (status, errors) == (0, "")
    assert json.loads(out)["trace"] == ",".join(WALK)
    status, _, errors = fsm("step", "--from", database.where)
    assert status == 2
    assert "session" in errors


def test_the_explorer_follows_it_while_it_is_written(database: Place) -> None:  # noqa: F811
    storage, session = database.new(), RecordedSession("a")
    storage.open()
    with storage.transaction() as tx:
        session.begin(tx)
    with (
        serving(journal=database.where) as made,  # type: ignore[arg-type]
        urllib.request.urlopen(made.address + "events", timeout=120) as stream,
    ):

        def told() -> dict[str, Any]:
            while not (line := stream.readline()).startswith(b"data: "):
                assert line
            found: dict[str, Any] = json.loads(line[6:])
            return found

        assert told()["records"][0]["start"]
        for event in WALK:
            with storage.transaction() as tx:
                session.fire(tx, event)
            (record,) = told()["records"]
            assert (record["event"], record["at"]) == (event, session.session.snapshot())


def test_what_a_listener_is_told_ends_when_it_is_stopped(database: Place) -> None:  # noqa: F811
    recorded(database, "a")
    stop = Event()
    stop.set()
    journal = _follow(database.where, stop, lambda: None)
    found = list(messages(LOGOFF, journal))
    journal.close()
    assert sum(len(one["records"]) for one in found) == 1 + len(WALK)  # type: ignore[arg-type, misc]
    assert found[-1]["over"] == "the server was stopped"


def test_the_command_follows_a_database(database: Place) -> None:  # noqa: F811
    recorded(database, "a")
    command = [*FSM, "explore", "--bound", "inbound + outbound + ready + deferred + peers <= 1", "--serve", "--no-open", "--journal", database.where]
    with program(*command) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        address = process.stdout.readline().split()
        assert address, process.stderr.read()
        with urllib.request.urlopen(address[0], timeout=120) as response:
            assert b"store" in response.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0


@pytest.mark.parametrize("command", [("replay",), ("step", "--from"), ("explore", "--serve", "--no-open", "--journal")])
def test_a_database_that_holds_no_store_or_is_not_there_is_said(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "bad.db").write_bytes(b"SQLite format 3\0" + b"\xa5" * 4000)
    for where, means in ((tmp_path / "bad.db", "bad.db is "), (f"postgresql://me:secret@/x?host={tmp_path}", "cannot be reached")):
        status, out, errors = fsm(*command, str(where))
        assert (status, out) == (2, "")
        assert means in errors
        assert errors.startswith(f"fsm {command[0]}: ")
        assert len(errors.splitlines()) == 1
        assert "secret" not in errors


def test_without_the_library_it_is_said_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"SQLite format 3\0" + bytes(100))
    script = "import sys; sys.modules['sqlalchemy'] = None; from fsm.cli import main; sys.exit(main(['replay', sys.argv[1]]))"
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "store.db"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"fsm replay: a store's database needs sqlalchemy: {install_command('store')}\n"


def test_what_is_a_database(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"SQLite format 3\0 and so on")
    (tmp_path / "a.jsonl").write_bytes(b'{"journal": 1}')
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "secret").touch(0)
    found = {name: is_database(str(tmp_path / name)) for name in ("a.db", "a.jsonl", "empty", "pipe", "secret", "none", "", "a\0b")}
    assert [name for name, ledger in found.items() if ledger] == ["a.db"]
    assert is_database("postgresql://x/y")
    assert not is_database("-")


def test_replaying_a_file_loads_no_database_library(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"event": "submit"}\n')
    script = "import sys; from fsm.cli import main; main(['replay', sys.argv[1]]); print([m for m in sys.modules if m in ('sqlalchemy', 'psycopg', 'http.server')])"
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "a.jsonl"], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
