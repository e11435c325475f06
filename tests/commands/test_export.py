"""`fsm export`, and charts in files: what is written where, and what is wrong in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

import fsm
from fsm import export
from fsm.cli import main
from fsm.logoff import LOGOFF
from fsm.logoff.additions import ADDITIONS
from fsm.logoff.properties import BOUNDS, PROPERTIES

TURNSTILE = """
from fsm import Chart, State, row
TURNSTILE = Chart("turnstile", states=["locked", "open", State("gone", final=True)], events=["coin", "push", "go"], rows=[
    row("pay", "locked", "coin", target="open"), row("pass", "open", "push", target="locked"), row("go", "locked", "go", target="gone"),
])
"""
CALLS = """
from fsm import Chart, row
GATE = Chart("gate", states=["shut"], events=["knock"], rows=[row("known", "shut", "knock", guard=lambda session: True)])
"""


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["export", *words])
    return status, *capsys.readouterr()


@pytest.mark.parametrize("format", export.FORMATS)
def test_what_is_printed_is_what_the_function_returns_every_time(capsys: pytest.CaptureFixture[str], format: str) -> None:
    first, second = run(capsys, "--format", format), run(capsys, "--format", format)
    text = fsm.export(LOGOFF, format, bounds=BOUNDS, properties=PROPERTIES, addition=ADDITIONS.get(format, ""))
    assert first == second == (0, text, "")
    assert LOGOFF.fingerprint in first[1]
    assert fsm.__version__ in first[1]
    assert f"format {format}) from the chart" in first[1]


def test_what_belongs_together_is_written_side_by_side(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out, err = run(capsys, "--format", "javascript", "-o", str(tmp_path / "a.mjs"))
    assert (status, out) == (0, "")
    assert [line.rpartition(" (")[0] for line in err.splitlines()] == [f"wrote {tmp_path / name}" for name in ("a.mjs", "a.d.mts")]
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        Path(name).name: text for name, text in export.files(LOGOFF, "javascript", "a.mjs").items()
    }


def test_charts_are_found_in_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "turnstile.py"
    file.write_text(TURNSTILE)
    status, text, _ = run(capsys, "--format", "json", "--chart", str(file))
    assert (status, '"name": "turnstile"' in text) == (0, True)
    assert run(capsys, "--format", "json", "--chart", f"{file}:TURNSTILE") == (0, text, "")
    copy = tmp_path / "turnstile.json"
    copy.write_text(text)
    assert run(capsys, "--format", "json", "--chart", str(copy)) == (0, text, "")


@pytest.mark.parametrize("command", [["check"], ["paths"], ["draw"], ["step", "--trace", "coin,push"], ["explore"], ["replay", "/dev/null"]])
@pytest.mark.parametrize("ending", ["py", "json"])
def test_every_command_takes_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str], ending: str) -> None:
    file = tmp_path / "turnstile.py"
    file.write_text(TURNSTILE)
    if ending == "json":
        _, text, _ = run(capsys, "--format", "json", "--chart", str(file))
        file = tmp_path / "turnstile.json"
        file.write_text(text)
    assert main([*command, "--chart", str(file)]) == 0, capsys.readouterr().err


WRONG: dict[str, tuple[dict[str, str], list[str], str]] = {
    "an unknown format": ({}, ["--format", "cobol"], "there is no format 'cobol'; choose one of c, python, javascript"),
    "a callable": ({"a.py": CALLS}, ["--format", "c", "--chart", "a.py"], "gate cannot be written as c: the guard of row 'known' calls <lambda>()"),
    "no such file": ({}, ["--format", "c", "--chart", "nope.py"], "there is no file nope.py; a chart is given as"),
    "no such data": ({}, ["--format", "c", "--chart", "nope.json"], "cannot read nope.json: No such file or directory"),
    "a file without a chart": ({"a.py": "x = 1"}, ["--format", "c", "--chart", "a.py"], "a.py has no chart"),
    "two charts": ({"a.py": TURNSTILE + CALLS}, ["--format", "c", "--chart", "a.py"], "a.py has several charts; say which: a.py:TURNSTILE, a.py:GATE"),
    "another name": ({"a.py": TURNSTILE}, ["--format", "c", "--chart", "a.py:GATE"], "a.py has no 'GATE'"),
    "a file that fails": ({"a.py": "1 / 0"}, ["--format", "c", "--chart", "a.py"], "cannot import 'a.py': ZeroDivisionError"),
    "a wrong chart": ({"a.py": "from fsm import Chart\nChart('x', states=[], events=[], rows=[])"}, ["--format", "c", "--chart", "a.py"], "a.py is wrong: chart 'x': it has no states"),
    "no json": ({"a.json": "{"}, ["--format", "c", "--chart", "a.json"], "a.json: line 1, column 2: not JSON"),
    "another schema": ({"a.json": "{}"}, ["--format", "c", "--chart", "a.json"], "a.json: the document: 'format' is missing"),
    "too large": ({"a.json": " " * 10_000_001}, ["--format", "c", "--chart", "a.json"], "a.json: it is larger than 10 MB"),
    "no text": ({"a.json": "\udcff"}, ["--format", "c", "--chart", "a.json"], "a.json: byte 1: it is not UTF-8"),
    "no place": ({}, ["--format", "c", "-o", "nowhere/a.h"], "cannot write nowhere/a.h: No such file or directory"),
    "neither": ({}, ["--format", "c", "--chart", "turnstile"], "a chart is given as module:NAME, such as fsm.logoff:LOGOFF, or as a"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "words", "problem"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], words: list[str], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in given.items():
        Path(name).write_text(text, "utf-8", "surrogateescape")
    status, out, error = run(capsys, *words)
    assert (status in (1, 2), out, error.count("\n")) == (True, "", 1)
    assert error.startswith(f"fsm export: {problem}")
    assert {file.name for file in tmp_path.iterdir()} - {"__pycache__"} == {*given}
