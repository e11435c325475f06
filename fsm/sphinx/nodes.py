"""Pictures, explorers and links to them in a document, and how they become HTML.

They keep what was asked for, as words, and are drawn when the page is written.  Where a format has no pictures
(plain text, manual pages) their description stands instead.
"""

from __future__ import annotations

import posixpath
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from docutils import nodes

from fsm.sphinx.asked import explorer_page, picture

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["Explorer", "Picture", "Trace", "add_nodes"]

SMALL: Final = 640
"""Pictures up to this width shrink with the page; in wider ones a narrow page scrolls, so that they can be read."""


class Picture(nodes.General, nodes.Element):
    """A picture: `asked`, and `alt`."""


class Explorer(nodes.General, nodes.Element):
    """An explorer in a frame: `asked`, `file`, `trace`, `height`, `alt`."""


class Trace(nodes.Inline, nodes.TextElement):
    """A link to an explorer: `chart`, empty for the only one, and `trace`."""

    def __init__(self, rawsource: str = "", chart: str = "", trace: str = "") -> None:
        super().__init__(rawsource, trace, chart=chart, trace=trace)


def add_nodes(app: Sphinx) -> None:
    """Tell Sphinx how they are written."""
    others: Any = dict.fromkeys(("latex", "text", "man", "texinfo"), (_described, None))
    app.add_node(Picture, html=(_picture, None), **others)
    app.add_node(Explorer, html=(_explorer, None), **others)
    others = dict.fromkeys(("latex", "text", "man", "texinfo"), (_pass, _pass))
    app.add_node(Trace, html=(_trace, _trace_end), **others)


def _folder(writer: Any) -> Path:
    folder = Path(writer.builder.outdir, writer.builder.imagedir)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _picture(writer: Any, node: Picture) -> None:
    svg = picture(node["asked"], writer.builder.config.fsm_renderer)
    name = f"fsm-{sha256(svg.encode()).hexdigest()[:16]}.svg"
    (_folder(writer) / name).write_text(svg, encoding="utf-8")
    width = int(svg.partition(' width="')[2].partition('"')[0])
    link = posixpath.join(writer.builder.imgpath, name)
    size = "max-width:100%" if width <= SMALL else f"max-width:none;width:{width}px"
    writer.body.append(
        f'<div class="fsm-picture" style="overflow-x:auto" tabindex="0"><a class="reference internal" href="{link}">'
        f'<img src="{link}" alt="{escape(node["alt"])}" style="{size};height:auto"></a></div>\n'
    )
    raise nodes.SkipNode


def _explorer(writer: Any, node: Explorer) -> None:
    page = explorer_page(node["asked"], writer.builder.config.fsm_renderer)
    (_folder(writer) / node["file"]).write_text(page, encoding="utf-8")
    link = posixpath.join(writer.builder.imgpath, node["file"]) + (f"#{node['trace']}" if node["trace"] else "")
    alt = escape(node["alt"])
    writer.body.append(
        f'<div class="fsm-explorer"><iframe src="{escape(link)}" title="{alt}" loading="lazy" '
        f'style="width:100%;height:{escape(node["height"])};border:1px solid #8884;border-radius:6px"></iframe>'
        f'<p><a class="reference internal" href="{escape(link)}">{alt}, on a page of its own</a></p></div>\n'
    )
    raise nodes.SkipNode


def _trace(writer: Any, node: Trace) -> None:
    file = writer.builder.env.get_domain("fsm").explorer(node["chart"])
    if file is None:
        writer.body.append("<code>")
        return
    link = f"{posixpath.join(writer.builder.imgpath, file)}#{node['trace']}"
    writer.body.append(f'<a class="reference internal fsm-trace" href="{escape(link)}"><code>')


def _trace_end(writer: Any, node: Trace) -> None:
    linked = writer.builder.env.get_domain("fsm").explorer(node["chart"]) is not None
    writer.body.append("</code></a>" if linked else "</code>")


def _described(writer: Any, node: nodes.Element) -> None:
    node.append(nodes.paragraph("", node["alt"]))
    node[-1].walkabout(writer)
    raise nodes.SkipNode


def _pass(writer: Any, node: nodes.Element) -> None:
    """Write the text of the link alone."""
