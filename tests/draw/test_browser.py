"""Pictures as a reader's browser lays them out: every text inside its box and the paper, none over another.

Chromium measures each text of each picture; the figures come back in its dump of the page.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from fsm import draw
from fsm.draw import gallery
from fsm.logoff import LOGOFF
from fsm.logoff.gallery import GALLERY, SUMS, atlas
from tests.draw.support import CHARTS, TWICE

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip

SCRIPT = """
const found = {};
for (const svg of document.querySelectorAll("svg")) {
  const wrong = [], at = one => one.getBoundingClientRect(), name = one => one.textContent;
  const texts = [...svg.querySelectorAll("text")], boxes = [...svg.querySelectorAll(".state > .box")];
  const inside = (a, b) => a.left >= b.left && a.right <= b.right && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
  const over = (a, b, by) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > by
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > by;
  for (const one of texts) {
    const box = one.closest(".state") && one.closest(".state").querySelector(".box");
    if (!inside(at(one), at(svg))) wrong.push("off the paper: " + name(one));
    if (box && !(at(one).left >= at(box).left + 2 && at(one).right <= at(box).right - 2 && inside(at(one), at(box))))
      wrong.push("out of its box: " + name(one));
    if (!box && boxes.some(other => over(at(one), at(other), 1))) wrong.push("over a box: " + name(one));
  }
  texts.forEach((one, place) => texts.slice(place + 1).forEach(other => {
    if (over(at(one), at(other), 3)) wrong.push("over each other: " + name(one) + " / " + name(other));
  }));
  const zero = at(svg);
  for (const line of svg.querySelectorAll(".arc > path.line")) {
    const shift = line.getCTM(), length = line.getTotalLength();
    for (let step = 0; step <= length; step += 2) {
      const point = line.getPointAtLength(step).matrixTransform(shift);
      const hit = texts.find(one => { const a = at(one); const x = point.x + zero.left, y = point.y + zero.top;
        return x > a.left + 1 && x < a.right - 1 && y > a.top + 3 && y < a.bottom - 3; });
      if (hit) { wrong.push("a line through: " + name(hit)); break; }
    }
  }
  found[svg.dataset.name] = {texts: texts.length, wrong, dark: getComputedStyle(svg.querySelector(".paper")).fill};
}
document.getElementById("out").textContent = JSON.stringify(found);
"""


@pytest.fixture
def chromium() -> str:
    program = shutil.which("chromium")
    if program is None:
        told = "chromium is not installed (apt install chromium), so no browser has measured the pictures"
        if os.environ.get("CI") == "true":
            pytest.fail(told)
        pytest.skip(told)
    return program


def measured(chromium: str, pictures: dict[str, str], folder: Path) -> dict[str, dict[str, object]]:
    """What the browser finds of each picture: how many texts, and what is wrong with them."""
    body = "".join(text.replace("<svg ", f'<svg data-name="{name}" ', 1) for name, text in pictures.items())
    page = folder / "page.html"
    page.write_text(f'<!doctype html><meta charset="utf-8">{body}<pre id="out"></pre><script>{SCRIPT}</script>')
    ran = subprocess.run(
        [chromium, *OPTIONS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    out = re.search(r'<pre id="out">(.*?)</pre>', ran.stdout, re.DOTALL)
    assert out, ran.stderr[-500:]
    found: dict[str, dict[str, object]] = json.loads(unescape(out[1]))
    return found


def test_no_text_is_outside_its_box_or_over_another(chromium: str, tmp_path: Path) -> None:
    drawn = {}
    for place, chart in enumerate(CHARTS):
        for renderer in ("dot", "embedded"):
            for brief in (False, True):
                sums = SUMS if chart is LOGOFF else None
                drawn[f"{place}-{renderer}-{brief}"] = draw.svg(chart, renderer=renderer, brief=brief, sums=sums)
    drawn["unnamed"] = draw.svg(LOGOFF, renderer="embedded", sums={})
    drawn["session"] = draw.svg(LOGOFF, draw.position(LOGOFF, LOGOFF.start()), renderer="embedded")
    for place, text in enumerate(gallery.svgs(LOGOFF, GALLERY, atlas())()):
        drawn[f"gallery-{place}"] = text
    found = measured(chromium, drawn, tmp_path)
    assert set(found) == set(drawn)
    assert all(isinstance(one["texts"], int) and one["texts"] > 3 for one in found.values())
    wrong = {name: one["wrong"] for name, one in found.items() if one["wrong"]}
    assert not wrong, "\n".join(f"{name}: {'; '.join(map(str, told))}" for name, told in wrong.items())  # type: ignore[call-overload]


def test_the_browser_would_notice(chromium: str, tmp_path: Path) -> None:
    good = draw.svg(TWICE, renderer="embedded")
    bad = good.replace("font-size:11px", "font-size:19px")
    moved = re.sub(r'(data-row="leave">.*?<text x=")[-\d.]+', r"\g<1>9999", good, flags=re.DOTALL)
    begins = r'(data-row="leave">.*?<text x=")([-\d.]+)'
    crossed = re.sub(begins, lambda found: f"{found[1]}{float(found[2]) - 15}", good, flags=re.DOTALL)
    expected = ((good, set()), (bad, {"out of its box", "over each other"}), (moved, {"off the paper"}),
                (crossed, {"a line through"}))  # fmt: skip
    for text, wrong in expected:
        told = measured(chromium, {"it": text}, tmp_path)["it"]["wrong"]
        assert wrong <= {one.partition(":")[0] for one in told}  # type: ignore[attr-defined]
        assert bool(wrong) is bool(told)
