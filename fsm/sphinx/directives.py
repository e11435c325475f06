"""The directives `fsm-chart`, `fsm-explorer` and `fsm-paths`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.addnodes import pending_xref
from sphinx.util.docutils import SphinxDirective

from fsm.analysis.paths import Atlas, Path
from fsm.analysis.reachability import cut_text
from fsm.chart import Chart, Row
from fsm.commands import CommandError
from fsm.draw.labels import display_name, display_text, event_text, guard_text, identifier, sums_of
from fsm.sphinx.asked import Asked, atlas, chart_of, file_of, highlight
from fsm.sphinx.domain import ChartDomain, anchor
from fsm.sphinx.nodes import Explorer, Picture, Trace

__all__ = ["ChartDirective", "ExplorerDirective", "PathsDirective"]


def _bounds(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(";") if part.strip())


class _Directive(SphinxDirective):
    """What the directives have in common: the chart, and one clear sentence for what is wrong."""

    required_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar[dict[str, Any]] = {"bound": _bounds, "name": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return what stands in the document."""
        try:
            self.asked = self._asked()
            self.chart = chart_of(self.asked)
            file = file_of(self.asked)
            made = self.made()
        except CommandError as error:
            raise self.error(str(error)) from None
        if file is not None:
            self.env.note_dependency(file)
        self.add_name(made[0])  # type: ignore[arg-type]  # every one of them is an element
        return made

    def _asked(self) -> Asked:
        known = ("bound", "flag", "path", "trace", "counter")
        given = {name: self.options[name] for name in known if name in self.options}
        file, colon, name = self.arguments[0].partition(":")
        if file.lower().endswith((".py", ".json", ".scxml")):  # beside the page, or from the top
            file = self.env.relfn2path(file)[1]
        return Asked(f"{file}{colon}{name}", brief="brief" in self.options, **given)

    def made(self) -> list[nodes.Node]:
        """Return what stands in the document, the first of it an element."""
        raise NotImplementedError

    @property
    def charts(self) -> ChartDomain:
        """Where links lead."""
        domain = self.env.get_domain("fsm")
        assert isinstance(domain, ChartDomain)
        return domain


class ChartDirective(_Directive):
    """`.. fsm-chart:: module:NAME`: a picture, or with `:table:` every row; the content is the caption.

    With `:cites:` what the rows cite are links to labels of these names.
    """

    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {
        **_Directive.option_spec, "brief": directives.flag, "table": directives.flag, "flag": directives.unchanged,
        "path": directives.unchanged, "trace": directives.unchanged, "counter": directives.unchanged,
        "alt": directives.unchanged, "cites": directives.flag,
    }  # fmt: skip

    def made(self) -> list[nodes.Node]:
        """Return a figure, or a table."""
        shown = highlight(self.asked)
        if "table" in self.options:
            self.charts.note_table(self.chart)
            heads = ("row", "from", "event", "condition", "effect", "to", "why")
            return [_table(heads, _rows(self.chart, "cites" in self.options))]
        picture = Picture("", asked=self.asked, alt=self.options.get("alt", display_text(shown.title)))
        caption = nodes.caption()
        if self.content:
            caption += self.parse_inline(" ".join(self.content), lineno=self.content_offset)[0]
        return [nodes.figure("", picture, *([caption] if self.content else []), classes=["fsm-chart"])]


class ExplorerDirective(_Directive):
    """`.. fsm-explorer:: module:NAME`: the page to step through, in a frame."""

    option_spec: ClassVar[dict[str, Any]] = {
        **_Directive.option_spec, "trace": directives.unchanged, "height": directives.unchanged,
        "alt": directives.unchanged,
    }  # fmt: skip

    def made(self) -> list[nodes.Node]:
        """Return the frame."""
        highlight(self.asked)  # is the trace legal?
        file = f"explorer-{identifier(self.chart.name)}.html"
        self.charts.note_explorer(self.chart.name, file)
        height, trace = self.options.get("height", "44rem"), self.options.get("trace", "")
        alt = self.options.get("alt", f"{display_name(self.chart.name)}: step through it")
        return [Explorer("", asked=self.asked._replace(trace=None), file=file, trace=trace, height=height, alt=alt)]


class PathsDirective(_Directive):
    """`.. fsm-paths:: module:NAME`: every path to an end, with a witness that opens in the chart's explorer."""

    option_spec: ClassVar[dict[str, Any]] = {
        **_Directive.option_spec, "flag": directives.unchanged, "state": directives.unchanged,
        "row": directives.unchanged, "length": directives.unchanged,
    }  # fmt: skip

    def _asked(self) -> Asked:
        return super()._asked()._replace(flag=None)

    def made(self) -> list[nodes.Node]:
        """Return a sentence, and the table of the paths chosen."""
        found = atlas(self.asked)
        chosen = [path for path in found.paths if self._wanted(path)]
        if not chosen:
            raise CommandError(f"no path of {self.chart.name} has {self._choice()}")
        cut = cut_text(self.chart, found.bounds, found.cut)
        of = f" of {len(found.paths)}" if len(chosen) < len(found.paths) else ""
        heads = ("path", "rows", found.flag_name or "end", "witness")
        return [nodes.paragraph("", f"{len(chosen)}{of} paths; {cut}."), _table(heads, self._lines(found, chosen))]

    def _choice(self) -> str:
        names = ("flag", "state", "row", "length")
        return ", ".join(f"{name} {self.options[name]}" for name in names if name in self.options)

    def _wanted(self, path: Path) -> bool:
        options = self.options
        low, _, high = options.get("length", "0-").partition("-")
        if not low.isdigit() or not (high or "0").isdigit():
            raise CommandError(f":length: is a number of rows such as 2, or 1-3, not {options['length']!r}")
        most = int(high) if high else int(low) if "-" not in options.get("length", "-") else len(path.rows)
        return (
            int(low) <= len(path.rows) <= most
            and ("flag" not in options or options["flag"] in path.flags)
            and ("state" not in options or options["state"] in path.states)
            and ("row" not in options or options["row"] in path.rows)
        )

    def _lines(self, found: Atlas, chosen: Sequence[Path]) -> Iterable[Sequence[Sequence[nodes.Node]]]:
        for path in chosen:
            rows = [node for row in path.rows for node in (nodes.literal("", row), nodes.Text(" "))][:-1]
            end: nodes.Node = nodes.Text(display_text(path.flag or path.states[-1]))
            if path.witness is None:
                last: list[nodes.Node] = [nodes.Text(f"none: {display_text(path.infeasible or '')}")]
            else:
                last = [Trace(chart=self.chart.name, trace=",".join(path.witness))]
            yield [nodes.Text(path.id)], rows, [end], last


def _why(row: Row, linked: bool) -> list[nodes.Node]:
    """Return the reason of a row and what it cites, which may be links to labels of these names."""
    found: list[nodes.Node] = [nodes.Text(display_text(row.why))]
    for place, cite in enumerate(row.cites):
        name: nodes.Node = nodes.Text(display_text(cite))
        if linked:
            name = pending_xref(
                "", nodes.inline("", "", name), refdomain="std", reftype="ref", reftarget=cite.lower(),
                refexplicit=True, refwarn=True,
            )  # fmt: skip
        found += [nodes.Text(", " if place else " (" if row.why else "("), name]
    return [*found, nodes.Text(")")] if row.cites else found


def _rows(chart: Chart, linked: bool) -> Iterable[Sequence[Sequence[nodes.Node]]]:
    """Yield the cells of every row, with the places that links lead to."""
    named, known = sums_of(chart), set[str]()

    def places(**names: str) -> list[str]:
        found = [anchor(chart.name, kind, name) for kind, name in names.items()]
        new = [one for one in found if one not in known]
        known.update(new)
        return new

    for row in chart.rows:
        guard = guard_text(row.guard, named)
        ids = places(row=row.id, state=str(row.source), event=str(row.event))
        first: nodes.Node = nodes.literal("", display_name(row.id), ids=ids)
        yield (
            [first], [nodes.literal("", display_name(row.source))],
            [nodes.literal("", event_text(chart, row.source, row.event))],
            [nodes.literal("", guard)] if guard else [], [nodes.literal("", row.effect_text)] if row.effects else [],
            [nodes.literal("", display_name(row.target))] if row.leaves else [nodes.Text("stays")],
            _why(row, linked),
        )  # fmt: skip
    for state in chart.states:  # a final state has no row of its own
        if anchor(chart.name, "state", str(state)) not in known:
            cell: nodes.Node = nodes.literal("", display_name(state), ids=places(state=str(state)))
            yield [nodes.Text("-")], [cell], [], [], [], [], [nodes.Text(display_text(state.doc))]


def _table(heads: Sequence[str], lines: Iterable[Sequence[Sequence[nodes.Node]]]) -> nodes.table:
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in heads), cols=len(heads))
    group += nodes.thead("", _line([[nodes.Text(head)] for head in heads]))
    group += nodes.tbody("", *map(_line, lines))
    return nodes.table("", group, classes=["fsm-table"])


def _line(cells: Sequence[Sequence[nodes.Node]]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells))
