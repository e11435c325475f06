"""A store in gunicorn's workers: the hooks, the answers, and a worker that is killed while another is told to reload.

What its other classes of workers do is tested with the examples.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from fsm.contrib.gunicorn import serving
from fsm.store import Store
from tests.contrib.embedding import (
    ANSWERED,
    EMBEDDING,
    EXAMPLES,
    MESSAGES,
    Remote,
    Run,
    over_http,
    started,
    told_to_end,
    until,
)


def ask(application: object, path: str) -> tuple[str, dict[str, str], bytes]:
    said: list[tuple[str, dict[str, str]]] = []
    body = b"".join(application({"PATH_INFO": path}, lambda status, headers: said.append((status, dict(headers)))))  # type: ignore[operator]
    return (*said[0], body)


def test_the_answers_while_it_serves_and_while_it_closes() -> None:
    mail = serving(Store, "ORDERLY 5s")

    def application(environ: object, start_response: object) -> list[bytes]:
        mail.store.submit(b"one")
        start_response("200 OK", [])  # type: ignore[operator]
        return [b"taken"]

    guarded = mail.middleware(application)
    assert ask(guarded, "/ready")[0] == "503 Service Unavailable"
    with pytest.raises(RuntimeError, match=r"write `post_worker_init, worker_exit = .* into gunicorn.conf.py"):
        _ = mail.store
    mail.open()
    assert ask(guarded, "/ready")[0] == "200 OK"
    assert ask(guarded, "/mail")[2] == b"taken"
    mail.store.begin_closing("ORDERLY 5s")
    assert ask(guarded, "/ready")[0] == "503 Service Unavailable"
    assert ask(guarded, "/live")[0] == "200 OK"
    status, headers, body = ask(guarded, "/mail")
    assert (status, headers["Retry-After"]) == ("503 Service Unavailable", "5")
    assert b"the store is" in body
    mail.worker_exit(None, None)
    mail.worker_exit(None, None)
    assert ask(guarded, "/ready")[0] == "503 Service Unavailable"


def test_a_worker_that_fails_is_said_and_the_server_is_not_ready() -> None:
    def broken(store: Store) -> None:
        raise LookupError("no smarthost")

    mail = serving(Store, workers=[broken])
    mail.open()
    mail.close()
    assert ask(mail.middleware(lambda environ, start: []), "/ready")[2].endswith(b"broken has failed: LookupError: no smarthost")


def test_a_plan_that_gunicorn_would_cut_off_is_named(caplog: pytest.LogCaptureFixture) -> None:
    mail = serving(Store, "ORDERLY 30s -> cancel 3s")
    with caplog.at_level(logging.WARNING):
        mail.post_worker_init(SimpleNamespace(cfg=SimpleNamespace(graceful_timeout=30)))
    mail.worker_exit(None, None)
    assert "the plan ORDERLY 30s -> cancel 3s may take 33 s, and gunicorn kills a worker after 30 s" in caplog.text


def test_threads_that_were_patched_too_late_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "Lock", object())
    with pytest.raises(RuntimeError, match=r"begin gunicorn.conf.py with `from gevent import monkey; monkey.patch_all\(\)`"):
        serving(Store).post_worker_init(SimpleNamespace(cfg=SimpleNamespace(graceful_timeout=30)))


def test_nothing_is_lost_when_a_worker_is_killed_and_the_others_reload(tmp_path: Path) -> None:
    example = EXAMPLES[1]
    for file in [*(EMBEDDING / example.folder).glob("*.py"), EMBEDDING / "remote.py"]:
        shutil.copy(file, tmp_path)
    log = tmp_path / "log"
    with Remote() as remote, started(example, "program", tmp_path, remote, "") as run:
        assert over_http(run) == len(MESSAGES)
        assert remote.wait(lambda: len(remote.delivered) == ANSWERED and remote.waiting > 0)
        os.kill(workers(log)[0], signal.SIGKILL)
        until(lambda: len(workers(log)) == 3, run.process, tmp_path)
        run.process.send_signal(signal.SIGHUP)
        until(lambda: len(workers(log)) == 5, run.process, tmp_path)
        remote.answer_again()
        assert remote.wait(lambda: len(set(remote.delivered)) == len(MESSAGES)), log.read_text()
        assert ended(run) == 0
        assert len(remote.delivered) == len(MESSAGES)
        remote.shutdown()


def ended(run: Run) -> object:
    return told_to_end(run, signal.SIGTERM)[0]


def workers(log: Path) -> list[int]:
    return [int(line.rpartition(": ")[2]) for line in log.read_text().splitlines() if "Booting worker with pid" in line]
