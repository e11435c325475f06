"""The extension for Sphinx in other people's documentation: built as they build it, once with all of it and once wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.readme import ROOT

CHART = (ROOT / "examples" / "charts" / "breaker.py").read_text()
PAGE = """
Breaker
=======

.. fsm-chart:: breaker.py
   :brief:
   :alt: the breaker

   How it *breaks*.

.. fsm-chart:: breaker.py
   :trace: {trace}

.. fsm-paths:: breaker.py

.. fsm-explorer:: breaker.py

:fsm:trace:`{trace}` leads to :fsm:state:`{state}`, by :fsm:row:`breaker/{row}`; :fsm:event:`{event}`.
"""
OTHER = """
Rows
====

.. fsm-chart:: /breaker.py
   :table:
"""
WRONG = """
Wrong
=====

.. fsm-chart:: breaker.py
   :flag: nothing

.. fsm-chart:: nowhere.py

.. fsm-chart:: breaker.py
   :trace: {event},nothing

.. fsm-paths:: breaker.py
   :length: much

:fsm:row:`nothing`
"""


def build(folder: Path, builder: str = "html") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", "-q", "-n", "-b", builder, str(folder), str(folder / builder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def project(folder: Path, **pages: str) -> None:
    from fsm.commands.chart_files import find_chart

    chart = find_chart(str(ROOT / "examples" / "charts" / "breaker.py"))
    row = next(row for row in chart.rows if row.source == chart.initial)
    words = {"trace": row.event, "event": row.event, "state": row.target, "row": row.id}
    (folder / "conf.py").write_text('extensions = ["fsm.sphinx"]\nproject = "test"\nfsm_renderer = "embedded"\n')
    (folder / "breaker.py").write_text(CHART)
    for name, text in pages.items():
        (folder / f"{name}.rst").write_text(text.format(**words))


def test_charts_paths_explorers_and_links(tmp_path: Path) -> None:
    index = "\n.. toctree::\n\n   other\n"
    project(tmp_path, index=PAGE + index, other=OTHER)
    built = build(tmp_path)
    assert (built.returncode, built.stderr) == (0, "")
    page = (tmp_path / "html" / "index.html").read_text()
    files = re.findall(r'<img src="(_images/[^"]*\.svg)" alt="([^"]*)"', page)
    assert files[0][1] == "the breaker"
    assert all((tmp_path / "html" / file).read_text().startswith("<svg") for file, _ in files)
    assert len({file for file, _ in files}) == 2
    assert "How it <em>breaks</em>." in page
    frame = re.search(r'<iframe src="([^"#]*)"', page)
    assert frame is not None
    assert "<!doctype html>" in (tmp_path / "html" / frame[1]).read_text().lower()
    assert page.count(f'href="{frame[1]}#') >= 2, "the role, and the witnesses of the paths"
    other = (tmp_path / "html" / "other.html").read_text()
    links = re.findall(r'href="other\.html#([^"]*)"', page)
    assert len([link for link in links if f'id="{link}"' in other]) >= 3
    described = build(tmp_path, "text")
    assert (described.returncode, described.stderr) == (0, "")
    assert "the breaker" in (tmp_path / "text" / "index.txt").read_text()


def test_a_mistake_is_one_sentence_with_its_line(tmp_path: Path) -> None:
    project(tmp_path, index=WRONG)
    told = build(tmp_path).stderr
    for line, part in ((5, "has no event or flag 'nothing'"), (8, "there is no file"), (10, "nothing"), (13, "is a number of rows")):
        assert re.search(rf"index\.rst:{line}: ERROR: .*{re.escape(part)}", told), (part, told)
    assert "fsm:row reference target not found: nothing" in told
    assert "Traceback" not in told


def test_a_page_is_built_again_when_its_chart_changes(tmp_path: Path) -> None:
    project(tmp_path, index=OTHER)
    assert build(tmp_path).returncode == 0
    (tmp_path / "breaker.py").write_text(CHART.replace('Chart(\n    "breaker"', 'Chart(\n    "fuse"'))
    assert build(tmp_path).returncode == 0
    assert "row-fuse-" in (tmp_path / "html" / "index.html").read_text()
