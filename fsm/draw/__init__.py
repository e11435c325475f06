"""Pictures of charts and sessions, with Graphviz, Mermaid and Markdown.

    from fsm import draw
    draw.svg(LOGOFF)                                          # the whole machine
    draw.svg(session, came="submit,logoff_orderly")           # where a session stands, what is accepted, how it came
    draw.svg(LOGOFF, draw.flag(LOGOFF, "logoff_orderly"))     # every way on which this event leads to the end
    draw.svg(LOGOFF, draw.trace(LOGOFF, "submit,logoff_quiet"))
    draw.graph(session)                                       # a graphviz.Digraph: .source, .render(), .pipe()
    draw.mermaid(LOGOFF), draw.table(LOGOFF), draw.image(LOGOFF, "png")

A *highlight* says which rows and states stand out: `whole`, `flag`, `counter`, `rows`, `path`, `trace`, `position`.
All pictures of a chart share one layout: nothing moves between them, and only the first takes long.
Drawing reads a session and never runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast
from weakref import WeakKeyDictionary

from fsm.analysis.trace import TraceError
from fsm.chart import Chart, Configuration
from fsm.draw.dot import digraph
from fsm.draw.errors import DrawingError
from fsm.draw.highlight import Highlight, counter, flag, path, position, rows, trace, whole
from fsm.draw.labels import Sums, identifier
from fsm.draw.picture import Picture, overview, picture
from fsm.draw.placement import place
from fsm.draw.rendering import FORMATS, RENDERERS, TIMEOUT, chosen, render
from fsm.draw.svg_layout import Layout

if TYPE_CHECKING:
    import graphviz

__all__ = [
    "FORMATS", "RENDERERS", "TIMEOUT", "DrawingError", "Highlight", "Layout", "Subject", "TraceError", "counter",
    "flag", "forget", "graph", "image", "layout", "mermaid", "mimebundle", "path", "position", "rows", "svg", "table",
    "trace", "whole",
]  # fmt: skip


class SessionClass(Protocol):
    """What is drawn of a session class: its chart."""

    @property
    def chart(self) -> Chart: ...


class Positioned(SessionClass, Protocol):
    """What is drawn of a session: its chart, and where it stands."""

    @property
    def configuration(self) -> Configuration: ...


Subject: TypeAlias = "Chart | Positioned | SessionClass"
"""What can be drawn: a chart, a session in its present configuration, or the chart of a session class."""


def graph(subject: Subject, highlight: Highlight | None = None, *, came: str | Sequence[str] = (), brief: bool = False,
          sums: Sums | None = None) -> graphviz.Digraph:
    """Return the picture as a `graphviz.Digraph` with title and legend; `.source` is the DOT text.

    Highlighted rows begin with `»`, since Graphviz cannot colour a single line of a label.  Errors as of `position`.
    """
    chart, highlight = _resolved(subject, highlight, came)
    return digraph(_picture(chart, brief, sums), highlight)


def svg(subject: Subject, highlight: Highlight | None = None, *, came: str | Sequence[str] = (), brief: bool = False,
        sums: Sums | None = None, prefix: str = "", renderer: str = "auto", timeout: float = TIMEOUT) -> str:
    """Return the picture as SVG, which looks the same whatever fonts its reader has.

    `came` is the trace by which the session got where it is.  `brief` draws the overview.  `sums` are named sums of
    counters, instead of those of the chart.  `prefix` is put before every id, for several pictures on one page.
    `timeout` limits a `dot` process, in seconds.

    Raise ValueError for an unknown renderer; DrawingError, with the DOT source in `.dot`, when no renderer is installed
    or it fails; TraceError when `came` is not legal or does not lead to where the session is.
    """
    chart, highlight = _resolved(subject, highlight, came)
    laid_out = layout(chart, brief=brief, sums=sums, renderer=renderer, timeout=timeout)
    return laid_out.svg(highlight, identifier(prefix))


def image(subject: Subject, format: str, highlight: Highlight | None = None, *, came: str | Sequence[str] = (),
          brief: bool = False, sums: Sums | None = None, renderer: str = "auto", timeout: float = TIMEOUT) -> bytes:
    """Return the picture in one of FORMATS; png and pdf need the program `dot`.  Errors as of `svg`."""
    if format == "svg":
        return svg(subject, highlight, came=came, brief=brief, sums=sums, renderer=renderer, timeout=timeout).encode()
    return render(graph(subject, highlight, came=came, brief=brief, sums=sums).source, format, renderer, timeout)


def mermaid(subject: Subject, highlight: Highlight | None = None, *, came: str | Sequence[str] = (),
            brief: bool = False, sums: Sums | None = None) -> str:
    """Return the picture as Mermaid text."""
    from fsm.draw import markdown

    chart, highlight = _resolved(subject, highlight, came)
    return markdown.mermaid(_picture(chart, brief, sums), highlight)


def table(subject: Subject, highlight: Highlight | None = None, *, came: str | Sequence[str] = (),
          sums: Sums | None = None) -> str:
    """Return all rows as a Markdown table; highlighted rows begin with `»`."""
    from fsm.draw import markdown

    chart, highlight = _resolved(subject, highlight, came)
    return markdown.table(chart, highlight, sums)


_layouts: WeakKeyDictionary[Chart, dict[tuple[object, ...], Layout]] = WeakKeyDictionary()


def layout(chart: Chart, *, brief: bool = False, sums: Sums | None = None, renderer: str = "auto",
           timeout: float = TIMEOUT) -> Layout:
    """Return the layout of a chart, made once for each renderer and choice of options.  Errors as of `svg`."""
    known = _layouts.setdefault(chart, {})
    key = (brief, chosen(renderer), None if sums is None else tuple((name, str(sums[name])) for name in sums))
    if key not in known:
        drawn = _picture(chart, brief, sums)
        try:
            known[key] = Layout(drawn, place(drawn, renderer, timeout))
        except DrawingError as error:  # its source shows empty boxes: give one that shows the picture
            raise DrawingError(error.problem, digraph(drawn, whole(chart)).source) from None
    return known[key]


def forget(chart: Chart) -> None:
    """Forget the layouts of a chart, so that the next picture is laid out again: for benchmarks and a new `dot`."""
    _layouts.pop(chart, None)


def mimebundle(subject: Chart | Positioned) -> dict[str, str]:
    """Return what a notebook shows of a chart or a session: its `repr`, and its picture.

    Without a renderer it is the DOT source.
    """
    words = repr(subject)
    here = (subject.name,) if isinstance(subject, Chart) else (subject.chart.name, *subject.configuration)
    name = identifier("-".join(map(str, here)))
    try:
        return {"text/plain": words, "image/svg+xml": svg(subject, prefix=f"{name}-")}
    except DrawingError as error:
        return {"text/plain": f"{words}\n({error})", "text/vnd.graphviz": graph(subject).source}


def _picture(chart: Chart, brief: bool, sums: Sums | None) -> Picture:
    return overview(chart) if brief else picture(chart, sums)


def _resolved(subject: Subject, highlight: Highlight | None, came: str | Sequence[str]) -> tuple[Chart, Highlight]:
    if isinstance(subject, Chart):
        return subject, highlight or whole(subject)
    if isinstance(subject, type):
        return subject.chart, highlight or whole(subject.chart)
    here = cast("Positioned", subject).configuration
    return subject.chart, highlight or position(subject.chart, here, came, subject=subject)
