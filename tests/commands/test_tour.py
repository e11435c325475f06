"""`fsm tour`: all of it runs, on real servers; and it says so when a message is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fsm.cli import main
from fsm.journal import replay
from fsm.logoff import LOGOFF
from fsm.mail.demo import tour
from fsm.mail.demo.sink import Delivered, SmtpSink


def test_every_message_of_every_stop_is_accounted_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["tour", "--folder", str(tmp_path)])
    out, errors = capsys.readouterr()
    assert (status, errors) == (0, ""), out
    assert len(re.findall(r"^submitted|^  submitted", out, re.MULTILINE)) == len(tour.STOPS) == 7
    assert re.search(r"\n7 stores, \d+ messages accepted, 0 lost, 0 duplicated, in \d+ s\.\n", out)
    for submitted, delivered, queued, held in re.findall(r"submitted +(\d+) = (\d+) delivered \+ (\d+) in the outbox \+ (\d+) held", out):
        assert int(submitted) == int(delivered) + int(queued) + int(held)
    for received, inbox in re.findall(r"received +(\d+) = (\d+) in the inbox", out):
        assert received == inbox != "0"
    assert "MISSING" not in out
    for stop in tour.STOPS:
        with (tmp_path / f"{stop.name}.jsonl").open("rb") as journal:
            assert replay(LOGOFF, journal) is None
    (page,) = [page for page in tmp_path.glob("*.html") if page.name != "explorer.html"]
    assert page.stem in [stop.name for stop in tour.STOPS]
    first = re.findall("explorer.html#([a-z_]+),", page.read_text())
    assert len(first) == 2, "the page goes there by itself, or by its link"
    assert set(first) <= {"inbound_begin", "submit", "peer_opened"}


class Forgetful(SmtpSink):
    """Says that it has taken each message, and forgets the first."""

    forgotten = ""

    def keep(self, message: Delivered) -> None:
        if self.forgotten:
            super().keep(message)
        self.forgotten = self.forgotten or message.message_id


def test_a_missing_message_is_named_and_the_exit_status_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tour, "SmtpSink", Forgetful)
    status = main(["tour", "--folder", str(tmp_path), "--only", "NO_WAIT"])
    out = capsys.readouterr().out
    assert status == 1
    assert re.search(r"MISSING +<\d+\..+@samples\.example\.org>", out)
    assert "1 lost" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--only", "HURRY"], "there is no stop 'HURRY'; choose one of QUIET, ABORT"),
        (["--folder", "/dev/null/x"], "cannot use the folder /dev/null/x"),
    ],
)
def test_wrong_words_are_one_sentence(words: list[str], says: str, capsys: Any) -> None:
    assert main(["tour", *words]) == 2
    out = capsys.readouterr().err
    assert says in out
    assert out.count("\n") == 1


def test_a_folder_of_another_tour_is_left_alone(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "no_wait").mkdir()
    assert main(["tour", "--only", "no_wait", "--folder", str(tmp_path)]) == 2
    assert "from another tour" in capsys.readouterr().err
