"""The command line: what there is, and one sentence for what there is not."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from keyword import iskeyword
from pathlib import Path

import pytest

from fsm._version import __version__
from fsm.cli import COMMANDS, main


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    output = " ".join(capsys.readouterr().out.split())
    assert [name for name, what in COMMANDS.items() if f"{name} {what}" not in output] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"usage: fsm {name}" in capsys.readouterr().out
    assert import_module(f"fsm.commands.{name}{'_' * iskeyword(name)}").__doc__


def test_help_is_a_command_too(capsys: pytest.CaptureFixture[str]) -> None:
    for words, same in (([], []), (["draw"], ["draw"])):
        assert main(["help", *words]) == 0
        told = capsys.readouterr().out
        with pytest.raises(SystemExit):
            main([*same, "--help"])
        assert capsys.readouterr().out == told
    assert main(["help", "drew"]) == 2
    assert capsys.readouterr().err == "fsm help: there is no command 'drew'; did you mean draw?\n"


@pytest.mark.parametrize(("words", "message"), [
    (["nothing"], "fsm: argument COMMAND: invalid choice: 'nothing' (choose from "),
    (["--nothing"], "fsm: "),
    (["replay", "--nothing"], "fsm replay: unrecognized arguments: --nothing; "),
    (["replay", "a", "b"], "fsm replay: unrecognized arguments: b; "),
    (["serve", "--connections", "x"], "fsm serve: argument --connections: it takes a whole number, not 'x'; "),
    (["serve", "--retry", "1", "x", "2"], "fsm serve: argument --retry: it takes a number, not 'x'; "),
    (["draw", "--path", "1", "--flag", "2"], "fsm draw: argument --flag: not allowed with argument --path; "),
])  # fmt: skip
def test_wrong_words_are_one_sentence(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(message)
    assert said.endswith(f"; {message.partition(':')[0]} --help tells what there is\n")
    assert said.count("\n") == 1


def test_without_words_the_commands_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    output = capsys.readouterr().err
    assert [name for name in COMMANDS if f"    {name} " not in output.replace("\n", " ")] == []


def test_the_installed_command_says_its_version() -> None:
    done = subprocess.run([f"{sys.exec_prefix}/bin/fsm", "--version"], capture_output=True, text=True)
    assert done.stdout == f"fsm {__version__}\n"


@pytest.mark.parametrize(("words", "message"), [
    (["step", "--chart", "tests.hostile:FAILING", "--trace", "go"], "ZeroDivisionError"),
    (["check", "--chart", "tests.hostile:FAILING"], "ZeroDivisionError"),
    (["draw", "--timeout=1e10", "--renderer", "dot"], "OverflowError"),
])  # fmt: skip
def test_what_nobody_expected_is_one_sentence_too(words: list[str], message: str) -> None:
    done = subprocess.run([sys.executable, "-m", "fsm.cli", *words], capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith(f"fsm {words[0]}: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_a_chart_with_names_of_everything_is_checked() -> None:
    done = subprocess.run([sys.executable, "-m", "fsm.cli", "check", "--chart", "tests.hostile:TAKEN"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("answer", ["garbage", "<svg><script>x</script></svg>"])
def test_a_program_that_only_calls_itself_dot_is_found_out(answer: str, tmp_path: Path) -> None:
    dot = tmp_path / "dot"
    dot.write_text(f"#!/bin/sh\n/bin/cat > /dev/null\necho '{answer}'\n")
    dot.chmod(0o755)
    for format, asked in (("svg", "json"), ("png", "png")):  # an SVG is drawn from the layout that dot gives as JSON
        done = subprocess.run([sys.executable, "-m", "fsm.cli", "draw", "--renderer", "dot", "--format", format], capture_output=True, text=True, env={"PATH": str(tmp_path)})
        assert (done.returncode, done.stdout) == (1, "")
        assert f"answered with something that is no {asked}" in done.stderr
