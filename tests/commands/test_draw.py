"""`fsm draw`: every format, every look, and one clear sentence for whatever is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fsm import draw
from fsm.cli import main
from fsm.logoff import LOGOFF
from tests.draw.support import in_dot, in_mermaid, in_svg, in_table, wanted


def drawn(capfdbinary: pytest.CaptureFixture[bytes], *words: str) -> bytes:
    assert main(["draw", *words]) == 0
    out, err = capfdbinary.readouterr()
    assert err == b""
    return out


@pytest.mark.parametrize("words", [
    (), ("--renderer", "dot"), ("--renderer", "embedded"), ("--brief",), ("--flag", "logoff_quiet"), ("--flag", "ABORT"),
    ("--counter", "peers"), ("--trace", "submit,logoff_quiet"), ("--trace", ""), ("--path", "p013"), ("--timeout", "60"),
], ids=" ".join)  # fmt: skip
def test_every_look_is_an_svg_with_every_row(capfdbinary: pytest.CaptureFixture[bytes], words: tuple[str, ...]) -> None:
    assert in_svg(drawn(capfdbinary, *words).decode()) == wanted(LOGOFF)


def test_every_format(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert in_dot(drawn(capfdbinary, "--format", "dot").decode()) == wanted(LOGOFF)
    assert in_mermaid(drawn(capfdbinary, "--format", "mermaid").decode()) == wanted(LOGOFF)
    assert in_table(drawn(capfdbinary, "--format", "table").decode()) == [row.id for row in LOGOFF.rows]
    assert drawn(capfdbinary, "--format", "png").startswith(b"\x89PNG")
    assert drawn(capfdbinary, "--format", "pdf").startswith(b"%PDF")


@pytest.mark.parametrize(("name", "start"), [
    ("x.svg", b"<svg"), ("x.dot", b"digraph"), ("x.gv", b"digraph"), ("x.mmd", b"stateDiagram-v2"), ("x.md", b"| row"),
    ("x.PNG", b"\x89PNG"), ("x", b"<svg"),
])  # fmt: skip
def test_the_format_follows_the_name_of_the_file(tmp_path: Path, name: str, start: bytes) -> None:
    assert main(["draw", "-o", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith(start)


def test_the_flag_is_an_event_or_what_it_sets(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    by_event = drawn(capfdbinary, "--flag", "logoff_no_wait", "--renderer", "embedded")
    assert drawn(capfdbinary, "--flag", "NO_WAIT", "--renderer", "embedded") == by_event
    assert by_event.decode() == draw.svg(LOGOFF, draw.flag(LOGOFF, "logoff_no_wait"), renderer="embedded")


def test_another_chart(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    text = drawn(capfdbinary, "--chart", "tests.small_charts:PLAIN", "--path", "p1", "--renderer", "embedded").decode()
    assert 'data-row="jump"' in text


@pytest.mark.parametrize(("words", "status", "told"), [
    (("--format", "pngg"), 2, "there is no format 'pngg'; did you mean png?"),
    (("--format", "cairo:x"), 2, "there is no format 'cairo:x'; choose one of svg, dot, mermaid, table, png, pdf"),
    (("-o", "x.jpeg"), 2, "no format ends in .jpeg; name one with --format, or end the file in .svg, .dot, .gv, .mmd, .md, .png, .pdf"),
    (("--renderer", "neato"), 2, "there is no renderer 'neato'; choose one of auto, dot, embedded"),
    (("--timeout", "0"), 2, "--timeout is a number of seconds above 0, not 0"),
    (("--timeout", "nan"), 2, "--timeout is a number of seconds above 0, not nan"),
    (("--flag", "logoff_quit"), 2, "store-logoff has no event or flag 'logoff_quit'; did you mean logoff_quiet?"),
    (("--counter", "request"), 2, "no counter 'request'; it has inbound, outbound, ready, deferred, peers"),
    (("--trace", "submit,nope"), 2, "event 2 of the trace: store-logoff has no event 'nope'; it has logoff_quiet, "),
    (("--trace", "release,submit"), 2, "event 2 of the trace: submit is not legal in: released, request ABORT"),
    (("--path", "p999"), 2, "store-logoff has no path 'p999'; they are p001 to p225 (see `fsm paths`)"),
    (("--path", "p1", "--chart", "tests.small_charts:ENDLESS"), 2, "(--bound, or bounds="),
    (("--path", "p1", "--chart", "tests.draw.support:LONELY"), 2, "lonely has no path 'p1'; it has none (see `fsm paths`)"),
    (("--trace", "go", "--chart", "tests.draw.support:OPAQUE"), 2, "a callable guard can be asked by a session"),
    (("--chart", "nope:NOPE"), 2, "cannot import 'nope'"),
    (("--renderer", "embedded", "--format", "png"), 1, "--format dot gives the source"),
    (("-o", "/proc/nowhere/x.svg"), 1, "cannot write /proc/nowhere/x.svg: No such file or directory"),
    (("-o", "/"), 1, "cannot write /: Is a directory"),
])  # fmt: skip
def test_what_is_wrong_is_said_in_one_sentence(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], status: int, told: str
) -> None:
    assert main(["draw", *words]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fsm draw: ")
    assert told in err
    assert err.count("\n") == 1


def test_two_looks_at_once_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["draw", "--flag", "release", "--path", "p001"])
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_a_dot_that_hangs(tmp_path: Path) -> None:
    dot = tmp_path / "dot"
    dot.write_text("#!/bin/sh\n/bin/sleep 600\n")
    dot.chmod(0o755)
    ran = subprocess.run(
        [sys.executable, "-m", "fsm.cli", "draw", "--timeout", "0.3"], capture_output=True, text=True, timeout=300,
        env={**os.environ, "PATH": str(tmp_path)},
    )  # fmt: skip
    assert (ran.stdout, ran.returncode) == ("", 1)
    assert ran.stderr.startswith("fsm draw: `dot` did not answer within 0.3 s and was stopped; ")


def test_without_dot_svg_is_drawn_all_the_same() -> None:
    words = [sys.executable, "-m", "fsm.cli", "draw"]
    ran = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PATH": ""})
    assert (ran.returncode, ran.stderr) == (0, "")
    assert in_svg(ran.stdout) == wanted(LOGOFF)
