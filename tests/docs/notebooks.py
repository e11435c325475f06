"""The tutorial as notebooks: `make readme` writes them from its pages, tests compare and execute them.

A page's Python blocks become cells, its prose the text between them.  Where the page shows a picture of the chart, the
notebook has the chart itself, which shows its picture.  Commands of the shell stay text.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.readme import DOCS

PAGES = (DOCS / "tutorial" / "machine.md", DOCS / "tutorial" / "store.md")
CODE = re.compile(r"(?:<!-- file: \S+ -->\n)?^```python\n(.*?)^```$(?:\n\n```text\n.*?^```$)?|^```\{image\}.*?^```$", re.MULTILINE | re.DOTALL)
ROLE = re.compile(r"\{[a-z:]+\}(?=`)")


def notebook(page: Path) -> str:
    """Return the notebook of a page."""
    text, cells, at = page.read_text(encoding="utf-8"), [], 0
    for block in CODE.finditer(text):
        cells += [_prose(text[at : block.start()]), _cell("code", block[1] if block[1] is not None else "TURNSTILE")]
        at = block.end()
    cells.append(_prose(text[at:]))
    kept = [cell for cell in cells if cell["source"]]
    for number, cell in enumerate(kept, 1):
        cell["id"] = f"cell-{number}"
    about = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": kept, "metadata": about, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def _prose(text: str) -> dict[str, object]:
    return _cell("markdown", ROLE.sub("", text))


def _cell(kind: str, text: str) -> dict[str, object]:
    more: dict[str, object] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "metadata": {}, "source": text.strip().splitlines(keepends=True), **more}


if __name__ == "__main__":
    for one in PAGES:
        one.with_suffix(".ipynb").write_text(notebook(one), encoding="utf-8")
