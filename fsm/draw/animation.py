"""A walk as a moving picture: an SVG that shows the machine after each event of a trace, one after the other.

It needs no script, so it moves wherever pictures are shown.  For readers who asked for less movement it stands still,
at the end of the walk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from fsm.draw.highlight import follow, position
from fsm.draw.labels import display_name, display_text
from fsm.draw.metrics import text_width
from fsm.draw.style import STYLE
from fsm.draw.svg_layout import SIDE, TOP, escaped

if TYPE_CHECKING:
    from fsm.chart import Chart, Configuration
    from fsm.draw.svg_layout import Layout

__all__ = ["animation"]

BELOW, SAID = 50, 14
"""The height of the two lines below the drawing, and the size of the first."""
STAYS: Final = 3
"""How many times as long as another the last moment is shown."""


def animation(layout: Layout, chart: Chart, trace: str | Sequence[str], title: str, seconds: float = 1.6) -> str:
    """Return the moving picture of a trace; each of its moments is shown for so many seconds.

    TraceError when the trace is not legal from the start.
    """
    steps = follow(chart, trace)
    here = [chart.start(), *(after for _, after in steps)]
    events = [row.event for row, _ in steps]
    said = ["the start", *(f"{place}. {display_name(event)}" for place, event in enumerate(events, 1))]
    told = [f"{one}: {display_text(chart.describe(now))}" for one, now in zip(said, here, strict=True)]
    lines = [(line, _output(chart, now)) for line, now in zip(told, here, strict=True)]
    width = round(max(layout.width, *(text_width(line, SAID) for line, _ in lines)) + 2 * SIDE)
    height, below = round(TOP + layout.height + BELOW), TOP + layout.height + 22
    moments = []
    for number, (line, output) in enumerate(lines):
        drawn = layout.drawing(position(chart, here[number], events[:number]), f"m{number}-")
        drawn = re.sub(r"<title>[^<]*</title>", "", drawn)  # nobody can point at what moves
        last = " last" if number == len(steps) else ""
        moments.append(
            f'<g class="moment{last}" style="animation-delay:{number * seconds:g}s">'
            f'<g transform="translate({SIDE:g} {TOP:g})">\n{drawn}</g>\n'
            f'<text class="said" x="{SIDE:g}" y="{below:g}">{escaped(line)}</text>'
            f'<text class="note" x="{SIDE:g}" y="{below + 18:g}">{escaped(output)}</text></g>\n'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="fsm" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-labelledby="title desc">\n'
        f'<title id="title">{escaped(display_text(title))}</title>\n<desc id="desc">{escaped("; ".join(told))}</desc>\n'
        f"<style>{STYLE}{_moving(len(moments), seconds)}</style>\n"
        f'<rect class="paper" width="{width}" height="{height}"/>\n'
        f'<text class="heading" x="{SIDE:g}" y="26">{escaped(display_text(title))}</text>\n{"".join(moments)}</svg>\n'
    )


def _output(chart: Chart, now: Configuration) -> str:
    names = chart.flag_names(chart.flags(now))
    return f"output {display_text(' '.join(names))}" if names else ""


def _moving(moments: int, seconds: float) -> str:
    parts = moments - 1 + STAYS
    return (
        f".fsm .said{{font-size:{SAID}px}}"
        f".fsm .moment{{visibility:hidden;animation:moment {parts * seconds:g}s step-end infinite}}"
        f"@keyframes moment{{0%{{visibility:visible}}{100 / parts:.4f}%{{visibility:hidden}}}}"
        f"@keyframes last{{0%{{visibility:visible}}{100 * STAYS / parts:.4f}%{{visibility:hidden}}}}"
        ".fsm .last{animation-name:last}"
        "@media (prefers-reduced-motion:reduce){.fsm .moment{animation:none}.fsm .last{visibility:visible}}"
    )
