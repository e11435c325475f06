"""The command line: what there is, and one sentence for what there is not."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from fsm._version import __version__
from fsm.cli import COMMANDS, main


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert [name for name, what in COMMANDS.items() if f"{name} {what}" not in told] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"usage: fsm {name}" in capsys.readouterr().out
    assert import_module(f"fsm.commands.{name}").__doc__


@pytest.mark.parametrize("words", [[], ["nothing"], ["replay", "--nothing"], ["replay", "a", "b"]])
def test_wrong_words_are_refused_with_the_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: fsm")


def test_the_installed_command_says_its_version() -> None:
    done = subprocess.run([f"{sys.exec_prefix}/bin/fsm", "--version"], capture_output=True, text=True)
    assert done.stdout == f"fsm {__version__}\n"
