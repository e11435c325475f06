"""`fsm serve` as a program: its one line, its signals, its exit status, and one sentence for everything that is wrong."""

from __future__ import annotations

import select
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fsm.cli import main
from fsm.install import install_command
from fsm.mail.auth import Users, new_entry
from fsm.mail.demo.samples import SAMPLES
from tests.support import program

SERVE = [sys.executable, "-m", "fsm.cli", "serve"]


@contextmanager
def served(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The program, when it says that it is ready, and its addresses."""
    command = [*SERVE, "--inbound", "127.0.0.1:0", "--submission", "127.0.0.1:0", "--store", str(folder), *words]
    with program(*command) as process:
        assert process.stdout is not None
        ready, *words = process.stdout.readline().split()
        assert ready == "ready"
        yield process, dict(word.split("=", 1) for word in words)


def submit(address: str, *, inbound: bool = False) -> None:
    host, port = address.split(":")
    with smtplib.SMTP(host, int(port), timeout=120) as client:
        for sample in SAMPLES:
            if not sample.smtputf8:
                client.sendmail(sample.sender, sample.recipients, sample.content)


@contextmanager
def sinking(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The sink in a process of its own: its address, and the file of what it took."""
    file = tmp_path / "taken"
    with program(sys.executable, "-m", "tests.mail.sink", str(file)) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), file


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_by_the_plan_and_all_that_was_ready_is_sent(signum: signal.Signals, tmp_path: Path) -> None:
    with sinking(tmp_path) as (sink, file), served(tmp_path / "store", "--smarthost", sink) as (process, addresses):
        assert (addresses["smarthost"], addresses["store"]) == (sink, str(tmp_path / "store"))
        submit(addresses["submission"])
        submit(addresses["inbound"])
        process.send_signal(signum)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out.startswith("released on NO_WAIT (COMPLETE)")) == (0, True), (out, err)
        assert "  3. cancel 3s    what is in flight is stopped" in err
        assert f"store: {signum.name}: NO_WAIT 20s: " in err
        assert len(file.read_text().splitlines()) == len(SAMPLES) - 1
        assert len(list((tmp_path / "store" / "inbox" / "new").iterdir())) == len(SAMPLES) - 1


def _answer(process: subprocess.Popen[str]) -> str:
    """Send SIGTERM, again if it came together with the one before and did not count, and return the line that answers it."""
    assert process.stderr is not None
    process.send_signal(signal.SIGTERM)
    while not select.select([process.stderr], [], [], 0.5)[0]:
        process.send_signal(signal.SIGTERM)
    return process.stderr.readline()


def test_each_further_signal_takes_the_next_step_and_the_last_one_ends_it(tmp_path: Path) -> None:
    with served(tmp_path / "store", "--plan", "ORDERLY 60s -> NO_WAIT 60s", "--smarthost", "127.0.0.1:9") as (process, addresses):
        assert process.stderr is not None
        host, port = addresses["inbound"].split(":")
        with smtplib.SMTP(host, int(port), timeout=120) as client:
            client.ehlo("me")
            for command in ("MAIL FROM:<a@b.c>", "RCPT TO:<d@e.f>", "DATA"):
                client.docmd(command)
            for _ in range(4):
                process.stderr.readline()  # the ladder
            for step, then in (("ORDERLY 60s", "the next signal takes NO_WAIT 60s"), ("NO_WAIT 60s", "with the next signal the plan ends")):
                line = _answer(process)
                assert line.startswith(f"store: SIGTERM: {step}: ")
                assert then in line
            _answer(process)
            out, err = process.communicate(timeout=120)
        assert process.returncode == 75, err
        assert out.startswith("not released, draining")
        assert "in the way: inbound in-1 from 127.0.0.1" in out


@pytest.mark.parametrize(("words", "status", "expected"), [
    (["--store", "{}", "--inbound", "0.0.0.0:0"], 2, "the owners of its mail (--owner), or TLS"), (["--store", "{}"], 2, "nothing to do"), (["--inbound", "127.0.0.1:0"], 2, "--store FOLDER"),
    (["--store", "{}", "--inbound", "nonsense"], 2, "--inbound is HOST:PORT"), (["--store", "{}", "--inbound", "127.0.0.1:0", "--plan", "FLY 3s"], 2, "no step of a plan"),
    (["--store", "{}", "--inbound", "127.0.0.1:0", "--plan", ""], 2, "no step of a plan"), (["--store", "{}", "--inbound", "127.0.0.1:0", "--max-size", "1"], 2, "the limit size"),
    (["--store", "{}", "--inbound", "127.0.0.1:0", "--certificate", "/none"], 2, "cannot read the certificate"),
    (["--store", "{}", "--inbound", "127.0.0.1:0", "--hostname", "a b"], 2, "host name"), (["--store", "/dev/null/x", "--inbound", "127.0.0.1:0"], 1, "/dev/null"),
    (["--store", "/proc/nowhere", "--inbound", "127.0.0.1:0"], 1, "/proc/nowhere"),
    (["--store", "{}", "--inbound", "127.0.0.1:0", "--smarthost", "127.0.0.1:25", "--smarthost-password", "/none"], 2, "cannot read the password"),
    (["--store", "{}", "--inbound", "127.0.0.1:0", "--smarthost", "127.0.0.1:25", "--smarthost-user", "joe"], 2, "neither of them empty"),
])  # fmt: skip
def test_what_is_wrong_is_one_sentence(words: list[str], status: int, expected: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *(word.format(tmp_path / "store") for word in words)]) == status
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("fsm serve: ")
    assert expected in err


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with served(tmp_path / "one") as (_, addresses):
        done = subprocess.run([*SERVE, "--store", tmp_path / "two", "--inbound", addresses["inbound"]], capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr == f"fsm serve: cannot listen for inbound mail at {addresses['inbound']}: it is in use; stop what listens there, or take port 0 for a free one\n"


def test_a_line_for_the_users_file(tmp_path: Path) -> None:
    done = subprocess.run([*SERVE, "--new-user", "joe"], input="secret\n", capture_output=True, text=True, check=True)
    (tmp_path / "users").write_text(done.stdout)
    assert Users(tmp_path / "users").accepts(b"joe", b"secret")
    assert subprocess.run([*SERVE, "--new-user", "a:b"], input="secret\n", capture_output=True, text=True).returncode == 2
    assert subprocess.run([*SERVE, "--new-user", "joe"], input="", capture_output=True, text=True).stderr == "fsm serve: a password cannot be empty\n"


def test_the_store_loads_no_mail_library() -> None:
    code = "import sys, fsm, fsm.logoff, fsm.cli, fsm.mail, fsm.commands.serve, fsm.commands.stores, fsm.mail.control; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name.startswith(("aiosmtp", "sqlalchemy"))] == []


@pytest.mark.parametrize("library", ["sqlalchemy"])
def test_a_library_that_is_missing_is_named(library: str, tmp_path: Path) -> None:
    code = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        return None
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == {library!r} else real(name, *rest)
from fsm.cli import main
sys.exit(main(["serve", "--store", {str(tmp_path)!r}, "--inbound", "127.0.0.1:0"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, f"fsm serve: serving mail needs {library}; install it with: {install_command('mail')}\n")


def test_without_a_smarthost_nothing_waits_for_what_nobody_sends(tmp_path: Path) -> None:
    with served(tmp_path / "store") as (process, addresses):
        host, port = addresses["submission"].split(":")
        with smtplib.SMTP(host, int(port), timeout=120) as client:
            client.sendmail("a@example.org", ["b@example.net"], "Subject: x\r\n\r\nx\r\n")
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=120)
    assert "there is no smarthost: what is submitted stays in the outbox" in errors
    assert "released on ORDERLY (COMPLETE OUTBOUND_QUEUE)" in out
    assert process.returncode == 0


@pytest.mark.parametrize(("words", "expected"), [
    (["--smarthost-user", "me"], "--smarthost-user needs --smarthost HOST:PORT"),
    (["--smarthost-timeout", "3"], "--smarthost-timeout needs --smarthost HOST:PORT"),
    (["--lmtp"], "--lmtp needs --inbound HOST:PORT"),
    (["--owner", "a@example.org"], "--owner needs --inbound HOST:PORT"),
    (["--users", "none", "--certificate", "none"], "cannot read"),
])  # fmt: skip
def test_an_option_that_would_do_nothing_and_a_file_that_is_not_there_are_refused(words: list[str], expected: str, tmp_path: Path) -> None:
    done = subprocess.run([*SERVE, "--submission", "127.0.0.1:0", "--store", str(tmp_path / "store"), *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"fsm serve: {expected}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_folder_that_is_removed_under_a_server_is_answered_no_more(tmp_path: Path) -> None:
    with served(tmp_path / "store", "--plan", "ORDERLY 1s") as (process, addresses):
        host, port = addresses["submission"].split(":")
        (tmp_path / "store").rename(tmp_path / "removed")  # at once, where the server may still be writing
        shutil.rmtree(tmp_path / "removed")
        with smtplib.SMTP(host, int(port), timeout=120) as client, pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail("a@example.org", ["b@example.net"], "Subject: x\r\n\r\nx\r\n")
        assert refused.value.smtp_code == 451
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
    assert "was removed or replaced while it was open" in errors
    assert "Traceback" not in errors
    assert process.returncode == 75


def test_a_reader_who_has_gone_does_not_change_the_outcome(tmp_path: Path) -> None:
    with served(tmp_path / "store") as (process, _):
        assert process.stdout is not None
        process.stdout.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0


@pytest.mark.parametrize("signum", [signal.SIGUSR1, signal.SIGQUIT, signal.SIGALRM])
def test_what_would_end_a_program_starts_the_plan(signum: signal.Signals, tmp_path: Path) -> None:
    with served(tmp_path / "store") as (process, _):
        process.send_signal(signum)
        out, _ = process.communicate(timeout=120)
        assert (process.returncode, out[:8]) == (0, "released")


def test_hup_reads_the_certificate_and_the_users_anew_and_no_connection_is_lost(tmp_path: Path) -> None:
    users, pem = tmp_path / "users", tmp_path / "c.pem"
    pem.write_bytes(Path("tests/mail/localhost.pem").read_bytes())
    users.write_text(new_entry("joe", "old") + "\n")
    with served(tmp_path / "store", "--users", str(users), "--certificate", str(pem)) as (process, addresses):
        assert process.stderr is not None
        host, port = addresses["submission"].split(":")

        def code(password: str) -> int:
            with smtplib.SMTP("localhost", int(port), timeout=120) as client:
                client.starttls(context=ssl.create_default_context(cafile="tests/mail/localhost.pem"))
                client.ehlo("me")
                return client.docmd("AUTH PLAIN " + b64encode(f"\0joe\0{password}".encode()).decode())[0]

        with smtplib.SMTP(host, int(port), timeout=120) as kept:
            kept.ehlo("me")
            for text, expected, codes in (
                (new_entry("joe", "new"), "were read anew", (235, 535)), ("nonsense", "stay as they were", (235, 535)),
            ):  # fmt: skip
                users.write_text(text + "\n")
                process.send_signal(signal.SIGHUP)
                while expected not in process.stderr.readline():
                    pass
                assert (code("new"), code("old")) == codes
            assert kept.noop()[0] == 250


def test_a_log_that_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    with served(tmp_path / "store", "-vv", "--smarthost", "127.0.0.1:9") as (process, addresses):  # its standard error is a pipe that is not read
        host, port = addresses["submission"].split(":")
        with smtplib.SMTP(host, int(port), timeout=120) as client:
            for _ in range(600):
                client.sendmail("a@example.org", [f"{'b' * 60}@example.net"], "Subject: x\r\n\r\nx\r\n")
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) in (0, 75)


@pytest.mark.parametrize("files", [40, 120])
def test_more_connections_than_files_are_one_line_a_second_and_the_rest_is_served(files: int, tmp_path: Path) -> None:
    code = f"import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files})); from fsm.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "serve", "--submission", "127.0.0.1:0", "--store", str(tmp_path / "store")]
    with program(*command) as process:
        assert process.stdout is not None
        host, _, port = process.stdout.readline().split("submission=")[1].split()[0].rpartition(":")
        idle = [socket.create_connection((host, int(port))) for _ in range(files + 20)]
        assert idle[0].recv(100).startswith(b"220")
        for one in idle[1:]:
            one.close()
        idle[0].sendall(b"EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n")
        with idle[0], idle[0].makefile("rb") as replies:
            while not replies.readline().startswith(b"354"):
                pass
            idle[0].sendall(b"Subject: x\r\n\r\nx\r\n.\r\n")
            assert replies.readline().startswith(b"250")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
        assert "too few for 2000 sessions" in err
        assert "Traceback" not in err
        assert len(err.splitlines()) < 40
