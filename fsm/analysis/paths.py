"""Every legal path from the start to an end: found and executed, or shown to be impossible.

Theory.
1. A path ends in a final state, or in an absorbing one that no row leaves.  Where a chart has neither, its paths are
   the *rounds*: they end where they began, in the initial state.
2. An *elementary path* is a sequence of state-changing rows from the initial state to an end that visits no state
   twice (but for the beginning of a round).  The table has finitely many, whatever the counts; `elementary` lists them.
3. A *witness* of a path is a sequence of events, executed by the engine from `chart.start()`, that ends as the machine
   enters the final state and whose state-changing rows are exactly the path's.  Rows that stay may come in between.
   The search goes through pairs (how far along which path, configuration), all paths at once and breadth first, so
   the first witness found is a shortest one within the bounds.  Paths that begin alike share their search.
4. A path without a witness is *infeasible*.  That is proved: the graph is complete and was searched to the end, or
   `infeasibility.py` proves it for all counts.  Where neither works, the path is only *not found within the bounds*.
   It says nothing about its states and rows: a longer way, which visits a state twice, may take them all.  `reached`
   has a shortest trace to each end, and `taken` one for each row, whatever way they go.
5. Where the chart has an enumerated variable, a path has a *flag*: the variable's value on entering the final state.
   A path may be walked with several flags; each has its own shortest witness.
6. A row that stays is *on* a path when an executed trace of that path takes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Final, TypeAlias

from fsm.analysis.infeasibility import Abstraction, contradiction
from fsm.analysis.reachability import LIMIT, Cut, Edge, Explorer, Graph
from fsm.analysis.shown import html_table
from fsm.analysis.trace import found_by, parse_trace
from fsm.chart import Chart, Configuration, Row
from fsm.condition import Condition, label
from fsm.session import Session
from fsm.validation import reachable
from fsm.variable import Boolean, Choice, Variable
from fsm.verdict import Refused

__all__ = ["Atlas", "Path", "PathsError", "Use", "elementary"]

MOST_PATHS: Final = 100_000


class PathsError(ValueError):
    """A chart whose paths cannot be listed: it has none, or there are too many."""


@dataclass(frozen=True, slots=True)
class Path:
    """One elementary path.  `witness` is None when there is none; `infeasible` then says why.

    `states` are the states visited and `rows` the ids of the rows between them.  `flag` is the value of the chart's
    enumerated variable at the end of the witness; `flags` has a shortest witness for every value possible there.
    `proved` is True when `infeasible` holds for all counts, False when it holds only within the bounds.
    """

    id: str
    states: tuple[str, ...]
    rows: tuple[str, ...]
    flag: str | None = None
    witness: tuple[str, ...] | None = None
    infeasible: str | None = None
    proved: bool = False
    flags: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the rows, and the witness."""
        witness = f"none: {self.infeasible}" if self.witness is None else ",".join(self.witness)
        line = (self.id, " → ".join(self.states), ", ".join(self.rows), witness)
        return html_table("", ("path", "states", "rows", "witness"), [line])

    def with_flag(self, flag: str) -> Path:
        """Return this path with its shortest witness that ends with this flag.  KeyError when it has none."""
        return replace(self, flag=flag, witness=self.flags[flag])


@dataclass(frozen=True, slots=True)
class Use:
    """Where a row is used: a path, with an executed trace of it that takes the row; or why it is on none."""

    row: str
    path: str | None = None
    trace: tuple[str, ...] | None = None
    reason: str | None = None


def ends_of(chart: Chart) -> tuple[str, ...]:
    """Return the states where a path ends: the final ones, and the absorbing ones that no row leaves."""
    left = {row.source for row in chart.rows if row.moves}
    return tuple(str(state) for state in chart.states if state.final or (state.absorbing and state not in left))


def elementary(chart: Chart, longest: int | None = None) -> Iterator[tuple[Row, ...]]:
    """Yield the elementary paths as sequences of rows, in the order of the table, whatever the guards say.

    They are found one by one, so that the first of very many can be had.  `longest` is the most rows of a path.
    """
    moves: dict[str, list[Row]] = {}
    for row in chart.rows:
        if row.moves:
            moves.setdefault(row.source, []).append(row)
    neighbours = {source: dict.fromkeys(row.target for row in leaving) for source, leaving in moves.items()}
    around = not ends_of(chart)  # a round comes back to the initial state
    ends = set(ends_of(chart) or (chart.initial,))
    far = _distances(ends, neighbours)

    def walk(state: str, visited: tuple[str, ...], rows: tuple[Row, ...]) -> Iterator[tuple[Row, ...]]:
        if state in ends and (rows or not around):
            yield rows
            return
        if longest is None:  # a search begins only where it finds a path
            onward = ((to, source) for source, targets in neighbours.items() if source not in visited for to in targets)
            home: Collection[str] = reachable(ends, onward)
        else:  # the same with distances, which are quicker where there are very many paths
            home = [to for to in neighbours.get(state, ()) if far.get(to, longest) < longest - len(rows)]
        for row in moves.get(state, ()):
            if row.target in home and (row.target in ends or row.target not in visited):
                yield from walk(row.target, (*visited, row.target), (*rows, row))

    yield from walk(chart.initial, (chart.initial,), ())


def _distances(ends: Iterable[str], neighbours: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """The fewest moves from each state to an end, where there is a way."""
    back: dict[str, list[str]] = {}
    for source, targets in neighbours.items():
        for target in targets:
            back.setdefault(target, []).append(source)
    far = dict.fromkeys(ends, 0)
    waiting = deque(far)
    while waiting:
        here = waiting.popleft()
        for source in back.get(here, ()):
            if source not in far:
                far[source] = far[here] + 1
                waiting.append(source)
    return far


def listed(chart: Chart, most: int = MOST_PATHS, *, partial: bool = False) -> tuple[list[tuple[Row, ...]], bool]:
    """Return the elementary paths by length, then states, then rows, in the table's order; and whether there are more.

    PathsError above `most`, unless a part of them is enough.
    """
    found = list(islice(elementary(chart), most + 1))
    if len(found) <= most:
        return _in_order(chart, found), False
    if not partial:
        remedy = "elementary(chart) finds them one by one"
        raise PathsError(f"{chart.name} has more than {most:,} elementary paths; {remedy}")
    by_length = (rows for n in range(len(chart.states) + 1) for rows in elementary(chart, n) if len(rows) == n)
    return _in_order(chart, list(islice(by_length, most))), True


def _in_order(chart: Chart, found: list[tuple[Row, ...]]) -> list[tuple[Row, ...]]:
    states = {str(state): place for place, state in enumerate(chart.states)}
    rows = {row.id: place for place, row in enumerate(chart.rows)}
    return sorted(found, key=lambda path: (
        len(path), [states[row.target] for row in path], [rows[row.id] for row in path]
    ))


class _Node:
    """A prefix that paths share: its rows, the state they lead to, and how each configuration there was reached."""

    __slots__ = ("came", "children", "path", "rows", "state")

    def __init__(self, rows: tuple[str, ...], state: str) -> None:
        self.rows, self.state = rows, state
        self.children: dict[str, _Node] = {}
        self.path: int | None = None
        self.came: dict[int, tuple[_Node, int, str] | None] = {}


_Position: TypeAlias = "tuple[_Node, int, bool]"
"""How far along the paths, in which configuration, and whether the wanted row was taken."""


def _is_flag(variable: Variable) -> bool:
    return isinstance(variable, Choice) and not isinstance(variable, Boolean)


class Atlas:
    """All elementary paths of a chart within bounds, each with its witness or the reason why it has none.

    `paths` is ordered by length, then states, then rows, in the order of the table; `cut` is what the bounds cut off;
    `examined` is how many configurations were looked at.  PathsError when there are more than `most` paths, unless
    `partial`: then `paths` are the shortest, and `more` is true.  ExploreError when the graph has no end
    without a (further) bound.
    """

    def __init__(
        self, chart: Chart, bounds: Iterable[str | Condition] = (), *, most: int = MOST_PATHS, partial: bool = False,
        limit: int = LIMIT,
    ) -> None:
        self.chart, self._explorer, self._limit = chart, Explorer(chart, bounds, limit=limit), limit
        self.ends = ends_of(chart)
        self.rounds = not self.ends
        """Whether the paths are rounds: the chart has no end, so they lead back to the initial state."""
        self._session_class = Session.of(chart)
        self.bounds = self._explorer.bounds
        choices = [place for place, v in enumerate(chart.variables, 1) if _is_flag(v)]
        self._choice: int | None = choices[0] if choices else None
        self.flag_name: str | None = chart.names[choices[0] - 1] if choices else None
        """The enumerated variable that flags are values of: the first of the chart; None when it has none."""
        self._listed, self.more = listed(chart, most, partial=partial)
        self._root = self._trie()
        self._ends: list[dict[object, tuple[_Node, int]]] = [{} for _ in self._listed]
        self._search()
        self._abstraction = Abstraction(chart)
        self.paths = tuple(self._path(number) for number in range(len(self._listed)))

    def __repr__(self) -> str:
        return f"<Atlas of {self.chart.name}: {len(self.paths)} paths in {len(self.families)} families>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: every path with its witness."""
        heads = ("path", "states", self.flag_name or "end", "witness")
        lines = (
            (one.id, " → ".join(one.states), one.flag or one.states[-1],
             f"none: {one.infeasible}" if one.witness is None else ",".join(one.witness))
            for one in self.paths
        )  # fmt: skip
        return html_table(f"{len(self.paths)} paths of {self.chart.name}", heads, lines)

    @property
    def cut(self) -> Cut:
        """What the bounds cut off."""
        return self._explorer.cut

    @property
    def examined(self) -> int:
        """How many configurations were looked at."""
        return len(self._explorer.configurations)

    @cached_property
    def graph(self) -> Graph:
        """The whole graph within the bounds."""
        return Graph(self.chart, self.bounds, limit=self._limit)

    @cached_property
    def reached(self) -> dict[str, tuple[str, ...] | None]:
        """For every end a shortest trace that leads there on any way; None when there is none within the bounds.

        For rounds these are all states but the initial one, and a shortest trace that leaves it and comes back.
        """
        names = [str(s) for s in self.chart.states if s != self.chart.initial] if self.rounds else self.ends
        first: dict[str, tuple[str, ...]] = {}
        for number, here in enumerate(self.graph.configurations):
            if str(here[0]) not in first:
                first[str(here[0])] = self.graph.trace(number)
        found = {name: first.get(name) for name in names}
        if self.rounds:
            back = (edge for edge in self.graph.edges if self._comes_back(edge))
            found[self.chart.initial] = min((self.graph.trace_of(edge) for edge in back), key=len, default=None)
        return found

    def _comes_back(self, edge: Edge) -> bool:
        source, target = (self.graph.configurations[number][0] for number in (edge.source, edge.target))
        return target == self.chart.initial != source

    @cached_property
    def taken(self) -> dict[str, tuple[str, ...]]:
        """For every row that any trace within the bounds takes, a shortest such trace."""
        found: dict[str, tuple[str, ...]] = {}
        for edge in self.graph.edges:  # in the order of a search breadth first
            if edge.row not in found:
                found[edge.row] = self.graph.trace_of(edge)
        return found

    @cached_property
    def families(self) -> dict[tuple[str, ...], tuple[Path, ...]]:
        """The paths by the states they visit."""
        found: dict[tuple[str, ...], list[Path]] = {}
        for path in self.paths:
            found.setdefault(path.states, []).append(path)
        return {states: tuple(paths) for states, paths in found.items()}

    @cached_property
    def by_flag(self) -> dict[str, tuple[Path, ...]]:
        """For each flag, in the chart's order, the paths that can end with it, each with a witness that does."""
        variable = self.chart.variable(self.flag_name) if self.flag_name is not None else None
        names = [label(value) for value in variable.values] if isinstance(variable, Choice) else []
        found = {name: tuple(p.with_flag(name) for p in self.paths if name in p.flags) for name in names}
        return {name: paths for name, paths in found.items() if paths}

    @cached_property
    def uses(self) -> dict[str, Use]:
        """For every row of the table, in order, a path that it is on, with an executed trace; or why it is on none."""
        on: dict[str, Path] = {}
        for path in self.paths:
            if path.witness is not None:
                for name in path.rows:
                    on.setdefault(name, path)
        found = {}
        for row in self.chart.rows:
            if row.id in on:
                found[row.id] = Use(row.id, on[row.id].id, on[row.id].witness)
            else:
                found[row.id] = self._without(row) if row.moves else self._staying(row)
        return found

    def paths_with(self, row: str) -> tuple[Path, ...]:
        """Return the paths that a row is on.  KeyError when the chart has no such row.

        For a row that stays they are those of which an executed trace takes it, each with its shortest as the witness.
        """
        if self.chart.row(row).moves:
            return tuple(path for path in self.paths if row in path.rows)
        found = self._taking(row, first=False)
        return tuple(self._witnessed(self.paths[n], traces) for n, traces in enumerate(found) if traces)

    # -------------------------------------------------------------------------------------------- the search

    def _trie(self) -> _Node:
        root = _Node((), self.chart.initial)
        for number, rows in enumerate(self._listed):
            node = root
            for row in rows:
                node = node.children.setdefault(row.id, _Node((*node.rows, row.id), row.target))
            node.path = number
        return root

    def _search(self) -> None:
        """Search (prefix, configuration) breadth first; where a path ends, keep its first end for each flag."""
        self._root.came[0] = None
        waiting: deque[tuple[_Node, int]] = deque([(self._root, 0)])
        state = self._explorer.configurations
        while waiting:
            node, number = waiting.popleft()
            if node.path is not None:
                value = None if self._choice is None else state[number][self._choice]
                self._ends[node.path].setdefault(value, (node, number))
                continue
            for _, event, row, target in self._explorer.edges(number):
                there: _Node | None = node
                if state[target][0] != node.state:
                    there = node.children.get(row)
                if there is not None and target not in there.came:
                    there.came[target] = node, number, event
                    waiting.append((there, target))

    def _back(self, node: _Node, number: int) -> tuple[str, ...]:
        events = []
        came = node.came[number]
        while came is not None:
            node, number, event = came
            events.append(event)
            came = node.came[number]
        return tuple(reversed(events))

    def _path(self, number: int) -> Path:
        rows = self._listed[number]
        states = (self.chart.initial, *(row.target for row in rows))
        path = Path(f"p{number + 1:0{len(str(len(self._listed)))}}", states, tuple(row.id for row in rows))
        ends = self._ends[number]
        if not ends:
            reason, proved = self._impossible(rows)
            return replace(path, infeasible=reason, proved=proved)
        return self._witnessed(path, {value: self._back(*end) for value, end in ends.items()})

    def _witnessed(self, path: Path, traces: dict[object, tuple[str, ...]]) -> Path:
        """Add its traces by the value at the end, the shortest first, to a path.  Each is executed once more."""
        for trace in traces.values():
            self._execute(path, trace)
        value, witness = next(iter(traces.items()))
        if self._choice is None:
            return replace(path, witness=witness)
        flags = {label(one): trace for one, trace in traces.items()}
        return replace(path, flag=None if value is None else label(value), witness=witness, flags=flags)

    def _execute(self, path: Path, trace: tuple[str, ...]) -> None:
        """Execute the trace from the start to the final state, in a session of its own."""
        session = self._session_class.unchecked(self.chart.start())
        try:
            for event in parse_trace(self.chart, trace):
                session.fire(event.event, **event.data)
            arrived = session.state == path.states[-1]
        except Refused:
            arrived = False
        if not arrived:
            why = "a callable guard answers differently each time" if self.chart.opaque else "it is not deterministic"
            raise PathsError(f"{','.join(trace)} cannot be executed twice alike on {self.chart.name}: {why}")

    # ------------------------------------------------------------------------------------- what cannot be walked

    def _impossible(self, rows: tuple[Row, ...]) -> tuple[str, bool]:
        """Say why there is no witness, and whether that holds for all counts (and whatever callables answer)."""
        node, searched = self._root, not self.cut.steps and not self.chart.opaque
        for place, row in enumerate(rows):
            begun = tuple(one.id for one in rows[:place])
            after = f"after {', '.join(begun)}, " if begun else ""
            child = node.children[row.id]
            standing: Collection[Configuration] | None
            if searched:  # the graph is complete
                standing = [self._explorer.configurations[number] for number in node.came]
                beyond: Collection[object] | None = child.came
            else:
                standing = self._abstraction.standing(begun)
                beyond = self._abstraction.standing((*begun, row.id))
            if standing is None or beyond is None:
                break
            if not beyond:
                return f"{after}{contradiction(self.chart, standing, row)}", True
            node = child
        within = ", ".join(map(str, self.bounds))
        if self.cut.steps:
            return f"no witness within {within}; greater counts are not excluded", False
        asked = ", ".join(dict.fromkeys(str(row.guard) for row in self.chart.opaque))
        return f"no witness was found, and nothing can be proved of the callable guards: {asked}", False

    def _without(self, row: Row) -> Use:
        """Say why no elementary path takes a row that changes the state."""
        if all(row not in rows for rows in self._listed):
            if self.more:
                return Use(row.id, reason="not on the paths that are listed")
            if row.target == self.chart.initial and not self.rounds:
                return Use(row.id, reason=f"leads back to {row.target}, where every path begins")
            end = f"back to {self.chart.initial}" if self.rounds else f"to {' or '.join(self.ends)}"
            return Use(row.id, reason=f"no way by it from {row.source} {end} visits each state once")
        with_it = next(path for path in self.paths if row.id in path.rows)
        return Use(row.id, reason=f"no elementary path with it has a witness: {with_it.infeasible}")

    def _staying(self, row: Row) -> Use:
        """Find a shortest executed trace of any path that takes a row which stays."""
        found = self._taking(row.id, first=True)
        for number, traces in enumerate(found):
            for trace in traces.values():
                return Use(row.id, self.paths[number].id, trace)
        return Use(row.id, reason="no executed trace of any path takes it")

    def _taking(self, row: str, *, first: bool) -> list[dict[object, tuple[str, ...]]]:
        """Find for each path, by the value at its end, a shortest trace that takes this row; or only the first one."""
        start = self._root, 0, False
        came: dict[_Position, tuple[_Position, str] | None] = {start: None}
        waiting: deque[_Position] = deque([start])
        state = self._explorer.configurations
        found: list[dict[object, tuple[str, ...]]] = [{} for _ in self._listed]
        while waiting:
            here = waiting.popleft()
            node, number, taken = here
            if node.path is not None and taken:
                value = None if self._choice is None else state[number][self._choice]
                if value not in found[node.path]:
                    found[node.path][value] = found_by(came, here)
                    if first:
                        break
                continue
            for _, event, by, target in self._explorer.edges(number):
                there = node if state[target][0] == node.state else node.children.get(by)
                if there is not None:
                    onward = there, target, taken or by == row
                    if onward not in came:
                        came[onward] = here, event
                        waiting.append(onward)
        return found
