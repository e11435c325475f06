"""The pages of a gallery, as Markdown: the one that shows the pictures, the atlas of paths, and the table of rows.

What only people can say (why an arc is there, what was left out) comes with the `Gallery`; everything else is
read off the chart and its paths.  This file draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm import draw
from fsm.analysis.reachability import cut_text
from fsm.draw.labels import Sums, identifier
from fsm.draw.markdown import code, prose, table
from fsm.draw.style import HUES

if TYPE_CHECKING:
    from fsm.analysis.paths import Atlas, Path
    from fsm.chart import Chart
    from fsm.draw.look import Look

__all__ = ["MARKER", "Gallery", "Page", "family_name", "paths_page", "readme", "rows_page"]

MARKER: Final = "<!-- generated; do not edit: "
"""How every page of a gallery begins."""


class Gallery(NamedTuple):
    """What a gallery shows of a chart, and what is said beside it.

    `events` and `counters` get a picture each: name, title, and a sentence.  `odd` tells of rows why they are there.
    `again` is the command that makes the folder.
    """

    title: str
    about: str
    again: str
    events: Sequence[tuple[str, str, str]]
    counters: Sequence[tuple[str, str, str]] = ()
    odd: Sequence[tuple[Sequence[str], str, str]] = ()
    left_out: Sequence[str] = ()
    sums: Sums | None = None


class Page(NamedTuple):
    """One look and where it is shown."""

    file: str
    look: Look
    told: str


def family_name(states: Iterable[str]) -> str:
    """The name of a family's files and anchor."""
    return "family-" + "-".join(map(identifier, states))


def _head(chart: Chart, gallery: Gallery, title: str) -> list[str]:
    return [f"{MARKER}{gallery.again}, from the chart {identifier(chart.name)} ({chart.fingerprint}) -->", "",
            f"# {prose(title)}", ""]


def readme(chart: Chart, gallery: Gallery, atlas: Atlas, pages: Sequence[Page]) -> str:
    """The page that shows the pictures."""
    states = ", ".join(code(state) for state in chart.states)
    lines = _head(chart, gallery, gallery.title)
    lines += [gallery.about, ""]
    lines += [(f"{len(chart.rows)} rows, {len(chart.events)} events, the states {states}. Every row: "
               "[rows.md](rows.md). Every path: [atlas.md](atlas.md)."), ""]
    lines += ["## The whole machine", ""]
    lines += [("In brief; [the whole machine](whole.svg) with every condition and effect, one line a row, is a "
               "picture of its own ([DOT](whole.dot), [Mermaid](whole.mmd))."), ""]
    lines += [_shown("whole-brief.svg", "whole.svg", f"{gallery.title}, in brief"), ""]
    lines += _legend(gallery)
    lines += ["### With every condition and effect", "", _shown("whole.svg", "whole.svg", gallery.title), ""]
    lines += ["## What each request does", "",
              ("Picked out is every way on which the request leads to the end while no other takes its place; the "
               "rest is dimmed. Each small picture opens the same with every condition and effect."), ""]
    for page in pages:
        if page.file.startswith(("flag-", "counter-")):
            lines += _section(page)
    lines += ["## Families of paths", "",
              (f"A path visits no state twice. The {len(atlas.paths)} paths fall into {len(atlas.families)} families "
               "by the states they visit; [atlas.md](atlas.md) has each path with a trace that was run."), ""]
    lines += ["| family | paths | without a witness |", "| --- | --- | --- |"]
    for family, paths in atlas.families.items():
        name = " → ".join(family)
        lost = sum(path.witness is None for path in paths)
        lines.append(f"| [{prose(name)}](atlas.md#{family_name(family)}) | {len(paths)} | {lost or 'none'} |")
    lines.append("")
    for page in pages:
        if page.file.startswith("family-"):
            lines += _section(page)
    lines += _odd(chart, gallery)
    lines += ["## What was left out", "", *(f"- {told}" for told in gallery.left_out), ""]
    return "\n".join(lines)


def _section(page: Page) -> list[str]:
    told = f"{page.told} " if page.told else ""
    return [f"### {prose(page.look.title)}", "", (f"{told}[In full]({page.file}.svg) · [DOT]({page.file}.dot) · "
                                                  f"[Mermaid]({page.file}.mmd)"), "",
            _shown(f"{page.file}-brief.svg", f"{page.file}.svg", page.look.title), ""]


def _shown(file: str, larger: str, title: str) -> str:
    return f"[![{prose(title)}]({file})]({larger})"


def _legend(gallery: Gallery) -> list[str]:
    sums = [f"`{name}` = `{named}`" for name, named in (gallery.sums or {}).items()]
    return [
        "## How to read them", "",
        "- A box is a state. The dot leads to the start; a double outline is the end, with the output it stands for.",
        ("- A line is a row of the table: `event [condition] / effect`. What several rows share stands once, above "
         "them, in grey; their own lines are indented."),
        ("- A line inside a box stays in the state. A line on an arrow goes where the arrow goes; all rows between "
         "the same two states share one arrow."),
        "- In the small pictures an arrow lists events only; `(2)` means two rows of that event.",
        *([f"- Sums with a name: {', '.join(sums)}."] if sums else []),
        (f"- Colours: {HUES['on']}, thick: picked out. {HUES['can'].capitalize()}, dashed, underlined with dots: "
         f"accepted, and changes nothing of what is shown. {HUES['here'].capitalize()}: where a session stands. "
         f"{HUES['dim'].capitalize()}: the rest."),
        ("- Every row has the id `t-` and its name, every arrow `e-`, every state `n-`, with the name of the picture "
         "before it; pointing at a row tells why it is there and which sentences it rests on."),
        ("- Light or dark follows the reader's setting. In DOT and Mermaid, where no single line can be coloured, "
         "`»` stands before what is picked out."), "",
    ]


def _odd(chart: Chart, gallery: Gallery) -> list[str]:
    lines = ["## Why each odd arc is there", "", "| arc or row | rows | why |", "| --- | --- | --- |"]
    for ids, name, why in gallery.odd:
        rows = ", ".join(code(chart.row(one).id) for one in ids)
        lines.append(f"| {name} | {rows} | {why} |")
    return [*lines, ""]


def paths_page(chart: Chart, gallery: Gallery, atlas: Atlas) -> str:
    """The atlas: every path with its witness, by family."""
    lines = _head(chart, gallery, f"{gallery.title}: every path to the end")
    lines += [
        ("An elementary path is a sequence of rows that change the state, from the start to the end, that visits no "
         f"state twice. There are {len(atlas.paths)}. The witness of each is a shortest trace that takes exactly "
         "these rows, with rows that stay between them; every one was run "
         f"({cut_text(chart, atlas.bounds, atlas.cut)})."), "",
    ]
    if atlas.flag_name is not None:
        lines += [(f"`{atlas.flag_name}` is its value at the end of the witness; in brackets what it can also be, by "
                   "longer traces."), ""]
        lines += [f"| {atlas.flag_name} at the end | paths |", "| --- | --- |"]
        lines += [f"| {code(name)} | {len(paths)} |" for name, paths in atlas.by_flag.items()] + [""]
    for states, paths in atlas.families.items():
        file = family_name(states)
        lines += [f'<a id="{file}"></a>', "", f"## {prose(' → '.join(states))}", "",
                  _shown(f"{file}-brief.svg", f"{file}.svg", " → ".join(states)), "",
                  f"| path | rows | {atlas.flag_name or 'end'} | witness |", "| --- | --- | --- | --- |"]
        lines += [_path(path) for path in paths] + [""]
    lines += ["## Rows on no path", ""]
    lines += [f"- {code(use.row)}: {prose(use.reason)}" for use in atlas.uses.values() if use.reason] or ["None."]
    return "\n".join([*lines, ""])


def _path(path: Path) -> str:
    others = [name for name in path.flags if name != path.flag]
    flag = _flag(path.flag, others)
    rows = ", ".join(map(code, path.rows))
    if path.witness is None:
        return f"| {path.id} | {rows} | {flag} | none: {prose(path.infeasible or '')} |"
    return f"| {path.id} | {rows} | {flag} | {code(','.join(path.witness)) if path.witness else ''} |"


def _flag(flag: str | None, others: Sequence[str]) -> str:
    more = f" ({', '.join(map(prose, others))})" if others else ""
    return f"{prose(flag or '')}{more}"


def rows_page(chart: Chart, gallery: Gallery) -> str:
    """Every row of the table."""
    lines = _head(chart, gallery, f"{gallery.title}: every row")
    return "\n".join([*lines, table(chart, draw.whole(chart), gallery.sums)])
