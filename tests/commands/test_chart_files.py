"""Where a chart comes from, however it is named; and nothing but the command's answer on standard output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fsm.chart import Chart
from fsm.cli import main
from fsm.commands import CommandError
from fsm.commands.chart_files import find_chart, place_of
from fsm.install import install_command, own_command
from tests.commands.terminal import FSM, terminal

TURNSTILE = """
import subprocess
from fsm import Chart, Counter, State, row
COINS = Counter("coins")
TURNSTILE = Chart("turnstile", states=["locked", State("retired", final=True)], events=["coin", "retire"], variables=[COINS]BOUNDS,
    rows=[row("pay", "locked", "coin", effects=[COINS.becomes(COINS + 1)]), row("retire", "locked", "retire", target="retired")])
print("the module prints this")
subprocess.run(["echo", "its program prints that"])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "gate.py").write_text(TURNSTILE.replace("BOUNDS", ', bounds={"coins": 2}'))
    (tmp_path / "endless.py").write_text(TURNSTILE.replace("BOUNDS", ""))
    (tmp_path / "two.py").write_text("from fsm import Chart\nA = Chart('a', states=['x'], events=[], rows=[])\nB = Chart('b', states=['x'], events=[], rows=[])\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "gate", raising=False)
    monkeypatch.delitem(sys.modules, "two", raising=False)
    return tmp_path


@pytest.mark.parametrize("where", ["gate.py", "gate.py:TURNSTILE", "./gate.py", "./gate.py:TURNSTILE", "gate", "gate:TURNSTILE"])
def test_a_chart_is_found_by_each_of_its_names(folder: Path, where: str) -> None:
    assert isinstance(found := find_chart(where), Chart)
    assert found.name == "turnstile"
    assert place_of(where) == "gate:TURNSTILE"


@pytest.mark.parametrize(("where", "told"), [
    ("two", "two has several charts; say which: two:A, two:B"),
    ("two.py", "two.py has several charts; say which: two.py:A, two.py:B"),
    ("json", "json has no chart"),
    ("nothing_here", "a chart is given as module:NAME, such as fsm.logoff:LOGOFF, or as a .py, .json or .scxml file, not 'nothing_here'"),
    ("gate.py:NOPE", "gate.py has no 'NOPE'; its charts are TURNSTILE"),
])  # fmt: skip
def test_what_is_no_chart_is_said(folder: Path, where: str, told: str) -> None:
    with pytest.raises(CommandError) as caught:
        find_chart(where)
    assert str(caught.value) == told


@pytest.mark.parametrize("words", [["replay"], ["draw", "--format", "dot"], ["paths", "--format", "json"], ["stubs"]], ids=lambda words: words[0])
def test_what_a_module_prints_goes_to_standard_error(folder: Path, words: list[str]) -> None:
    chart = ["gate.py"] if words == ["stubs"] else ["--chart", "gate.py"]
    done = subprocess.run([FSM, *words, *chart], input='{"event": "coin"}\n', capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == "the module prints this\nits program prints that\n"
    assert done.stdout.startswith({"replay": '{"session"', "draw": "digraph", "paths": "{", "stubs": "# fsm stubs"}[words[0]])
    assert "prints" not in done.stdout


def test_a_file_with_bounds_works_without_an_option_and_another_is_told_how_to_get_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["check"], ["paths"], ["explore", "-o", "page.html"]):
        assert main([*command, "--chart", "gate.py"]) == 0
        assert main([*command, "--chart", "endless.py"]) == 2
        assert capsys.readouterr().err.splitlines()[-1].endswith(
            "give a bound, such as 'coins <= 2' (--bound, or bounds={\"coins\": 2} in the chart)")  # fmt: skip


def test_the_pytest_case_of_a_page_imports_the_chart_from_its_file(folder: Path) -> None:
    assert main(["explore", "--chart", "gate.py", "-o", "page.html"]) == 0
    assert '"where":"gate:TURNSTILE"' in (folder / "page.html").read_text()


def test_what_was_written_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["draw", "-o", "a.dot"], ["export", "--format", "c", "-o", "b.c"], ["stubs", "fsm.logoff", "-o", "c.py"]):
        assert main(words) == 0
        out, err = capsys.readouterr()
        size = (folder / words[-1]).stat().st_size
        assert out == ""
        assert err.splitlines()[0] == f"wrote {words[-1]} ({f'{size:,} bytes' if size < 10_000 else f'{size / 1000:,.0f} KB'})"
    assert main(["stubs", "fsm.logoff", "-o", "c.py"]) == 0
    assert capsys.readouterr().err == "fsm stubs: c.py is up to date\n"


def test_a_picture_is_not_poured_onto_a_terminal(folder: Path) -> None:
    with terminal(FSM, "draw", folder=folder) as shown:
        assert shown.until("FILE.svg\r\n") == "fsm draw: svg is not for a terminal; write it to a file with -o FILE.svg\r\n"
    with terminal(FSM, "draw", "--format", "mermaid", folder=folder) as shown:
        shown.until("stateDiagram-v2")


def test_the_words_that_install_an_extra_work_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    class Installed:
        direct: str | None

        def read_text(self, name: str) -> str | None:
            return self.direct if name == "direct_url.json" else None

    one, root = Installed(), Path(__file__).parents[2]
    monkeypatch.setattr("fsm.install.distribution", lambda name: one)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    monkeypatch.chdir(root)
    one.direct = json.dumps({"url": root.as_uri(), "dir_info": {"editable": True}})
    assert install_command("svg") == "pip install '.[svg]'"
    monkeypatch.chdir("/")
    assert install_command("svg") == f"pip install '{root}[svg]'"
    for one.direct in (None, "", "no JSON", "[]", '{"url": "https://x.example/fsm.whl"}', '{"url": "file:///is/gone.whl"}'):
        assert install_command("svg") == "pip install 'fsm-logoff[svg]'"
    monkeypatch.setenv("PATH", "")
    assert install_command("svg") == f"{sys.executable} -m pip install 'fsm-logoff[svg]'", "no other Python's"


def test_a_hint_names_fsm_as_it_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/fsm", "tour"])
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert own_command() == "fsm"
    monkeypatch.setenv("PATH", "")
    assert own_command() == ".venv/bin/fsm"
