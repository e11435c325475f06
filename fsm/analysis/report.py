"""The report: what is true of a chart, each property in one sentence, with a counterexample as a trace when one fails.

Theory.
1. Some properties follow from the table for all counts (`validation.py`, `invariants.py`); they say so.  Everything
   else is looked at in every configuration and step of the graph within the bounds, and says how many those were.
2. What was proved is looked at as well, so that the proof and the running machine check each other.
3. A property fails with a trace from the start, which anyone can replay.  Where only the bounds hide the answer
   (a path to a final state that leads outside), the property neither holds nor fails: it is *unknown*.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

from fsm.analysis.conformance import disagreements
from fsm.analysis.invariants import proves_always, proves_change
from fsm.analysis.properties import (
    Always,
    Changes,
    EachConfiguration,
    EachStep,
    Falls,
    Property,
    Situation,
    StepView,
    fits,
)
from fsm.analysis.reachability import LIMIT, Cut, ExploreError, Graph
from fsm.analysis.shown import html_table
from fsm.analysis.traps import Ends, bounds_around, ends
from fsm.chart import Chart
from fsm.condition import Condition
from fsm.validation import proofs, shape_problems

__all__ = ["Finding", "Report", "check"]

Status: TypeAlias = Literal["holds", "fails", "unknown"]
Wrong: TypeAlias = tuple[str, tuple[str, ...]]
"""What is wrong, in words, and a trace that leads there from the start."""


class Finding(NamedTuple):
    """One property: the sentence, whether it holds, and how that is known.

    `detail` says what is wrong, or why it is not known; `trace` leads there from the start, where there is one place.
    """

    sentence: str
    status: Status
    known: str
    detail: str = ""
    trace: tuple[str, ...] | None = None


class Report(NamedTuple):
    """All findings, and how much was looked at."""

    chart: Chart
    bounds: tuple[Condition, ...]
    cut: Cut
    configurations: int
    steps: int
    findings: tuple[Finding, ...]

    def _repr_html_(self) -> str:
        """Return what a notebook shows: each property, and how it is known."""
        lines = []
        for one in self.findings:
            known = [part for part in (one.detail, one.known, ",".join(one.trace or ())) if part]
            lines.append((one.status, one.sentence, " - ".join(known)))
        return html_table(f"{self.chart.name}: what holds", ("", "property", "how it is known"), lines)

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The properties that do not hold."""
        return tuple(one for one in self.findings if one.status == "fails")


def check(
    chart: Chart, bounds: Iterable[str | Condition] = (), properties: Iterable[Property] = (), *, limit: int = LIMIT
) -> Report:
    """Examine the chart and its properties within the bounds.

    ExploreError when the graph has no end within them; PropertyError for a property that does not fit the chart.
    """
    properties = tuple(properties)
    for one in properties:
        fits(chart, one)
    shape = shape_problems(chart)
    table = Finding("every name in the table is known and used rightly, and no row leaves a final state",
                    "fails" if shape else "holds", "read off the table", "; ".join(shape))
    if shape:  # with unknown names nothing can be run
        return Report(chart, (), Cut(), 0, 0, (table,))
    graph = Graph(chart, bounds, limit=limit)
    examiner = _Examiner(graph)
    findings = (table, *examiner.usual(), *map(examiner.examine, properties))
    return Report(chart, graph.bounds, graph.cut, len(graph.configurations), graph.size, findings)


BEYOND: Final = 20_000
"""Configurations that are searched for a trap beyond the bounds."""


def _lost(graph: Graph) -> tuple[list[int], list[int]]:
    """The configurations from which no end is reached, and those of them from which no way leads out of the bounds."""
    ends = {state.name for state in graph.chart.states if state.final or state.absorbing}
    home = graph.leading_to(n for n, here in enumerate(graph.configurations) if here[0] in ends)
    lost = [number for number in range(len(graph.configurations)) if number not in home]
    outside = graph.leading_to(graph.cut_from)
    return lost, [number for number in lost if number not in outside]


def _outside(graph: Graph, found: Ends) -> int | None:
    """The first configuration that is not good; None if there is none."""
    for number, here in enumerate(graph.configurations):
        if not found.good[str(here[0])].holds(graph.chart.values(here)):
            return number
    return None


class _Examiner:
    def __init__(self, graph: Graph) -> None:
        self.graph, self.chart = graph, graph.chart
        found = proofs(graph.chart)
        self.problems, self.open = "; ".join(found.problems), "; ".join(found.open)
        self.nodes = f"{len(graph.configurations):,} configurations"
        self.both = f"{self.nodes} and {graph.size:,} steps"
        self.found = list(disagreements(graph))
        self.situations = [
            Situation.of(self.chart, here, legal)
            for here, legal in zip(graph.configurations, graph.legal, strict=True)
        ]

    def found_in(self, sentence: str, wrong: Iterator[Wrong], known: str) -> Finding:
        """The property holds unless something is wrong; the first such thing is the counterexample."""
        for detail, trace in wrong:
            return Finding(sentence, "fails", known, detail, trace)
        return Finding(sentence, "holds", known)

    def proved(self, sentence: str, proof: bool, wrong: Iterator[Wrong], known: str) -> Finding:
        """The same, for a property that may have been proved as well."""
        finding = self.found_in(sentence, wrong, known)
        if finding.status == "holds" and proof:
            return finding._replace(known=f"proved for all counts; looked at in {known}")
        return finding

    # --------------------------------------------------------------------------------- what holds of every chart

    def usual(self) -> Iterator[Finding]:
        """Examine what must hold of every chart."""
        proof = not self.problems and not self.open
        yield Finding(
            "it can be proved that rows exclude each other, can be taken, keep every invariant; no state is a trap",
            "fails" if self.problems else "unknown" if self.open else "holds",
            "proved for all counts" if proof else "tried for all counts",
            "; ".join(filter(None, (self.problems, self.open and f"not known, and only looked at: {self.open}"))),
        )
        yield self.proved("in every configuration at most one row of an event is enabled", proof,
                          self._disagreed("rows"), self.both)
        yield self.proved("no counter is ever negative, and every invariant holds", proof, self._broken(), self.nodes)
        yield self.found_in("a refused event changes nothing", self._disagreed("refusal"), self.both)
        yield self.found_in("the compiled triggers do what the rows say", self._disagreed("compiled"), self.both)
        yield self.found_in("the transitions machine made of the chart does the same", self._disagreed("machine"),
                            self.both)
        if not any(state.final or state.absorbing for state in self.chart.states):
            yield Finding("a final state can be reached from every configuration", "unknown", "read off the table",
                          "the chart has no final state")
        else:
            yield self._reachable()
        yield self.found_in("no configuration is a dead end: it is final, or some event is accepted",
                            self._dead_ends(), self.nodes)
        if any(state.progress for state in self.chart.states):
            where = ", ".join(state.name for state in self.chart.states if state.progress)
            yield self.proved(f"nothing is stuck: in {where} an event that gets it on is always accepted", proof,
                              self._standing(), self.nodes)
        yield self._all_taken()

    def _disagreed(self, kind: str) -> Iterator[Wrong]:
        for one in self.found:
            if one.kind == kind:
                yield one.detail, (*self.graph.trace(one.number), one.event)

    def _broken(self) -> Iterator[Wrong]:
        for number, here in enumerate(self.graph.configurations):
            if complaint := self.chart.complaint(here):
                yield complaint, self.graph.trace(number)

    def _reachable(self) -> Finding:
        sentence = "a final state can be reached from every configuration"
        graph = self.graph
        lost, stuck = _lost(graph)
        if stuck:
            return Finding(sentence, "fails", self.nodes, self._without_end(graph, stuck[0]), graph.trace(stuck[0]))
        found = ends(self.chart) if graph.cut.steps and not (self.problems or self.open) else None
        if found is not None and not found.doubtful:
            known = f"looked at in {self.nodes}" if not lost else "some ways lead out of the bounds"
            return Finding(sentence, "holds", f"proved for all counts; {known}")
        if found is not None and (trap := self._trap(found)) is not None:
            return Finding(sentence, "fails", *trap)
        if not lost:
            return Finding(sentence, "holds", self.nodes)
        detail = f"{self._without_end(graph, lost[0])} within the bounds"
        return Finding(sentence, "unknown", self.nodes, detail, graph.trace(lost[0]))

    def _trap(self, found: Ends) -> tuple[str, str, tuple[str, ...]] | None:
        """Look for a trap, also beyond the bounds: return how it is known, what it is, and a trace."""
        if found.exact and (number := _outside(self.graph, found)) is not None:
            return "proved for all counts", self._without_end(self.graph, number), self.graph.trace(number)
        try:
            wide = Graph(self.chart, bounds_around(self.chart, found.doubtful), limit=BEYOND)
        except ExploreError:
            return None
        if found.exact and (number := _outside(wide, found)) is not None:
            return "proved for all counts", self._without_end(wide, number), wide.trace(number)
        _, stuck = _lost(wide)
        if stuck:
            return f"{self.nodes}, and what lies beyond them", self._without_end(wide, stuck[0]), wide.trace(stuck[0])
        return None

    def _without_end(self, graph: Graph, number: int) -> str:
        return f"from {self.chart.describe(graph.configurations[number])} no final state can be reached"

    def _standing(self) -> Iterator[Wrong]:
        """Where a state is stuck that says it makes progress."""
        progress = {state.name: state.progress for state in self.chart.states}
        for number, here in enumerate(self.graph.configurations):
            events = progress[str(here[0])]
            if events and not set(events) & set(self.graph.legal[number]):
                yield f"none of {', '.join(events)} is accepted in {self._described(number)}", self.graph.trace(number)

    def _dead_ends(self) -> Iterator[Wrong]:
        final = self.graph.final
        for number, legal in enumerate(self.graph.legal):
            absorbing = self.chart.state(str(self.graph.configurations[number][0])).absorbing
            if not legal and number not in final and not absorbing:
                yield f"nothing is accepted in {self._described(number)}", self.graph.trace(number)

    def _all_taken(self) -> Finding:
        sentence = "every row of the table is taken somewhere"
        taken = {edge.row for edge in self.graph.edges}
        never = [row.id for row in self.chart.rows if row.id not in taken]
        if not never:
            return Finding(sentence, "holds", f"{self.graph.size:,} steps")
        detail = f"never taken: {', '.join(never)}"
        if self.graph.cut.steps:
            return Finding(sentence, "unknown", f"{self.graph.size:,} steps", f"{detail} (within the bounds)")
        return Finding(sentence, "fails", f"{self.graph.size:,} steps", detail)

    # ---------------------------------------------------------------------------------- what a chart says of itself

    def examine(self, one: Property) -> Finding:
        """Examine one of the chart's own properties."""
        if isinstance(one, Always):
            proof = proves_always(self.chart, one) and not (self.problems or self.open)
            return self.proved(one.sentence, proof, self._wrong_situations(one), self.nodes)
        if isinstance(one, EachConfiguration):
            return self.found_in(one.sentence, self._wrong_situations(one), self.nodes)
        if isinstance(one, EachStep):
            return self.found_in(one.sentence, self._wrong_steps(one), self.both)
        return self.proved(one.sentence, proves_change(self.chart, one), self._wrong_steps(one), self.both)

    def _wrong_situations(self, one: Always | EachConfiguration) -> Iterator[Wrong]:
        for number, situation in enumerate(self.situations):
            if complaint := one.complaint(situation):
                where = self._described(number)
                always = isinstance(one, Always)
                yield f"in {where} {complaint}" if always else f"{complaint} (in {where})", self.graph.trace(number)

    def _wrong_steps(self, one: Falls | Changes | EachStep) -> Iterator[Wrong]:
        for edge in self.graph.edges:
            before, after = self.situations[edge.source], self.situations[edge.target]
            if complaint := one.complaint(StepView(before, edge.event, self.chart.row(edge.row), after)):
                step = f"{edge.event} in {self._described(edge.source)}"
                detail = f"{complaint} ({step})" if isinstance(one, EachStep) else f"{step} {complaint}"
                yield detail, (*self.graph.trace(edge.source), edge.event)

    def _described(self, number: int) -> str:
        return self.chart.describe(self.graph.configurations[number])
