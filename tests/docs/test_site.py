"""`make docs`: the site is built without a warning, and works from the disk: each link leads to a file, each part is there."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote

from fsm.cli import COMMANDS
from fsm.logoff import LOGOFF
from fsm.logoff.gallery import atlas
from tests.crash.windows import NAMED
from tests.logoff.test_citations import TESTS
from tests.readme import ROOT

DOORS = ("fsm", "fsm.logoff", "fsm.store", "fsm.sessions", "fsm.journal", "fsm.migration", "fsm.runtime", "fsm.stepper", "fsm.draw", "fsm.solver", "fsm.export")


def test_the_site() -> None:
    """One test, since it is built once: by the command of `make docs`, into the same folder."""
    site = ROOT / "docs" / "_build" / "html"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", str(site)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    pages = sorted(page for page in site.rglob("*.html") if "_static" not in page.parts)
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    for page, text in texts.items():
        if page.parent.name != "_images":
            links_lead_somewhere(page, text, texts)
    whole = "".join(texts.values())
    for door in DOORS:
        for name in import_module(door).__all__:
            assert name.startswith("__") or f'id="{door}.{name}"' in whole or f'id="module-{door}.{name}"' in whole, f"{door}.{name} is described nowhere"
    commands = texts[site / "reference" / "commands.html"]
    assert all(f'id="fsm-{name}"' in commands for name in COMMANDS)
    rows = texts[site / "gallery" / "rows.html"]
    assert all(f'id="row-store-logoff-{row.id}"' in rows for row in LOGOFF.rows)
    assert all(f'href="../explanation/sentences.html#{cite.lower()}"' in rows for row in LOGOFF.rows for cite in row.cites)
    paths = texts[site / "gallery" / "paths.html"]
    for path in atlas().paths:
        assert f'explorer-store-logoff.html#{",".join(path.witness or ())}"' in paths, path.id
    sentences = texts[site / "explanation" / "sentences.html"]
    assert all(f'id="s{number}"' in sentences for number in range(1, 87))
    assert sentences.count("explorer-store-logoff.html#") > 20, "a sentence with rows leads to a walk that takes one"
    for named in TESTS.values():
        assert "sources/tests/logoff/{}.py.html#{}".format(*named.split(".")) in sentences, "a sentence leads to its test"
    for file, name in NAMED:
        assert f"sources/{file}.html#{name}" in texts[site / "explanation" / "crashes.html"], "a window leads to its test"


def links_lead_somewhere(page: Path, text: str, texts: dict[Path, str]) -> None:
    for link in re.findall(r'(?:href|src)="([^"]*)"', text):
        if link.startswith(("http://", "https://", "data:", "mailto:")):
            assert "src=" not in link
            continue
        file, _, place = link.partition("#")
        to = (page.parent / unquote(file.partition("?")[0])).resolve() if file else page
        assert to.exists(), f"{page.name}: {link}"
        if place and to in texts and to.parent.name != "_images" and to.name not in ("search.html", "genindex.html"):
            assert f'id="{unquote(place)}"' in texts[to], f"{page.name}: {link}"
    assert not re.search(r'(?:src|<link[^>]*href)="(?:https?:)?//', text), f"{page.name} asks the network"
