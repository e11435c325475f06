"""Closing ends, whatever the storage does: while it is still silent, so that nothing but the end itself proves it."""

from __future__ import annotations

import json
import os
import re
import signal
import smtplib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fsm.store import Database, Store
from fsm.store.signals import TOGETHER
from tests.store.silence import FILES, SERVERS, Silence, of_file, of_server

ROOT = Path(__file__).parents[2]
PLAN = "NO_WAIT 0.4s -> ORDERLY 0.3s -> cancel 0.3s"
LONG = "ORDERLY 60m -> cancel 60m"
TERM, INT = signal.SIGTERM, signal.SIGINT


@contextmanager
def child(silence: Silence, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A Python with a runtime folder of its own.  It ends with the block at the latest."""
    pipe = subprocess.PIPE
    with tempfile.TemporaryDirectory(prefix="fsm-") as folder:
        env = {**os.environ, **silence.env, "XDG_RUNTIME_DIR": folder}
        with subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                yield process
            finally:
                process.kill()


def told(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr and process.stderr.read()
    return json.loads(line)


@pytest.mark.parametrize("face", ["threads", "asyncio", "spooler"])
@pytest.mark.parametrize("way", [*SERVERS, *FILES])
def test_closing_ends_while_the_storage_is_silent_and_all_is_settled_when_it_is_opened_again(
    way: str, face: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        if way in SERVERS:
            server = request.getfixturevalue("server")
            where = server.new()
            name = where.partition("@")[2].partition("?")[0]
            silence = stack.enter_context(of_server(way, server))
        else:
            where = name = str(tmp_path / "store.db")
            silence = stack.enter_context(of_file(way, tmp_path / "store.db", tmp_path))
        process = stack.enter_context(child(silence, "tests.store.closing_child", where, face, PLAN))
        begun = told(process)
        silence.begin()
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        outcome = told(process)
        results = told(process)["results"]
        assert process.wait() == 0, process.stderr and process.stderr.read()
        silence.end()
    assert not outcome["ended"]
    (storage,) = outcome["storage"]
    assert storage in outcome["text"]
    assert re.search(rf"^storage .*{name}.*, [0-9.]+ s, .*(no answer to: [a-z]|is locked)", storage), "its name, since when, and what is under way"
    assert [step.partition(" ")[0] for step in outcome["steps"] if not step.startswith("could not ask")] == ["NO_WAIT", "ORDERLY", "cancel"]
    with Store(Database(where, store="mine" if face == "spooler" else "default")) as store:
        found = {message.id: message for message in store.messages()}
        first = found.pop(begun["first"], None)
        assert first is None or (first.state, first.uncertain) == ("ready", 1)
        assert {*begun["ids"]} - {begun["first"]} <= {*found}
        more = {*found} - {*begun["ids"]}
        assert len(more) <= 1, "what was under way is there once, or not at all"
        if results[0] in found:
            assert more == {results[0]}
        else:
            assert "may have been made" in results[0] or not more, results
        assert store.close("ORDERLY 60s")


@pytest.mark.parametrize("way", FILES)
@pytest.mark.parametrize("plan", [PLAN, LONG], ids=["in its time", "by signals"])
def test_a_server_exits_while_its_storage_is_silent_and_each_signal_takes_its_step(way: str, plan: str, tmp_path: Path) -> None:
    place = tmp_path / "store"
    with of_file(way, place / "outbox.db", tmp_path) as silence:
        words = ("fsm.cli", "serve", "--submission", "127.0.0.1:0", "--store", str(place), "--plan", plan)
        with child(silence, *words) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            ready = process.stdout.readline()
            host, _, port = ready.split("submission=")[1].split()[0].rpartition(":")
            with smtplib.SMTP(host, int(port)) as client:
                client.sendmail("a@example.org", ["b@example.net"], b"Subject: x\r\n\r\nkept\r\n")
                silence.begin()
                for command in ("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA"):
                    assert client.docmd(command)[0] < 400
                client.send(b"Subject: y\r\n\r\nnever answered\r\n.\r\n")
                signals = [TERM, INT, TERM] if plan == LONG else [TERM]
                for number in signals:
                    time.sleep(TOGETHER)  # sooner, it would count as the same one
                    process.send_signal(number)
                    while not (line := process.stderr.readline()).startswith(f"store: {number.name}: "):
                        assert line, "it ended before"
                assert process.wait(60) == 75
            said = process.stdout.read()
        assert "not released" in said
        assert f"storage {place / 'outbox.db'}" in said
        silence.end()
    with Store(Database(place / "outbox.db")) as store:
        kept, *others = store.messages()
        assert store.message(kept.id).content.endswith(b"kept\r\n")
        assert [one.state for one in (kept, *others)] in (["ready"], ["ready"] * 2), "nobody was told of the second"
        assert store.close("ORDERLY 60s")
