"""`fsm stubs` writes a class that runs and that mypy takes, keeps it fresh, and touches nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fsm.cli import main

ROOT = Path(__file__).parents[2]
EXAMPLES = {path.stem: path for path in (ROOT / "examples" / "charts").glob("*.py")}
GATE = '''from enum import Enum

from fsm import Boolean, Chart, Choice, Counter, Event, Field, Number, State, row


class Speed(Enum):
    SLOW = 1
    FAST = 2


COINS, LOCKED, SPEED, KIND = Counter("coins"), Boolean("locked"), Choice("speed", (None, *Speed)), Choice("kind", ("a", "b"), initial="a")
RETRY, FLAGS = Counter("retry"), Counter("flags")
EVENTS = [Event("pay", "money \\\\ \\"quoted\\"", data=(Number("amount", "in cents"), Field("note", str | None, default=None), Field("rate", float, default=0.5))),
          "retry", "post", "class", "go: <now>", "2nd", "_x", "before", "fire", "fire_event"]
GATE = Chart("gate-way 2", doc='says """ and \\\\', states=["a b", "öffen", State("end", final=True)], events=EVENTS,
             variables=[COINS, LOCKED, SPEED, KIND, RETRY, FLAGS], rows=[
    *(row(f"r{n}", "a b", one) for n, one in enumerate(EVENTS[1:])), row("back", "a b", "pay", target="öffen"),
    row("move", "öffen", "pay", target="end"), row("in", "öffen", "retry", target="a b")], initial="öffen")
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


def checked(*files: Path) -> str:
    """What mypy says about the files, strictly, and Python when it runs each of them."""
    environment = {**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", str(ROOT / ".mypy_cache")]
    said = subprocess.run([*words, *map(str, files)], capture_output=True, text=True, env=environment)
    ran = [subprocess.run([sys.executable, str(file)], capture_output=True, text=True, env=environment).stderr for file in files]
    return (said.stdout + said.stderr if said.returncode else "") + "".join(ran)


USE = """

session = Account()
session.deposit(amount=5)
session.withdraw(amount=2, reason="rent")
left: int = session.balance


class Told(Account):
    def on_enter_frozen(self, step: "Step") -> None:
        print(step.target, step.data)


assert left == 3
"""


def test_the_classes_of_all_examples_pass_mypy_and_run(folder: Path) -> None:
    files = []
    for name, chart in EXAMPLES.items():
        (folder / chart.name).write_text(chart.read_text())
        where = f"{chart.name}:{name.upper()}"
        assert main(["stubs", where, "-o", f"{name}_session.py"]) == 0
        assert main(["stubs", where, "-o", f"{name}_session.py", "--check"]) == 0
        files.append(folder / f"{name}_session.py")
    assert main(["stubs", "fsm.logoff:LOGOFF", "-o", "logoff_session.py"]) == 0
    (folder / "gate.py").write_text(GATE)
    assert main(["stubs", "gate.py", "--name", "Gate", "-o", "gate_session.py"]) == 0
    account = folder / "account_session.py"
    account.write_text(account.read_text() + USE)
    assert main(["stubs", "account.py:ACCOUNT", "-o", "account_session.py", "--check"]) == 0, "what stands around it stays"
    assert checked(*files, folder / "logoff_session.py", folder / "gate_session.py") == ""
    wrong = folder / "wrong.py"
    wrong.write_text("from account_session import Account\nAccount().deposit(amount='5')\nAccount().deposit()\n")
    told = checked(wrong)
    assert '"amount" to "deposit" of "Account" has incompatible type "str"; expected "int"' in told
    assert 'Missing named argument "amount" for "deposit"' in told


def test_names_that_a_class_cannot_have_get_others(folder: Path) -> None:
    (folder / "gate.py").write_text(GATE)
    assert main(["stubs", "gate.py", "-o", "session.py"]) == 0
    text = (folder / "session.py").read_text()
    assert "class GateWay2(Session, chart=GATE):" in text
    for event, method in [("post", "post_event"), ("class", "class_event"), ("go: <now>", "go___now_"), ("2nd", "on_2nd"),
                          ("_x", "on_x"), ("fire", "fire_event_event")]:
        assert f'    @trigger(event="{event}")\n    def {method}(' in text
    assert "    @trigger\n    def pay(self, *, amount: int, note: str | None = None, rate: float = 0.5) -> None:\n" in text
    assert "    locked: bool\n" in text
    assert "    speed: Speed | None\n" in text
    assert '    kind: Literal["a", "b"]\n' in text
    assert "    coins: int\n" in text
    assert "    retry: int" not in text, "that name is a trigger"
    assert "    flags: int" not in text, "every session has flags"
    assert "def before(self" not in text.replace("    def before(self) -> None:", ""), "that name is a trigger, too"


def test_the_class_may_stand_in_the_file_of_its_chart_even_when_it_is_too_old(folder: Path) -> None:
    file = folder / "lamp.py"
    head = 'from fsm import Chart, row\n\nLAMP = Chart("lamp", states=["on", "off"], events=["flip"%s], rows=[\n    row("a", "on", "flip", target="off"), row("b", "off", "flip", target="on")%s,\n])\n\n'
    marks = "# fsm stubs lamp.py: the command writes what stands from here to the end mark\n# end of fsm stubs lamp.py\n"
    file.write_text(head % ("", "") + marks + "\nAFTER = 1\n")
    assert main(["stubs", "lamp.py", "-o", "lamp.py"]) == 0
    first = file.read_text()
    assert first.startswith(head % ("", ""))
    assert first.endswith("# end of fsm stubs lamp.py\n\nAFTER = 1\n")
    assert "from lamp import" not in first
    assert checked(file) == ""
    file.write_text(first.replace(head % ("", ""), head % (', "break_it"', ', row("c", "on", "break_it")')))
    assert main(["stubs", "lamp.py", "-o", "lamp.py", "--check"]) == 1
    assert main(["stubs", "lamp.py", "-o", "lamp.py"]) == 0
    assert "    @trigger\n    def break_it(self) -> None:\n" in file.read_text()
    assert main(["stubs", "lamp.py", "-o", "lamp.py", "--check"]) == 0
    assert checked(file) == ""


def test_a_stale_class_is_shown_and_nothing_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stubs", "fsm.logoff:LOGOFF", "-o", "s.py"]) == 0
    capsys.readouterr()
    old = (folder / "s.py").read_text().replace("def submit(self)", "def submitt(self)")
    (folder / "s.py").write_text(old)
    assert main(["stubs", "fsm.logoff:LOGOFF", "-o", "s.py", "--check"]) == 1
    out, err = capsys.readouterr()
    assert "-    def submitt(self) -> None:\n+    def submit(self) -> None:\n" in out
    assert err == "fsm stubs: s.py is not up to date; write it again with: fsm stubs fsm.logoff:LOGOFF -o s.py\n"
    assert (folder / "s.py").read_text() == old
    assert main(["stubs", "fsm.logoff:LOGOFF", "-o", "missing.py", "--check"]) == 1
    assert not (folder / "missing.py").exists()


def test_without_a_file_it_is_printed(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["stubs", "fsm.logoff:LOGOFF"]) == 0
    assert b"class StoreLogoff(Session, chart=LOGOFF):" in capfdbinary.readouterr().out


@pytest.mark.parametrize(("words", "told"), [
    (["fsm.logoff:NOPE"], "has no 'NOPE'"), (["nowhere:X"], "cannot import 'nowhere'"),
    (["fsm.logoff:LOGOFF", "--check"], "--check looks at a file; name it with -o FILE"),
    (["fsm.logoff:LOGOFF", "--name", "a b"], "--name is the name of a class, not 'a b'"),
    (["fsm.logoff:LOGOFF", "--name", "class"], "--name is the name of a class, not 'class'"),
    (["x.json"], "x.json cannot be imported by the class; give a chart in Python"),
    (["fsm.logoff:LOGOFF", "-o", "own.py"], "own.py is there and does not say where the class belongs; put these lines there: "),
    (["fsm.logoff:LOGOFF", "-o", "."], "cannot read .: Is a directory"),
    (["fsm.logoff:LOGOFF", "-o", "no/such/folder.py"], "cannot write no/such/folder.py: No such file or directory"),
])  # fmt: skip
def test_what_is_wrong_is_said_in_one_sentence(
    words: list[str], told: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "own.py").write_text("MINE = 1\n")
    assert main(["stubs", *words]) in (1, 2)
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith("fsm stubs: ")
    assert told in err
    assert (folder / "own.py").read_text() == "MINE = 1\n"
