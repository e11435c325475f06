"""What a directive asks for, as words that a document can keep, and its answer: a picture, an explorer, the paths.

The words are those of the command line, and so are the complaints.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

from fsm import draw
from fsm.analysis.paths import Atlas
from fsm.chart import Chart
from fsm.commands.chart_files import find_chart, module_of
from fsm.commands.chart_options import analysis_errors, bounds
from fsm.commands.draw import highlight_of
from fsm.commands.explore import LARGEST, make_page

__all__ = ["Asked", "atlas", "chart_of", "explorer_page", "file_of", "highlight", "picture"]


class Asked(NamedTuple):
    """A chart, and what is wanted of it; the names are those of the options of `fsm draw` and `fsm explore`."""

    chart: str
    bound: tuple[str, ...] | None = None
    brief: bool = False
    flag: str | None = None
    path: str | None = None
    trace: str | None = None
    counter: str | None = None


def chart_of(asked: Asked) -> Chart:
    """Return the chart.  CommandError when there is none."""
    return find_chart(asked.chart)


def file_of(asked: Asked) -> str | None:
    """Return the file the chart is in, if it is known."""
    if asked.chart.lower().endswith((".json", ".scxml")):
        return asked.chart
    return getattr(module_of(asked.chart), "__file__", None)


def highlight(asked: Asked) -> draw.Highlight:
    """Return what stands out in the picture.  CommandError for what the chart does not have."""
    return highlight_of(chart_of(asked), _words(asked))


def picture(asked: Asked, renderer: str) -> str:
    """Return the picture as SVG.  DrawingError without a renderer."""
    return draw.svg(chart_of(asked), highlight(asked), brief=asked.brief, renderer=renderer)


def explorer_page(asked: Asked, renderer: str) -> str:
    """Return the explorer.  CommandError when it cannot be made."""
    return make_page(_words(asked, renderer))


def atlas(asked: Asked) -> Atlas:
    """Return the paths.  CommandError when they cannot be listed."""
    chart = chart_of(asked)
    with analysis_errors():
        return Atlas(chart, bounds(_words(asked), chart))


def _words(asked: Asked, renderer: str = "auto") -> argparse.Namespace:
    words = {**asked._asdict(), "bound": None if asked.bound is None else list(asked.bound)}
    return argparse.Namespace(**words, renderer=renderer, timeout=draw.TIMEOUT, limit=LARGEST)
