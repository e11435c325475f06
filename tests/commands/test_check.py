"""`fsm check` prints the report, exits 1 when a property fails, and says in a sentence what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fsm.cli import main
from tests.small_charts import after

MODULE = """
from fsm.chart import Chart, State, row
from fsm.analysis.properties import Always
from fsm.variable import Counter
N = Counter("n")
END = State("done", final=True)
CHART = Chart("counted", states=("a", END), events=("more", "end"), variables=(N,), rows=[
    row("more", "a", "more", effects=[N.becomes(N + 1)]), row("end", "a", "end", target=END)])
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(name: str, text: str = "", **inner: str) -> str:
        monkeypatch.delitem(sys.modules, name, raising=False)
        if inner:
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").write_text(MODULE + text)
            for part, body in inner.items():
                monkeypatch.delitem(sys.modules, f"{name}.{part}", raising=False)
                (tmp_path / name / f"{part}.py").write_text(body)
        else:
            (tmp_path / f"{name}.py").write_text(MODULE + text)
        return f"{name}:CHART"

    return write


def test_the_command_reports_the_store_logoff(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "within inbound <= 1, outbound + ready + deferred <= 2, peers <= 1: 241 steps are cut off" in out
    assert "23 of 23 properties hold, 0 fail, 0 are not known; examined 268 configurations and 2,646 steps" in out
    assert "holds  during a drain every legal transport event lowers 3 * ready + 2 * in flight + deferred (3)" in out


def test_the_command_fails_with_a_trace_that_replays(
    module: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    chart = module("own_one", 'PROPERTIES = (Always("n is below 2", N < 2),)\nBOUNDS = ("N <= 3",)\n')
    assert main(["check", "--chart", chart]) == 1
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    place = lines.index("FAILS  n is below 2")
    assert lines[place + 2 : place + 4] == ["in a, n 2 it does not hold that n < 2", "trace: more,more"]
    found = sys.modules["own_one"].CHART
    assert after(found, tuple(lines[place + 3].removeprefix("trace: ").split(","))) == ("a", 2)
    assert main(["check", "--chart", chart, "--bound", "n <= 1"]) == 0
    assert "FAILS" not in capsys.readouterr().out


def test_properties_are_found_in_a_module_inside_the_package(
    module: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    inner = 'from own_two import N\nfrom fsm.analysis.properties import Always\nPROPERTIES = [Always("low", N < 9)]\nBOUNDS = [N <= 2]\n'
    assert main(["check", "--chart", module("own_two", properties=inner)]) == 0
    assert "holds  low" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "text", "words", "told"), [
    ("bad_one", "", [], "n can grow for ever, by repeating more in a; give a bound, such as 'n <= 2' (--bound, or bounds={\"n\": 2} in the chart)"),
    ("bad_two", "", ["--bound", "z <= 1"], "bound 'z <= 1': counted has no variable 'z' (it has n)"),
    ("bad_three", "PROPERTIES = 5\nBOUNDS = ('n<=1',)", [], "PROPERTIES beside bad_three:CHART is no tuple of properties"),
    ("bad_four", "BOUNDS = 'n <= 1'", [], "BOUNDS beside bad_four:CHART is str, not a tuple of bounds"),
    ("bad_five", "PROPERTIES = (Always('x', Counter('z') > 1),)\nBOUNDS = ('n<=1',)", [], "which has no variable 'z'"),
    ("bad_six", "", ["--bound", "n >= 1"], "counted starts outside the bound n >= 1: a"),
])
def test_wrong_input_is_one_sentence(
    module: Callable[..., str], capsys: pytest.CaptureFixture[str], name: str, text: str, words: list[str], told: str
) -> None:
    assert main(["check", "--chart", module(name, text), *words]) == 2
    out, err = capsys.readouterr()
    assert told in err
    assert len(err.splitlines()) == 1
    assert out == ""


def test_without_properties_it_says_so(module: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--chart", module("plain_one"), "--bound", "n <= 1"]) == 0
    assert "no PROPERTIES beside plain_one:CHART" in capsys.readouterr().out


def test_names_cannot_steer_the_terminal(
    module: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = 'CHART = Chart("x\\x1b[31m\\u202e", states=(State("a\\nb"), END), events=("e",), rows=[row("r", "a\\nb", "e", target=END)])\n'
    assert main(["check", "--chart", module("hostile_one", text)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "x\\x1b[31m\\u202e" in out
