"""`fsm import`: the source makes the same chart, and says what was dropped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import transitions

import fsm
from fsm import Chart
from fsm.cli import main
from fsm.export.neutral import read
from fsm.export.python_source import source
from fsm.logoff import LOGOFF
from tests.export.corpus import Case, cases


def made(text: str) -> Chart:
    space: dict[str, Any] = {}
    exec(compile(text, "imported", "exec"), space)
    (found,) = [one for one in space.values() if isinstance(one, Chart)]
    return found


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_the_source_makes_the_same_chart(case: Case) -> None:
    chart = read(fsm.export(case.chart, "json"))
    again = made(source(chart))
    assert fsm.export(again, "json") == fsm.export(chart, "json")


def test_the_source_is_as_a_person_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "logoff.py"
    file.write_text(source(read(fsm.export(LOGOFF, "json"))))
    text = file.read_text()
    assert 'row("open.outbound_begin", "open", "outbound_begin",\n            guard=READY > 0,\n' in text
    assert "effects=[READY.becomes(READY - 1), OUTBOUND.becomes(OUTBOUND + 1)]," in text
    assert 'REQUEST = Choice("request", (None, *Logoff), ' in text
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,I,UP", "--ignore", "E501", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_file_becomes_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    document = tmp_path / "logoff.scxml"
    assert main(["export", "--format", "scxml", "-o", str(document)]) == 0
    assert main(["import", str(document), "-o", str(tmp_path / "logoff.py")]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split()[0] for line in err.splitlines()] == ["wrote", "wrote"]
    assert len(made((tmp_path / "logoff.py").read_text()).rows) == len(LOGOFF.rows) == 102
    assert main(["step", "--chart", str(document), "--trace", "submit,logoff_quiet"]) == 0
    assert main(["check", "--chart", str(tmp_path / "logoff.py"), "--bound", "inbound <= 1", "--bound", "outbound + ready + deferred <= 1", "--bound", "peers <= 1"]) == 0


DOOR = """
from transitions import Machine

class Door:
    locked, key = False, True
    def is_locked(self): return self.locked
    def has_key(self): return self.key
    def creak(self): pass

machine = Machine(Door(), initial="shut", states=["open", "shut", {"name": "gone", "final": True}, {"name": "attic", "on_enter": "creak"}], transitions=[
    dict(trigger="push", source="shut", dest="open", unless="is_locked", conditions=["has_key"], before="creak"),
    dict(trigger="push", source="shut", dest="="), dict(trigger="push", source="*", dest=None),
    dict(trigger="close", source="open", dest="shut"), dict(trigger="remove", source=["open", "shut"], dest="gone"),
])
"""


def test_a_machine_of_transitions_is_taken_over(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "door.py"
    file.write_text(DOOR)
    assert main(["import", f"{file}:machine"]) == 0
    text, notes = capsys.readouterr()
    assert notes.splitlines() == [
        "fsm import: the automatic transitions to_... were dropped; Machine(auto_transitions=False) has none",
        "fsm import: a transition of 'shut' on 'push' that can never be taken was dropped",
        "fsm import: the state 'attic' cannot be reached and was dropped",
        "fsm import: the callback creak before 'push' was dropped",
        "fsm import: the callback creak on_enter of 'attic' was dropped",
    ]
    space: dict[str, Any] = {}
    exec(DOOR, space)
    chart = made(text)
    for locked in (False, True):
        for key in (False, True):
            theirs, ours = space["Door"](), space["Door"]()
            space["machine"].add_model(theirs)
            fsm.Machine(chart=chart, model=ours)
            for door in (theirs, ours):
                door.locked, door.key = locked, key
            for event in ("push", "close", "push", "push", "remove", "push", "close"):
                assert answered(theirs, event) == answered(ours, event), (locked, key, event)
                assert theirs.state == ours.state


def answered(model: Any, event: str) -> bool | None:
    try:
        return bool(getattr(model, event)())
    except transitions.MachineError:
        return None


WRONG = {
    "no such file": (["nope.scxml"], "cannot read nope.scxml: No such file or directory"),
    "no xml": (["bad.scxml"], "bad.scxml: line 1, column 1: not XML"),
    "no json": (["bad.json"], "bad.json: line 1, column 1: not JSON"),
    "no machine": (["fsm.logoff:LOGOFF"], "fsm.logoff:LOGOFF is Chart, not a Machine of transitions"),
    "neither": (["door"], "a Machine of transitions is given as module:NAME, such as"),
    "a hierarchy": (["nested.py:machine"], "nested.py:machine: a hierarchical machine cannot be taken over; a chart is flat"),
}  # fmt: skip
NESTED = """
from transitions.extensions import HierarchicalMachine
machine = HierarchicalMachine(states=["a", {"name": "b", "children": ["c"]}], initial="a")
"""


@pytest.mark.parametrize(("words", "problem"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {"bad.scxml": "?", "bad.json": "?", "nested.py": NESTED}.items():
        Path(name).write_text(text)
    assert main(["import", *words]) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert error.startswith(f"fsm import: {problem}")
