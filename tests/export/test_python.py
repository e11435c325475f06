"""Python: the module imports nothing, answers every cell as the rows do, and says why not."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fsm
from fsm.export.lowered import lower
from fsm.export.python_words import PythonWords
from fsm.logoff import LOGOFF
from tests.export.corpus import TILL, Case, cases, cells


def loaded(case: Case) -> tuple[dict[str, Any], PythonWords]:
    space: dict[str, Any] = {}
    exec(compile(fsm.export(case.chart, "python"), case.name, "exec"), space)
    return space, PythonWords(lower(case.chart, "python"))


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_every_cell_is_answered_as_the_rows_do(case: Case) -> None:
    space, words = loaded(case)
    names = ["state", *(words.names("value", name) for name in case.chart.names)]
    session = space[words.cls]()
    for cell in cells(case):
        for name, value in zip(names, cell.here, strict=True):
            setattr(session, name, value)
        assert session.sound
        data = {words.names("value", name): value for name, value in cell.data.items()}
        try:
            answer = "accepted" if session.fire(cell.event, **data) is True else "?"
        except space["Refused"] as refusal:
            answer = refusal.kind
        assert (answer, tuple(getattr(session, name) for name in names), session.flags) == (cell.answer, cell.after, cell.flags), cell
        assert session.sound


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_the_module_imports_nothing(case: Case) -> None:
    tree = ast.parse(fsm.export(case.chart, "python"))
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]


def test_an_isolated_python_runs_it(tmp_path: Path) -> None:
    tmp_path.joinpath("store_logoff.py").write_text(fsm.export(LOGOFF, "python"))
    script = "from store_logoff import *; s = StoreLogoff(); s.submit(); print(s.flags == OUTBOUND_QUEUE, s.logoff_quiet(), s.request)"
    done = subprocess.run([sys.executable, "-S", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "True True QUIET\n", done.stderr


def test_a_refusal_says_why() -> None:
    space, _ = loaded(Case(LOGOFF, lambda here: True))
    session = space["StoreLogoff"]()
    with pytest.raises(space["Refused"], match=r"cannot outbound_begin while open: needs ready > 0"):
        session.outbound_begin()
    session.logoff_quiet()
    with pytest.raises(space["Refused"], match="cannot submit while released: released is final"):
        session.submit()
    with pytest.raises(ValueError, match="there is no event 'nope'"):
        session.fire("nope")


def test_data_are_checked_and_times_are_told() -> None:
    space, _ = loaded(Case(TILL, lambda here: True))
    session = space["Till1"]()
    assert session.delays == {2.5: "tick", 30: "lock"}
    for wrong in (-1, True, 1.0, "1", None):
        with pytest.raises(ValueError, match="amount must be a whole number, 0 or more, not"):
            session.sell(amount=wrong)
    with pytest.raises(TypeError):
        session.sell()
    session.sell(amount=10**30)  # counts have no upper limit
    assert (session.due, session.delays) == (10**30, {})
    entered = session.entries
    session.pay(amount=10**30 + 1, note="x")
    assert (session.state, session.change, session.entries) == ("idle", 0, entered + 1)
    assert not hasattr(session, "__dict__")


@pytest.mark.parametrize(("name", "value"), [("state", "nowhere"), ("due", -1), ("due", "1"), ("due", True), ("open_", 2), ("drawer", None)])
def test_what_comes_from_outside_can_be_judged(name: str, value: object) -> None:
    space, _ = loaded(Case(TILL, lambda here: True))
    session = space["Till1"]()
    assert session.sound
    setattr(session, name, value)
    assert not session.sound
