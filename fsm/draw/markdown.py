"""A picture as text for a Markdown page: Mermaid, which many viewers draw, and a table of all rows.

Theory.
1. Mermaid draws only one of several loops of a state, so rows that stay in a state are lines of the state.  Above each
   statement a comment has the ids of its rows.
2. Mermaid cannot colour or indent a single line: highlighted rows begin with `»`, rows under a heading with `·`; states
   are coloured.
3. Names are data.  In Mermaid everything but letters, digits and harmless punctuation becomes a character entity, and
   so does the blank in `direction LR`, which Mermaid takes for a statement anywhere in a line; in
   the table names are code spans or, where those are not safe, entities.  So no name can become a link, an element, a
   directive, or another cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

from fsm.draw.highlight import Highlight
from fsm.draw.labels import Sums, display_name, display_text, event_text, guard_text, identifier, sums_of
from fsm.draw.picture import Line, row_ids
from fsm.draw.style import LIGHT

if TYPE_CHECKING:
    from fsm.chart import Chart
    from fsm.draw.picture import Picture

__all__ = ["code", "mermaid", "prose", "table"]

CLASS: Final = {"current": "here", "taken": "way", "selected": "on", "dimmed": "dim"}
"""The class of a mark in Mermaid: short, since every diagram names them.  An enabled state is not coloured."""
STYLES: Final = {
    "current": f"fill:{LIGHT['glow']},stroke:{LIGHT['current']},stroke-width:3px,color:{LIGHT['ink']}",
    "taken": f"fill:{LIGHT['tint']},stroke:{LIGHT['taken']},stroke-width:2px,color:{LIGHT['ink']}",
    "selected": f"fill:{LIGHT['tint']},stroke:{LIGHT['selected']},stroke-width:2px,color:{LIGHT['ink']}",
    "dimmed": f"fill:{LIGHT['box']},stroke:{LIGHT['faint']},color:{LIGHT['soft']}",
}


# ------------------------------------------------------------------------------------------------- Mermaid


def mermaid(picture: Picture, highlight: Highlight) -> str:
    """Return the picture as a Mermaid state diagram, ending with a newline."""
    chart = picture.chart
    lines = ["stateDiagram-v2", f"  accTitle: {_text(display_name(highlight.title))}", "  direction TB"]
    lines += [f"  classDef {CLASS[mark]} {style}" for mark, style in STYLES.items()]
    for box in picture.boxes:
        lines.append(f'  state "{_text(display_name(box.state))}" as {_id(box.state)}')
        lines += [f"  {_id(box.state)} : {_text(box.note)}"] if box.note else []
        for one in _joined(box.lines):
            lines += _ids([one])
            lines.append(f"  {_id(box.state)} : {_marked(one, highlight)}")
    lines.append(f"  [*] --> {_id(chart.initial)}")
    for arc in picture.arcs:
        lines += _ids(arc.lines)
        label = "<br/>".join(_marked(one, highlight) for one in _joined(arc.lines))
        lines.append(f"  {_id(arc.source)} --> {_id(arc.target)} : {label}")
    lines += [f"  {_id(state)} --> [*]" for state in chart.states if state.final]
    for state in chart.states:
        mark = highlight.states.get(state, highlight.rest)
        if mark in CLASS:
            lines.append(f"  class {_id(state)} {CLASS[mark]}")
    return "\n".join(lines) + "\n"


def _ids(lines: Sequence[Line]) -> Iterable[str]:
    ids = " ".join(identifier(row) for row in row_ids(lines))
    if ids:
        yield f"  %% rows: {ids}"


def _id(state: str) -> str:
    return "s_" + re.sub(r"[^A-Za-z0-9]", lambda found: f"_{ord(found[0]):x}_", state)


def _joined(lines: Sequence[Line]) -> Iterable[Line]:
    """Join the lines of each row and of each heading: Mermaid breaks lines itself."""
    for (rows, heading), group in groupby(lines, lambda line: (line.rows, line.heading)):
        first, *more = group
        yield Line(rows, " ".join([first.text, *(line.text.strip("\u00a0") for line in more)]), heading)


def _marked(line: Line, highlight: Highlight) -> str:
    bare = line.text.lstrip("\u00a0")
    mark = "» " if not line.heading and highlight.mark(line.rows) not in ("", "dimmed") else ""
    return ("· " if bare != line.text else "") + mark + _text(bare)


SPECIAL: Final = re.compile(r"""
    [^\w .,+=()/·»-]                             # what may mean something to Mermaid or to Markdown
    | (?<=direction)[ ]+(?=(?:TB|BT|RL|LR)\b)    # wherever they stand in a line, these words turn the picture
    | (?<![^\W_])_ | _(?![^\W_])                 # Markdown's emphasis
""", re.IGNORECASE | re.VERBOSE)  # fmt: skip


def _text(text: str) -> str:
    return SPECIAL.sub(lambda found: "".join(f"#{ord(character)};" for character in found[0]), text)


# --------------------------------------------------------------------------------------------------- table


def prose(text: str) -> str:
    """Return prose as text of a table cell or a paragraph, without any markup."""
    special = r"[^\w .,;()'@:→-]|(?<!\w)_|_(?!\w)|(?<=www)\.|:(?=/)|@"
    return re.sub(special, lambda found: _entities(found[0]), display_text(text))


def table(
    chart: Chart, highlight: Highlight, sums: Sums | None = None, cited: Callable[[str], str] = prose
) -> str:
    """Return all rows as a Markdown table, in the order of the chart; `cited` writes what rows cite."""
    named = sums_of(chart) if sums is None else sums
    heads = ["row", "from", "event", "condition", "effect", "to", "why"]
    lines = []
    for row in chart.rows:
        guard = guard_text(row.guard, named)
        cites = f"({', '.join(map(cited, row.cites))})" if row.cites else ""
        why = " ".join(part for part in (prose(row.why), cites) if part)
        event = event_text(chart, row.source, row.event)
        cells = [code(display_name(row.id)), code(display_name(row.source)), code(event), code(guard) if guard else "",
                 code(row.effect_text) if row.effects else "",
                 code(display_name(row.target)) if row.leaves else "stays", why]
        mark = highlight.mark((row.id,))
        lines.append([{"": "", "dimmed": ""}.get(mark, "»"), *cells] if highlight.rest else cells)
    heads = [" ", *heads] if highlight.rest else heads
    return "\n".join(["| " + " | ".join(cells) + " |" for cells in (heads, ["---"] * len(heads), *lines)]) + "\n"


def code(text: str) -> str:
    """Return a name or an expression as a code span of a table cell."""
    if text.strip() == text and not re.search(r"[|`\\]", text):
        return f"`{text}`"
    return f"<code>{_entities(text)}</code>"


def _entities(text: str) -> str:
    return "".join(
        c if c.isalnum() or c == " " else "<span>@</span>" if c == "@" else f"&#{ord(c)};" for c in text
    )
