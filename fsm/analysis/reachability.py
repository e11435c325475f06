"""The configuration graph of a chart within given bounds, computed by the engine itself.

Theory.
1. The nodes are configurations, in the order in which a breadth-first search from `chart.start()` finds them; that
   order depends on the chart alone.  The edges are the steps that the compiled triggers accept.
2. A bound is a condition on the variables, or on the data of events.  A step that leaves the bounds is cut: it is not
   followed but counted, and the first one is kept for the report.  `calls.py` says which data are tried.
3. Whether a graph ends cannot be decided for every chart.  A loop that raises a counter for ever is recognised
   (`divergence.py`) and refused with the counter's name; any other endless graph runs into `limit`.

`Explorer` finds configurations on demand; `Graph` holds them all.  A callable guard is called with a session in the
configuration, so it must depend on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final, NamedTuple

from fsm.analysis.bounds import bounds_of
from fsm.analysis.calls import Calls
from fsm.analysis.divergence import covers, endless_loop, greatest_number, is_finite
from fsm.analysis.trace import Call
from fsm.callables import reads_more
from fsm.chart import Chart, Configuration, Event, Row
from fsm.condition import Condition, Facts
from fsm.session import Session
from fsm.validation import reachable
from fsm.variable import Counter
from fsm.verdict import Refused

__all__ = ["LIMIT", "Cut", "Edge", "ExploreError", "Explorer", "Graph", "cut_text"]

LIMIT: Final = 500_000
"""Configurations after which the search is given up."""


class ExploreError(ValueError):
    """A graph cannot be computed: it has no end, is too large, starts outside its bounds, or a guard raised.

    `counters` are the counters that grow without end, if any.
    """

    def __init__(self, sentence: str, counters: tuple[str, ...] = ()) -> None:
        self.counters = counters
        super().__init__(sentence)


class Edge(NamedTuple):
    """One accepted event: from a configuration (by its number), by a row (by its id), to a configuration.

    The event is a `Call`: its text, with its data.
    """

    source: int
    event: Call
    row: str
    target: int


class Cut(NamedTuple):
    """What the bounds cut off: how many steps, and the first (where, the event, and where it would have led)."""

    steps: int = 0
    source: Configuration | None = None
    event: str | None = None
    target: Configuration | None = None


class Explorer:
    """The graph, computed on demand.

    `configurations` holds those found so far; `edges(n)` finds what follows from the n-th.  Iterating goes through all
    configurations, breadth first.  ExploreError when the graph has no end, at once or during the search.
    """

    def __init__(self, chart: Chart, bounds: Iterable[str | Condition] = (), *, limit: int = LIMIT) -> None:
        self.chart, self.limit = chart, limit
        self.bounds = bounds_of(chart, bounds)
        self._calls = Calls(chart, self.bounds)
        if self._calls.unbounded:
            names = self._calls.unbounded
            raise ExploreError(f"{chart.name} takes any {' and '.join(names)}; give a bound, such as "
                               f"'{names[0]} <= 2'", names)  # fmt: skip
        self.calls = tuple(one for event in chart.events for one in self._calls.of(event))
        """Every event with all data within the bounds, in the chart's order: what is tried in each configuration."""
        self._limits = tuple(bound for bound in self.bounds if bound.names() <= set(chart.names))
        self.cut = Cut()
        self.cut_from: set[int] = set()
        """The numbers of the configurations from which some step was cut."""
        self.configurations: list[Configuration] = []
        self.parents: list[tuple[int, str, str]] = []
        """How each configuration was first found: from which, by which event and row; (-1, "", "") for the start."""
        self.legal: dict[int, tuple[str, ...]] = {}
        """The events accepted in each configuration whose edges were asked for, cut or not."""
        self._edges: list[tuple[Edge, ...] | None] = []
        self._places: dict[Configuration, int] = {}
        start = chart.start()
        cls = Session.of(chart)
        self._session = cls.unchecked(start)
        run = cls.compiled()
        self._get, self._set = run.read, run.write
        self._cells: dict[str, list[tuple[Event, Callable[..., object], tuple[Row, ...]]]] = {
            str(state): [
                (event, run.triggers[event.name], rows)
                for event in chart.events
                if (rows := chart.rows_for(state, event))
            ]
            for state in chart.states
        }
        self._counters = [place for place, v in enumerate(chart.variables, 1) if isinstance(v, Counter)]
        self._greatest = greatest_number(chart, self.bounds)
        self._endless = not is_finite(chart, self.bounds)
        self._tried: dict[tuple[object, ...], int] = {}
        for bound in self._limits:
            if not bound.holds(chart.values(start)):
                raise ExploreError(f"{chart.name} starts outside the bound {bound}: {chart.describe(start)}")
        self._found(start, -1, "", "")

    def __iter__(self) -> Iterator[Configuration]:
        number = 0
        while number < len(self.configurations):
            yield self.configurations[number]
            self.edges(number)
            number += 1

    def edges(self, number: int) -> tuple[Edge, ...]:
        """Return the edges that leave the n-th configuration within the bounds, in the chart's order of events."""
        known = self._edges[number]
        if known is not None:
            return known
        here = self.configurations[number]
        edges: list[Edge] = []
        legal: dict[str, None] = {}
        for event, row, there in self._after(here) if self._possible(here) else ():
            legal[event.event] = None
            place = self._places.get(there)
            if place is None:
                place = self._found(there, number, event, row)
            if place < 0:
                self._cut(number, event, there)
            else:
                edges.append(Edge(number, event, row, place))
        for one in self._rows_with_data(here):
            if (beyond := self._calls.beyond(one, here)) is not None:
                legal[beyond.event] = None
                self._cut(number, beyond, self.chart.after(here, one, beyond.data))
        self.legal[number] = tuple(legal)
        self._edges[number] = found = tuple(edges)
        return found

    def trace(self, number: int) -> tuple[str, ...]:
        """Return the events by which the n-th configuration was found; a shortest trace after a search in order."""
        events = []
        while number > 0:
            number, event, _ = self.parents[number]
            events.append(event)
        return tuple(reversed(events))

    # ------------------------------------------------------------------------------------------------ inside

    def _possible(self, here: Configuration) -> bool:
        """True unless a counter is negative, as may be in a chart that was not proved; that is not followed further."""
        return all(here[place] >= 0 for place in self._counters)  # type: ignore[operator]  # counters are whole numbers

    def _cut(self, number: int, event: Call, there: Configuration) -> None:
        self.cut_from.add(number)
        first = (self.configurations[number], event, there) if not self.cut.steps else self.cut[1:]
        self.cut = Cut(self.cut.steps + 1, *first)

    def _rows_with_data(self, here: Configuration) -> Iterator[Row]:
        """The rows that might be taken here with data beyond the bounds."""
        for event, _, rows in self._cells[str(here[0])] if self._calls.bounds else ():
            yield from rows if event.data else ()

    def _after(self, here: Configuration) -> Iterator[tuple[Call, str, Configuration]]:
        """Every accepted event, asked of the engine: the event, the row's id, and the configuration after it."""
        session, get, put = self._session, self._get, self._set
        values = None
        for event, fire, rows in self._cells[str(here[0])]:
            for one in self._calls.of(event):
                put(session, here)
                try:
                    fire(session, **one.data)
                except Refused:
                    continue
                except Exception as error:
                    raise self._raised(one, here, error) from error
                there = get(session)
                row = rows[0]
                if len(rows) > 1:
                    values = values or self.chart.values(here)
                    put(session, here)
                    known: Facts = {**values, **one.data} if one.data else values
                    row = next(row for row in rows if row.guard.holds(known, session))
                yield one, row.id, there

    def _raised(self, event: Call, here: Configuration, error: Exception) -> ExploreError:
        asked = f"asking {str(event)!r} in {self.chart.describe(here)}"
        return ExploreError(f"{asked} raised {type(error).__name__}: {error}{reads_more(error)}")

    def _found(self, there: Configuration, parent: int, event: str, row: str) -> int:
        if self._limits:
            values = self.chart.values(there)
            if not all(bound.holds(values) for bound in self._limits):
                self._places[there] = -1
                return -1
        if len(self.configurations) >= self.limit:
            counters = [v.name for v in self.chart.variables if isinstance(v, Counter)]
            raise ExploreError(
                f"{self.chart.name} has more than {self.limit:,} configurations{_within(self.bounds)}, and the search "
                f"stopped there; a tighter bound would end it{_such_as(counters)}", tuple(counters)
            )
        place = self._places[there] = len(self.configurations)
        self.configurations.append(there)
        self.parents.append((parent, event, row))
        self._edges.append(None)
        if self._endless and parent >= 0:
            self._refuse_endless(place)
        return place

    def _refuse_endless(self, place: int) -> None:
        """Raise ExploreError when the path to this configuration holds a loop that can be repeated for ever."""
        there, loop = self.configurations[place], []
        number = place
        while number > 0:
            number, event, row = self.parents[number]
            loop.append((event, row))
            if covers(self.chart, there, self.configurations[number]):
                break
        else:
            return
        loop.reverse()
        # a loop that ended is tried again only when the graph has doubled, so that large finite graphs stay cheap
        key = (there[0], *loop)
        if self._tried.get(key, 0) > place:
            return
        self._tried[key] = 2 * place
        endless = endless_loop(
            self.chart, self._fire, self.configurations[number], loop, self._greatest, self.bounds
        )
        if endless is not None:
            names = endless.grows
            raise ExploreError(
                f"{self.chart.name} has configurations without end{_within(self.bounds)}: {' and '.join(names)} can "
                f"grow for ever, by repeating {','.join(endless.events)} in {self.chart.describe(endless.start)}; "
                f"give a bound{_such_as(list(names))}", names
            )

    def _fire(self, here: Configuration, event: str) -> tuple[Row, Configuration] | None:
        for name, row, there in self._after(here):
            if name == event:
                values = self.chart.values(there)
                return (self.chart.row(row), there) if all(b.holds(values) for b in self._limits) else None
        return None


class Graph:
    """All configurations and edges within the bounds.  Immutable; `cut` is what the bounds cut off.

    ExploreError when the graph has no end without a (further) bound.
    """

    def __init__(self, chart: Chart, bounds: Iterable[str | Condition] = (), *, limit: int = LIMIT) -> None:
        explorer = Explorer(chart, bounds, limit=limit)
        for _ in explorer:
            pass
        self.chart, self.bounds, self.cut = chart, explorer.bounds, explorer.cut
        self.configurations = tuple(explorer.configurations)
        self.out = tuple(explorer.edges(number) for number in range(len(self.configurations)))
        """For each configuration, by number, the edges that leave (or stay in) it."""
        self.legal = tuple(explorer.legal[number] for number in range(len(self.configurations)))
        """For each configuration, by number, the events accepted there, whether or not the bounds cut them."""
        self.cut_from = frozenset(explorer.cut_from)
        self.calls = explorer.calls
        self._explorer = explorer

    def __repr__(self) -> str:
        return f"<Graph of {self.chart.name}: {len(self.configurations)} configurations, {self.size} steps>"

    @property
    def size(self) -> int:
        """The number of edges."""
        return sum(map(len, self.out))

    @property
    def edges(self) -> Iterator[Edge]:
        """Every edge, in order."""
        return chain.from_iterable(self.out)

    @property
    def final(self) -> frozenset[int]:
        """The numbers of the configurations in a final state."""
        ends = {str(state) for state in self.chart.states if state.final}
        return frozenset(n for n, one in enumerate(self.configurations) if one[0] in ends)

    def leading_to(self, targets: Iterable[int]) -> set[int]:
        """Return the numbers of the configurations from which one of these can be reached; these are among them."""
        return reachable(targets, ((edge.target, edge.source) for edge in self.edges))

    def trace(self, number: int) -> tuple[str, ...]:
        """Return a shortest sequence of events from the start to this configuration."""
        return self._explorer.trace(number)

    def trace_of(self, edge: Edge) -> tuple[str, ...]:
        """Return a shortest sequence of events from the start that ends with this edge."""
        return (*self.trace(edge.source), edge.event)


def cut_text(chart: Chart, bounds: tuple[Condition, ...], cut: Cut) -> str:
    """Describe the bounds and what they cut off, in a sentence."""
    within = ", ".join(map(str, bounds)) or "no bounds"
    if cut.source is None or cut.target is None:
        return f"within {within}: nothing is cut off" if bounds else "without bounds: the graph is complete"
    many = "1 step is" if cut.steps == 1 else f"{cut.steps:,} steps are"
    return (
        f"within {within}: {many} cut off, the first is {cut.event} "
        f"in {chart.describe(cut.source)} (to {chart.describe(cut.target)})"
    )


def _within(bounds: tuple[Condition, ...]) -> str:
    return f" within {', '.join(map(str, bounds))}" if bounds else ""


def _such_as(names: list[str]) -> str:
    return f", such as '{' + '.join(names)} <= 2'" if names else ""
