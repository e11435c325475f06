"""The configuration file of `fsm serve`: every option may stand in it, all that is wrong is named, and SIGHUP reads it anew."""

from __future__ import annotations

import argparse
import os
import pwd
import signal
import smtplib
import socket
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import fsm
from fsm.cli import main
from fsm.commands.serve import add_arguments
from fsm.commands.serve_options import OPTIONS, Option, config_of, merged, read_file
from fsm.mail.config import Config
from fsm.mail.errors import ConfigError
from fsm.mail.owners import MailboxSettings
from tests.support import program

EXAMPLE = Path(__file__).parents[2] / "examples" / "deploy" / "mail.toml"


AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


def configured(file: Path, text: str, *words: str) -> Config:
    file.write_text(text)
    return config_of(*merged(parsed("--config", str(file), *words)))


def value_of(option: Option) -> tuple[str, list[str]]:
    """A value of an option other than its default, in a file and on the command line."""
    number = {"retry": ("[1, 2.5, 3]", ["1", "2.5", "3"]), "max-recipients": ("100", ["100"]), "max-size": ("70000", ["70000"])}
    if option.name in number:
        return number[option.name]
    texts = {"trust": "10.0.0.0/8", "proxy": "::1", "plan": "cancel 1s", "smarthost": "127.0.0.1:25", "sub-addresses": "+", "owner": "a@b.c"}
    if option.kind == "flag":
        return "true", []
    if option.choices:
        return f'"{option.choices[-1]}"', [option.choices[-1]]
    if option.kind in ("whole", "number"):
        return "99999999", ["99999999"]
    word = texts.get(option.name, "127.0.0.1:0" if option.metavar == "HOST:PORT" else "/x/y" if option.kind == "path" else "joe")
    return (f'["{word}"]' if option.kind == "texts" else f'"{word}"'), [word]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_means_the_same_in_the_file_as_on_the_command_line(name: str, tmp_path: Path) -> None:
    option, (text, words) = OPTIONS[name], value_of(OPTIONS[name])
    file = tmp_path / "mail.toml"
    file.write_text(f"{name} = {text}\n")
    line = ["-v"] * 99 if name == "verbose" else [f"--{name}", *words]
    in_file, on_line = merged(parsed("--config", str(file)))[0][option.key], merged(parsed(*line))[0][option.key]
    assert in_file == (99999999 if name == "verbose" else on_line)
    assert in_file != option.default


def test_the_command_line_goes_before_the_file_and_paths_are_relative_to_it(tmp_path: Path) -> None:
    config = configured(
        tmp_path / "mail.toml", 'store = "letters"\nsubmission = "127.0.0.1:0"\nowner = "a@example.org"\ninbound = "127.0.0.1:0"\nconnections = 7\nretry = [1, 2, 3]\n',
        "--connections", "3", "--max-size", "70000",
    )  # fmt: skip
    assert (config.folder, config.connections, config.limits.size) == (tmp_path / "letters", 3, 70000)
    assert (config.retry, config.owners) == ((1.0, 2.0, 3.0), ("a@example.org",))
    many = configured(tmp_path / "mail.toml", 'store = "letters"\ninbound = "127.0.0.1:0"\n[mailboxes.anna]\nowner = "a.b"\ninbox = "annas"\n[mailboxes.ben]\nuser = ["b", "c"]\n').mailboxes
    assert many == (MailboxSettings("anna", tmp_path / "annas", ("a.b",)), MailboxSettings("ben", tmp_path / "letters" / "mailboxes" / "ben", (), ("b", "c")))


@pytest.mark.parametrize(("text", "expected"), [
    ("max-sise = 1\nlmtp = 1\nretry = [1]\nstore = 3", ["'max-sise' is no option; is 'max-size' meant?", "lmtp is true or false, not 1", "retry is a list of numbers [FIRST, FACTOR, LONGEST]",
                                                        "store is a text (FOLDER), not 3"]),
    ('max-size = true\nmax-idle = "x"\nlog = "xml"\nowner = [1]', ["max-size is a whole number, not True", "max-idle is a number, not 'x'", "log is one of 'text', 'json'", "owner is a list of texts"]),
    ("store = 1 1", ["cannot read the configuration", "line 1"]), ("[limits]\nsize = 1", ["'limits' is no option"]), ('config = "x"', ["'config' is no option"]),
    ('submission = "127.0.0.1"\nplan = "FLY 1s"\nmax-size = 1\nmax-errors = 0\ntrust = "x"\nconnections = 0\nsmarthost = "127.0.0.1:25"\nsmarthost-rate = -1', [
        "--store FOLDER", "--submission is HOST:PORT", "--plan: ", "limit size", "limit errors", "--trust is an address", "connections to the smarthost are 1 to 1000", "--smarthost-rate is 0"]),
    ('store = "x"\nowner = "a@b.c"\nsubmission = "127.0.0.1:0"\n[mailboxes."a b"]\n[mailboxes.x]\nowner = "a@b.c"\n[mailboxes.y]\nowner = "A@b.c"', [
        "owner is that of a single mailbox", "not 'a b'", "a@b.c is owned by one mailbox, not both x and y"]),
    ("[mailboxes]\nx = 1", ["mailboxes is a table of tables"]), ("[mailboxes.x]\nowners = 'y'\nuser = 3", ["mailboxes.x: 'owners' is no option; is 'owner' meant?", "mailboxes.x: user is a text (NAME), not 3"]),
    ('store = "x"\nsubmission = "systemd"', ["systemd has handed over no socket named submission"]),
    ('store = "x"\nsubmission = "127.0.0.1:0"\nrun-as = "nobody-of-this-name"', ["--run-as: there is no user"]),
])  # fmt: skip
def test_all_that_is_wrong_is_named_in_one_sentence(text: str, expected: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mail.toml").write_text(text)
    assert main(["serve", "--config", str(tmp_path / "mail.toml")]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    assert [one for one in expected if one not in err] == [], err
    assert not (tmp_path / "x").exists() or "run-as" in text


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*none\.toml: No such file"):
        read_file(tmp_path / "none.toml")


def test_the_examples_name_options_only() -> None:
    assert set(read_file(EXAMPLE)[0]) <= {option.key for option in OPTIONS.values()}
    assert [*read_file(EXAMPLE.with_name("mailboxes.toml"))[1]] == ["anna", "ben", "office"]
    commented = [line.removeprefix("# ") for line in EXAMPLE.read_text().splitlines() if " = " in line and line.startswith("# ")]
    assert {*tomllib.loads("\n".join(commented))} <= {*OPTIONS}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, as that of a service; those of pytest are for its user only."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_service_tells_systemd_how_it_stands_takes_its_socket_becomes_its_user_and_reads_its_file_anew(open_folder: Path) -> None:
    file, told = open_folder / "mail.toml", socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(open_folder / "notify"))
    told.settimeout(120)
    (open_folder / "notify").chmod(0o777)
    me = pwd.getpwuid(os.getuid()).pw_name if os.geteuid() else "nobody"

    def until(word: str) -> str:
        while word not in (text := told.recv(4096).decode()):
            pass
        return text

    def write(size: int, more: str = "") -> None:
        file.write_text(
            f'store = "letters"\nsubmission = "systemd"\ninbound = "127.0.0.1:0"\nplan = "NO_WAIT 60s"\nrun-as = "{me}"\nmax-size = {size}\n{more}\n[mailboxes.anna]\n'
        )

    write(70000)
    with socket.create_server(("127.0.0.1", 0)) as handed:
        port, fd = handed.getsockname()[1], handed.fileno()
        environment = {**os.environ, "NOTIFY_SOCKET": str(open_folder / "notify"), "WATCHDOG_USEC": "200000", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "submission"}
        command = [sys.executable, "-c", AS_SYSTEMD, str(fd), "-m", "fsm.cli", "serve", "--config", str(file)]
        with program(*command, env=environment, pass_fds=[fd], cwd=Path(__file__).parents[2]) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            if me == "nobody" and not all(folder.stat().st_mode & 0o001 for folder in Path(fsm.__file__).parents):
                assert f"--run-as: nobody cannot read {Path(fsm.__file__).parent}; install fsm where" in process.communicate()[1]
                told.close()
                return  # the checkout is in a folder of root's
            assert "STATUS=open: " in until("READY=1")
            assert f"submission=127.0.0.1:{port} " in process.stdout.readline()
            until("WATCHDOG=1")
            identity = Path(f"/proc/{process.pid}/status").read_text()
            assert f"Uid:\t{pwd.getpwnam(me).pw_uid}\t{pwd.getpwnam(me).pw_uid}" in identity
            assert (open_folder / "letters").stat().st_uid == pwd.getpwnam(me).pw_uid
            with smtplib.SMTP("127.0.0.1", port, timeout=120) as client:
                client.ehlo("me")
                assert client.esmtp_features["size"] == "70000"
                for write_it, answer, size in (
                    (lambda: write(80000, 'connections = 2\nlog = "json"\n[mailboxes.ben]\nowner = "b@example.org"'), "these changes need a restart: connections", "80000"),
                    (lambda: "", '"message": "the mailbox ben was opened"', "80000"),
                    (lambda: write(1), "stay as they were: the limit size is at least", "80000"),
                ):
                    write_it()
                    process.send_signal(signal.SIGHUP)
                    until("RELOADING=1")
                    until("READY=1")
                    while answer not in process.stderr.readline():
                        pass
                    with smtplib.SMTP("127.0.0.1", port, timeout=120) as other:
                        other.ehlo("me")
                        assert other.esmtp_features["size"] == size
                assert client.noop()[0] == 250
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            until("STOPPING=1")
            process.communicate(timeout=120)
            assert process.returncode == 0
            assert time.monotonic() - began < 120
    told.close()
