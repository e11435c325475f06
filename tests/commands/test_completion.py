"""`fsm completion`: each shell is asked itself what it would complete."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from fsm.cli import COMMANDS, main, make_parser
from fsm.commands.completion import SHELLS
from tests.commands.terminal import terminal

CASES: list[tuple[str, list[str]]] = [
    ("fsm dr", ["draw"]),
    ("fsm exp", ["explore", "export"]),
    ("fsm help st", ["step", "stores", "stubs"]),
    ("fsm completion ", ["bash", "fish", "zsh"]),
    ("fsm draw --fo", ["--format"]),
    ("fsm draw --format ", ["dot", "mermaid", "pdf", "png", "svg", "table"]),
    ("fsm draw --brief --renderer e", ["embedded"]),
    ("fsm check --chart my", ["my chart.py", "mychart.py"]),
    ("fsm replay my", ["my chart.py", "mychart.py"]),
    ("fsm stores log", ["logoff"]),
    ("fsm export --format x", ["xstate"]),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    for name in ("mychart.py", "my chart.py"):
        (folder / name).touch()
    return folder


def script(shell: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> Path:
    assert main(["completion", shell]) == 0
    (folder / shell).write_text(capfd.readouterr().out)
    return folder / shell


def wanted(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


def test_bash_completes(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wanted("bash")
    asked = [f"source {script('bash', folder, capfd)}"]
    for line, _ in CASES:
        words = line.split(" ")
        asked += [f"COMP_WORDS=({' '.join(word or chr(39) * 2 for word in words)}); COMP_CWORD={len(words) - 1}; COMPREPLY=()", "_fsm",
                  "printf '%s|' \"${COMPREPLY[@]}\"; echo"]  # fmt: skip
    done = subprocess.run(["bash", "--norc"], input="\n".join(asked), capture_output=True, text=True, cwd=folder)
    assert done.stderr == ""
    found = [sorted(one.split("|")[:-1]) for one in done.stdout.splitlines()]
    assert dict(zip([line for line, _ in CASES], found, strict=True)) == dict(CASES)


def test_fish_completes(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wanted("fish")
    asked = [f"source {script('fish', folder, capfd)}"]
    for line, _ in CASES:
        asked += [f"complete -C '{line}'", "echo ---"]
    done = subprocess.run(["fish", "--no-config"], input="\n".join(asked), capture_output=True, text=True, cwd=folder, env={**ENVIRONMENT, "HOME": str(folder)})
    assert done.stderr == ""
    blocks = done.stdout.split("---\n")[:-1]
    found = [sorted(one.partition("\t")[0].replace("\\ ", " ") for one in block.splitlines()) for block in blocks]
    assert dict(zip([line for line, _ in CASES], found, strict=True)) == dict(CASES)


ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TERM": "xterm"}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_tab_on_the_terminal_completes(shell: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wanted(shell)
    start = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}[shell]
    ready = {"bash": "", "zsh": "autoload -U compinit; compinit -u -D; unsetopt beep zle_bracketed_paste; "}[shell]
    file = script(shell, folder, capfd)
    with terminal(*start, folder=folder, HOME=str(folder)) as shown:
        shown.type(f"{ready}source {file}; PS1=; echo rea''dy\n")
        shown.until("ready\r\n")
        for typed, result in (("fsm dra\t", "w"), ("--rend\t", "erer"), (" emb\t", "edded"), (" --chart mych\t", "art.py")):
            shown.type(typed)
            shown.until(result)
        shown.type("\x15echo e''nd\n")
        shown.until("end\r\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_every_long_option_is_in_the_script(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    text = capfd.readouterr().out
    assert list(absent(text)) == []


def absent(text: str) -> Iterable[str]:
    for name, parser in make_parser(*COMMANDS).commands.items():
        if name not in text:
            yield name
        for action in parser.actions():
            yield from (option for option in action.option_strings if option.lstrip("-") not in text)


def test_a_shell_that_is_not_known_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["completion", "tcsh"])
    assert caught.value.code == 2
    assert "invalid choice: 'tcsh'" in capsys.readouterr().err
