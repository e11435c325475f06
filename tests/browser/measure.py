"""Measure texts in the browser: those of pictures, and those of the page around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from playwright.sync_api import Page

OVER: Final = """
const at = one => one.getBoundingClientRect();
const over = (a, b, by) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > by
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > by;
"""

PICTURES: Final = """() => { %s
const inside = (a, b) => a.left >= b.left && a.right <= b.right && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
return [...document.querySelectorAll("svg")].filter(one => at(one).width).map(svg => {
  const wrong = [], paper = at(svg), outline = one => one && at(one.querySelector(".box"));
  const texts = [...svg.querySelectorAll("text")].map(
    one => ({ name: one.textContent, rect: at(one), box: outline(one.closest(".state")) }));
  const boxes = [...svg.querySelectorAll(".state")].map(outline);
  for (const { name, rect, box } of texts) {
    if (!inside(rect, paper)) wrong.push("off the paper: " + name);
    if (box && !(rect.left >= box.left + 2 && rect.right <= box.right - 2 && inside(rect, box)))
      wrong.push("out of its box: " + name);
    if (!box && boxes.some(other => over(rect, other, 1))) wrong.push("over a box: " + name);
  }
  texts.forEach((one, place) => texts.slice(place + 1).forEach(other => {
    if (over(one.rect, other.rect, 3)) wrong.push("over each other: " + one.name + " / " + other.name);
  }));
  for (const line of svg.querySelectorAll(".arc > path.line")) {
    const shift = line.getCTM(), length = line.getTotalLength();
    for (let step = 0; step <= length; step += 2) {
      const point = line.getPointAtLength(step).matrixTransform(shift), x = point.x + paper.left, y = point.y + paper.top;
      const hit = texts.find(
        ({ rect }) => x > rect.left + 1 && x < rect.right - 1 && y > rect.top + 3 && y < rect.bottom - 3);
      if (hit) { wrong.push("a line through: " + hit.name); break; }
    }
  }
  return {texts: texts.length, wrong};
}); }""".replace("%s", OVER)

WORDS: Final = """() => { %s
const wrong = [], found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const clips = one => getComputedStyle(one).overflowX !== "visible" || getComputedStyle(one).overflowY !== "visible";
while (walker.nextNode()) {
  const node = walker.currentNode, parent = node.parentElement;
  if (!node.data.trim() || parent.closest("svg, script, style, .unseen, textarea") || !parent.checkVisibility()) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  let block = parent;
  while (getComputedStyle(block).display.startsWith("inline")) block = block.parentElement;
  const frames = [];
  for (let one = parent; one; one = one.parentElement) if (clips(one) && one !== document.body) frames.push(at(one));
  for (const rect of range.getClientRects()) {
    if (rect.left < at(block).left - 1 || rect.right > at(block).right + 1) wrong.push("out of its place: " + node.data);
    const seen = frames.every(frame => rect.bottom <= frame.bottom + 1 && rect.top >= frame.top - 1);
    if (seen) found.push([rect, node]);
  }
}
for (const one of document.querySelectorAll("body *")) {
  if (getComputedStyle(one).overflowX === "hidden" && !one.matches(".unseen") && one.scrollWidth > one.clientWidth + 1)
    wrong.push("cut: " + one.textContent);
}
found.forEach(([a, one], place) => found.slice(place + 1).forEach(([b, other]) => {
  if (one !== other && over(a, b, 3)) wrong.push("over each other: " + one.data + " / " + other.data);
}));
if (document.documentElement.scrollWidth > innerWidth) wrong.push("wider than the window");
return {texts: found.length, wrong};
}""".replace("%s", OVER)


def pictures(page: Page) -> list[dict[str, Any]]:
    """Return for each picture on a page the number of its texts, and the misplaced ones."""
    found: list[dict[str, Any]] = page.evaluate(PICTURES)
    return found


def words(page: Page) -> dict[str, Any]:
    """Return for the page without its pictures the number of visible lines of text, and the misplaced ones."""
    found: dict[str, Any] = page.evaluate(WORDS)
    return found
