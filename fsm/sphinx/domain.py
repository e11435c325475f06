"""What documentation can link to: the states, events and rows of the charts whose tables it has, and the explorers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from docutils import nodes
from sphinx.domains import Domain, ObjType
from sphinx.roles import XRefRole
from sphinx.util.docutils import SphinxRole
from sphinx.util.nodes import make_refnode

from fsm.draw.labels import identifier
from fsm.sphinx.nodes import Trace

if TYPE_CHECKING:
    from sphinx.builders import Builder
    from sphinx.environment import BuildEnvironment

    from fsm.chart import Chart

__all__ = ["ChartDomain", "anchor"]

KINDS: Final = ("state", "event", "row")


def anchor(chart: str, kind: str, name: str) -> str:
    """Return the id of a state, an event or a row on its page."""
    return f"{kind}-{identifier(chart)}-{identifier(name)}"


class TraceRole(SphinxRole):
    """`:fsm:trace:`: a link to the explorer of a chart, where these events have happened."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the link; the trace may have the name of its chart before it: `order/pay,ship`."""
        chart, _, events = self.text.rpartition("/")
        return [Trace(self.text, chart=chart, trace=events)], []


class ChartDomain(Domain):
    """The domain `fsm`: rows, states and events, by the name of their chart and their own."""

    name = "fsm"
    label = "finite-state machines"
    object_types = {kind: ObjType(kind, kind) for kind in KINDS}
    roles = {**{kind: XRefRole(innernodeclass=nodes.literal) for kind in KINDS}, "trace": TraceRole()}
    initial_data = {"objects": {}, "explorers": {}}

    def note_table(self, chart: Chart) -> None:
        """Remember that the page under way has the table of this chart."""
        names = {"state": chart.states, "event": chart.events, "row": [row.id for row in chart.rows]}
        for kind in KINDS:
            for name in names[kind]:
                where = self.env.current_document.docname, anchor(chart.name, kind, str(name))
                self.data["objects"][kind, chart.name, str(name)] = where

    def note_explorer(self, chart: str, file: str) -> None:
        """Remember that the page under way has the explorer of this chart."""
        self.data["explorers"].setdefault(chart, (self.env.current_document.docname, file))

    def explorer(self, chart: str) -> str | None:
        """Return the file with the explorer of a chart; without a name, of the first one there is."""
        found = self.data["explorers"].get(chart) if chart else next(iter(self.data["explorers"].values()), None)
        return None if found is None else str(found[1])

    # --------------------------------------------------------------------------------- what Sphinx asks

    def clear_doc(self, docname: str) -> None:
        """Forget a page that is read again."""
        for kept in (self.data["objects"], self.data["explorers"]):
            for key in [key for key, (page, _) in kept.items() if page == docname]:
                del kept[key]

    def merge_domaindata(self, docnames: Any, otherdata: dict[str, Any]) -> None:
        """Take over what another process has read."""
        for name, kept in (("objects", self.data["objects"]), ("explorers", self.data["explorers"])):
            kept.update({key: where for key, where in otherdata[name].items() if where[0] in docnames})

    def resolve_xref(
        self, env: BuildEnvironment, fromdocname: str, builder: Builder, typ: str, target: str,
        node: Any, contnode: nodes.Element,
    ) -> nodes.reference | None:  # fmt: skip
        """Return the link for a role; None if there is no such thing, or several charts have one."""
        found = self._find(typ, target)
        if len(found) != 1:
            return None
        page, id = found[0]
        return make_refnode(builder, fromdocname, page, id, contnode, target)

    def resolve_any_xref(
        self, env: BuildEnvironment, fromdocname: str, builder: Builder, target: str, node: Any, contnode: nodes.Element
    ) -> list[tuple[str, nodes.reference]]:
        """Return the links for the role `any`."""
        found = ((kind, self.resolve_xref(env, fromdocname, builder, kind, target, node, contnode)) for kind in KINDS)
        return [(f"fsm:{kind}", link) for kind, link in found if link is not None]

    def _find(self, kind: str, target: str) -> list[tuple[str, str]]:
        chart, _, name = target.rpartition("/")
        objects = self.data["objects"].items()
        return [where for (of, its, own), where in objects if of == kind and own == name and chart in ("", its)]

    def get_objects(self) -> Iterator[tuple[str, str, str, str, str, int]]:
        """Yield all of it, for the search and for other sites."""
        for (kind, chart, name), (page, id) in sorted(self.data["objects"].items()):
            yield f"{chart}/{name}", name, kind, page, id, 1
