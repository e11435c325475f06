"""The units and the configuration of `examples/deploy`, as they are committed, under a real systemd."""

from __future__ import annotations

import os
import smtplib
import ssl
from contextlib import ExitStack
from io import FileIO
from pathlib import Path

import pytest

from fsm.mail.auth import new_entry
from tests.commands.systemd import NoSystemd, Systemd, systemd

DEPLOY = Path(__file__).parents[2] / "examples" / "deploy"
PEM = Path(__file__).parents[1] / "mail" / "localhost.pem"
UNIT, SOCKETS = "fsm-mail.service", ("fsm-mail-inbound.socket", "fsm-mail-submissions.socket")
USER = 5_000
FILES = {
    **{f"etc/systemd/system/{unit}": (DEPLOY / unit).read_text() for unit in (UNIT, *SOCKETS)},
    f"etc/systemd/system/{UNIT}.d/test.conf": "[Service]\nWatchdogSec=5\nStandardError=append:/log\n",
    "etc/fsm/mail.toml": (DEPLOY / "mail.toml").read_text(),
    "etc/fsm/mail.pem": PEM.read_text(),
}


class Client(smtplib.SMTP):
    """A client whose connection is there at once; its greeting is still to be read."""

    def __init__(self, there: Systemd) -> None:
        self.there = there
        super().__init__("localhost", 25)

    def connect(self, host: str = "", port: int = 0, source_address: object = None) -> tuple[int, bytes]:
        self.sock = self.there.connect(port)
        return 220, b""


def opened(fifo: Path) -> FileIO | None:
    """Open a FIFO to write into it, if somebody waits for that."""
    try:
        return FileIO(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK), "w")
    except OSError:
        return None


def test_systemd_hands_over_sockets_sees_it_ready_restarts_it_when_it_hangs_and_stops_it_by_its_plan() -> None:
    files = {**FILES, "etc/fsm/users": new_entry("joe", "secret"), "etc/fsm/new": "secret"}
    with ExitStack() as booted:
        try:
            there = booted.enter_context(systemd({"fsm-mail": USER}, files))
        except NoSystemd as lack:
            pytest.skip(str(lack))
        password = there.root / "etc/fsm/password"
        os.mkfifo(password)
        there.ctl("start", *SOCKETS)
        assert there.shows(UNIT, "ActiveState") == "inactive"
        first = Client(there)
        while (writer := opened(password)) is None:
            assert there.shows(UNIT, "ActiveState") != "failed"
        with writer:
            assert [there.shows(UNIT, name) for name in ("ActiveState", "SubState")] == ["activating", "start"]
            (there.root / "etc/fsm/new").replace(password)  # for the next start
            writer.write(b"secret")
        assert first.getreply()[0] == 220
        there.ctl("start", UNIT)
        assert [there.shows(UNIT, name) for name in ("ActiveState", "SubState", "NRestarts")] == ["active", "running", "0"]
        assert there.shows(UNIT, "StatusText").startswith("open: in ")

        there.ctl("kill", "--signal=STOP", UNIT)
        with pytest.raises(smtplib.SMTPServerDisconnected):
            first.getreply()
        first.close()
        there.ctl("start", UNIT)
        assert there.shows(UNIT, "NRestarts") == "1"

        second = Client(there)
        assert second.getreply()[0] == 220
        second.starttls(context=ssl.create_default_context(cafile=str(PEM)))
        second.ehlo()
        for command, code in (("MAIL FROM:<a@example.net>", 250), ("RCPT TO:<me@example.org>", 250), ("DATA", 354)):
            assert second.docmd(command)[0] == code
        there.ctl("stop", "--no-block", UNIT)
        assert there.until(UNIT, "StatusText", lambda status: not status.startswith("open: ")).startswith("draining: ")
        assert there.shows(UNIT, "ActiveState") == "deactivating"
        second.send(b"Subject: x\r\n\r\nhello\r\n.\r\n")
        assert second.getreply()[0] == 250
        second.close()
        there.ctl("stop", UNIT)
        assert [there.shows(UNIT, name) for name in ("ActiveState", "Result", "ExecMainStatus")] == ["inactive", "success", "0"]
        (message,) = (there.root / "var/lib/fsm-mail/inbox/new").iterdir()
        assert message.read_bytes().endswith(b"\nhello\n")
        assert message.stat().st_uid == USER
