"""A folder of pictures of one chart: the whole machine, what each flag does, each family of paths, and the atlas.

Theory.
1. Everything in the folder is made from the chart, so it is made again whenever the chart changes, and a test compares
   the two byte for byte.  For the bytes to be the same everywhere, the pinned embedded renderer draws.
2. There are two layouts, the whole machine and the overview; every other picture is one of them in other colours.
3. What only people can say (why an arc is there, what was left out) comes with the `Gallery`; the rows it
   speaks of must be rows of the chart.

This file writes nothing: it answers names of files and their contents.  It does not know any particular chart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from fsm import draw
from fsm.draw.album import MARKER, Gallery, Page, family_name, paths_page, readme, rows_page
from fsm.draw.labels import identifier
from fsm.draw.markdown import mermaid
from fsm.draw.picture import overview, picture
from fsm.draw.rendering import DrawingError, pinned

if TYPE_CHECKING:
    from fsm.analysis.paths import Atlas, Path
    from fsm.chart import Chart
    from fsm.draw.look import Look

__all__ = ["MARKER", "Gallery", "differences", "files", "sources", "svgs"]

def files(chart: Chart, gallery: Gallery, atlas: Atlas) -> dict[str, str]:
    """Every file of the folder by its name.  DrawingError when the renderer is not the pinned one.

    KeyError when the gallery speaks of a row, an event or a counter that the chart has not.
    """
    pages = _pages(chart, gallery, atlas)
    if (problem := pinned()) is not None:
        raise DrawingError(problem, str(draw.graph(chart, sums=gallery.sums).source))
    drawn, found = picture(chart, gallery.sums), _svgs(chart, gallery, pages)
    for page in pages:
        found[f"{page.file}.dot"] = str(draw.graph(chart, page.look, sums=gallery.sums).source)
        found[f"{page.file}.mmd"] = mermaid(drawn, page.look)
    found["whole-brief.dot"] = str(draw.graph(chart, pages[0].look, brief=True).source)
    found["whole-brief.mmd"] = mermaid(overview(chart), pages[0].look)
    found["README.md"] = readme(chart, gallery, atlas, pages)
    found["atlas.md"] = paths_page(chart, gallery, atlas)
    found["rows.md"] = rows_page(chart, gallery)
    return {name: found[name] for name in sorted(found)}


def sources(chart: Chart, gallery: Gallery, atlas: Atlas) -> tuple[str, ...]:
    """The DOT texts of all pictures: what a renderer that lays out each of them anew would be given."""
    return tuple(str(draw.graph(chart, page.look, brief=brief, sums=gallery.sums).source)
                 for page in _pages(chart, gallery, atlas) for brief in (False, True))


def svgs(chart: Chart, gallery: Gallery, atlas: Atlas) -> Callable[[], tuple[str, ...]]:
    """What draws all pictures as SVG, laid out anew each time it is called; the looks are decided before."""
    pages = _pages(chart, gallery, atlas)

    def drawn() -> tuple[str, ...]:
        draw.forget(chart)
        return tuple(_svgs(chart, gallery, pages).values())

    return drawn


def _svgs(chart: Chart, gallery: Gallery, pages: Sequence[Page]) -> dict[str, str]:
    full = draw.layout(chart, sums=gallery.sums, renderer="embedded")
    brief = draw.layout(chart, brief=True, renderer="embedded")
    found = {}
    for page in pages:
        found[f"{page.file}.svg"] = full.svg(page.look, f"{page.file}-")
        found[f"{page.file}-brief.svg"] = brief.svg(page.look, f"{page.file}-brief-")
    return found


def differences(wanted: Mapping[str, str], there: Mapping[str, str]) -> tuple[str, ...]:
    """How a folder differs from what it should be: names of files, each with what is wrong with it."""
    missing = [f"{name} is missing" for name in wanted if name not in there]
    stale = [f"{name} is out of date" for name in wanted if name in there and there[name] != wanted[name]]
    return (*missing, *stale, *(f"{name} does not belong there" for name in sorted(there) if name not in wanted))


# -------------------------------------------------------------------------------------------------- looks


def _pages(chart: Chart, gallery: Gallery, atlas: Atlas) -> list[Page]:
    found = [Page("whole", draw.whole(chart, gallery.title), "")]
    for event, title, told in gallery.events:
        found.append(Page(f"flag-{identifier(event)}", draw.flag(chart, event, title), told))
    for name, title, told in gallery.counters:
        found.append(Page(f"counter-{identifier(name)}", draw.counter(chart, name, title), told))
    for states, paths in atlas.families.items():
        found.append(Page(family_name(states), _family_look(chart, states, paths), ""))
    return found


def _family_look(chart: Chart, states: Sequence[str], paths: Sequence[Path]) -> Look:
    legal = [path for path in paths if path.witness is not None]
    ids = dict.fromkeys(row for path in legal for row in path.rows)
    return draw.rows(chart, ids, name=family_name(states), title=" → ".join(states),
                     caption=[f"{len(legal)} legal paths visit these states in this order"],
                     told="on a path of this family")
