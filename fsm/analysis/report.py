"""The report: what is true of a chart, each property in one sentence, with a counterexample as a trace when one fails.

Theory.
1. Some properties follow from the table for all counts (`validation.py`, `invariants.py`); they say so.  Everything
   else is looked at in every configuration and step of the graph within the bounds, and says how many that were.
2. Being looked at does not depend on being proved: what was proved is looked at as well, so that the proof and the
   running machine are held against each other.
3. A property fails with a trace from the start, which anyone can replay.  What only the bounds keep from being seen
   (a way to a final state that leads outside) neither holds nor fails: it is *unknown*.

This file does not know where a chart's own properties come from, nor how a report is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from fsm.analysis.conformance import disagreements
from fsm.analysis.invariants import always, final_reachable, sums_change
from fsm.analysis.properties import (
    Always,
    Changes,
    EachConfiguration,
    EachStep,
    Falls,
    Passage,
    Place,
    Property,
    fits,
    weighed,
)
from fsm.analysis.reachability import LIMIT, Cut, Edge, Graph
from fsm.chart import Chart
from fsm.condition import Condition
from fsm.validation import proof_problems, shape_problems

__all__ = ["Finding", "Report", "check"]

T = TypeVar("T")
Status: TypeAlias = Literal["holds", "fails", "unknown"]


class Finding(NamedTuple):
    """One property: the sentence, whether it holds, and how that is known.

    `detail` says what is wrong, or why it is not known; `trace` leads there from the start, if to one place.
    """

    sentence: str
    status: Status
    known: str
    detail: str = ""
    trace: tuple[str, ...] | None = None


class Report(NamedTuple):
    """All findings, with what was looked at."""

    chart: Chart
    bounds: tuple[Condition, ...]
    cut: Cut
    configurations: int
    steps: int
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The properties that do not hold."""
        return tuple(one for one in self.findings if one.status == "fails")


def check(
    chart: Chart, bounds: Iterable[str | Condition] = (), properties: Iterable[Property] = (), *, limit: int = LIMIT
) -> Report:
    """Examine the chart and its properties within the bounds.

    ExploreError when the graph has no end in them, PropertyError for a property that speaks of what the chart has not.
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


class _Examiner:
    def __init__(self, graph: Graph) -> None:
        self.graph, self.chart = graph, graph.chart
        problems = proof_problems(graph.chart)
        self.problems = "; ".join(problems)
        self.nodes = f"{len(graph.configurations):,} configurations"
        self.both = f"{self.nodes} and {graph.size:,} steps"
        self.found = list(disagreements(graph))
        self.places = [self._place(n) for n in range(len(graph.configurations))]

    def _place(self, number: int) -> Place:
        here = self.graph.configurations[number]
        legal = self.graph.legal[number]
        return Place(self.chart, str(here[0]), self.chart.values(here), self.chart.flags(here), legal)

    def found_in(self, sentence: str, wrong: Iterator[tuple[str, tuple[str, ...]]], known: str) -> Finding:
        """Holds unless something wrong comes along; the first is the counterexample."""
        for detail, trace in wrong:
            return Finding(sentence, "fails", known, detail, trace)
        return Finding(sentence, "holds", known)

    def proved(self, sentence: str, proof: bool, wrong: Iterator[tuple[str, tuple[str, ...]]], known: str) -> Finding:
        """The same, for what was also proved."""
        finding = self.found_in(sentence, wrong, known)
        if finding.status == "holds" and proof:
            return finding._replace(known=f"proved for all counts; looked at in {known}")
        return finding

    # --------------------------------------------------------------------------------- what holds of every chart

    def usual(self) -> Iterator[Finding]:
        """The properties of every chart."""
        proof = not self.problems
        yield Finding(
            "it can be proved that rows exclude each other, can be taken, keep every invariant; no state is a trap",
            "holds" if proof else "fails", "proved for all counts" if proof else "tried for all counts", self.problems,
        )
        yield self.proved("in every configuration at most one row of an event is enabled", proof,
                          self._disagreed("rows"), self.both)
        yield self.proved("no counter is ever negative, and every invariant holds", proof, self._broken(), self.nodes)
        yield self.found_in("a refused event changes nothing", self._disagreed("refusal"), self.both)
        yield self.found_in("the compiled triggers do what the rows say", self._disagreed("compiled"), self.both)
        yield self.found_in("the transitions machine made of the chart does the same", self._disagreed("raw"),
                            self.both)
        if not any(state.final for state in self.chart.states):
            yield Finding("a final state can be reached from every configuration", "unknown", "read off the table",
                          "the chart has no final state")
        else:
            yield self._reachable()
        yield self.found_in("no configuration is a dead end: it is final, or some event is accepted",
                            self._dead_ends(), self.nodes)
        yield self._all_taken()

    def _disagreed(self, kind: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        for one in self.found:
            if one.kind == kind:
                yield one.detail, (*self.graph.trace(one.number), one.event)

    def _broken(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for number, here in enumerate(self.graph.configurations):
            if complaint := self.chart.complaint(here):
                yield complaint, self.graph.trace(number)

    def _reachable(self) -> Finding:
        sentence = "a final state can be reached from every configuration"
        # where nothing was cut off every configuration has been looked at, and there is nothing left to prove
        proof = bool(self.graph.cut.steps) and not self.problems and final_reachable(self.chart)
        home = self.graph.leading_to(self.graph.final)
        lost = [n for n in range(len(self.graph.configurations)) if n not in home]
        if not lost:
            known = f"proved for all counts; looked at in {self.nodes}" if proof else self.nodes
            return Finding(sentence, "holds", known)
        outside = self.graph.leading_to(self.graph.cut_from)
        stuck = [number for number in lost if number not in outside]
        number = (stuck or lost)[0]
        detail = f"from {self._told(number)} no final state can be reached"
        if stuck:
            return Finding(sentence, "fails", self.nodes, detail, self.graph.trace(number))
        if proof:
            return Finding(sentence, "holds", "proved for all counts; some ways lead out of the bounds")
        return Finding(sentence, "unknown", self.nodes, f"{detail} within the bounds", self.graph.trace(number))

    def _dead_ends(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        final = self.graph.final
        for number, legal in enumerate(self.graph.legal):
            if not legal and number not in final:
                yield f"nothing is accepted in {self._told(number)}", self.graph.trace(number)

    def _all_taken(self) -> Finding:
        sentence = "every row of the table is taken somewhere"
        taken = {step.row for step in self.graph.edges}
        never = [row.id for row in self.chart.rows if row.id not in taken]
        if not never:
            return Finding(sentence, "holds", f"{self.graph.size:,} steps")
        told = f"never taken: {', '.join(never)}"
        if self.graph.cut.steps:
            return Finding(sentence, "unknown", f"{self.graph.size:,} steps", f"{told} (within the bounds)")
        return Finding(sentence, "fails", f"{self.graph.size:,} steps", told)

    # ---------------------------------------------------------------------------------- what a chart says of itself

    def examine(self, one: Property) -> Finding:
        """One of the chart's own properties."""
        if isinstance(one, Always):
            return self.proved(one.sentence, always(self.chart, one) and not self.problems,
                               self._not_always(one), self.nodes)
        if isinstance(one, (Falls, Changes)):
            return self.proved(one.sentence, sums_change(self.chart, one), self._not_changed(one), self.both)
        if isinstance(one, EachConfiguration):
            return self.found_in(one.sentence, self._each(one), self.nodes)
        return self.found_in(one.sentence, self._each_step(one), self.both)

    def _not_always(self, one: Always) -> Iterator[tuple[str, tuple[str, ...]]]:
        for number, place in enumerate(self.places):
            if one.states is not None and place.state not in one.states:
                continue
            if one.when.holds(place.values) and not one.holds.holds(place.values):
                yield f"in {self._told(number)} it does not hold that {one.holds}", self.graph.trace(number)

    def _not_changed(self, one: Falls | Changes) -> Iterator[tuple[str, tuple[str, ...]]]:
        for step, before, after in self._passages():
            if one.states is not None and before.state not in one.states:
                continue
            if (one.events is not None and step.event not in one.events) or not one.when.holds(before.values):
                continue
            old, new = weighed(one.weights, before.values), weighed(one.weights, after.values)
            by = one.change(step.event)
            if new >= old if by is None else new - old != by:
                told = f"{step.event} in {self._told(step.source)} changes the sum from {old} to {new}"
                yield told, (*self.graph.trace(step.source), step.event)

    def _each(self, one: EachConfiguration) -> Iterator[tuple[str, tuple[str, ...]]]:
        for number, place in enumerate(self.places):
            if complaint := _asked(one.test, place):
                yield f"{complaint} (in {self._told(number)})", self.graph.trace(number)

    def _each_step(self, one: EachStep) -> Iterator[tuple[str, tuple[str, ...]]]:
        for step, before, after in self._passages():
            if complaint := _asked(one.test, Passage(before, step.event, self.chart.row(step.row), after)):
                told = f"{complaint} ({step.event} in {self._told(step.source)})"
                yield told, (*self.graph.trace(step.source), step.event)

    def _passages(self) -> Iterator[tuple[Edge, Place, Place]]:
        for step in self.graph.edges:
            yield step, self.places[step.source], self.places[step.target]

    def _told(self, number: int) -> str:
        return self.chart.describe(self.graph.configurations[number])


def _asked(test: Callable[[T], str | None], subject: T) -> str | None:
    """The predicate's answer; one that raises has not held."""
    try:
        return test(subject)
    except Exception as error:
        return f"the property raised {type(error).__name__}: {error}"
