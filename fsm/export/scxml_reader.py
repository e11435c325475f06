"""SCXML -> chart, as far as a chart can say it; what it cannot say is refused by line, what is left out is said.

Theory.
1. A chart is flat: the leaves of nested states become its states, and a transition of a state around them belongs to
   each.  What is done on leaving and entering is part of the row's effects, in SCXML's order: inner states are left
   first, outer ones entered first.
2. SCXML does one assignment after the other, a chart all at once: each new value is expressed by the values before.
3. SCXML takes the first transition in document order, inner states before outer ones; rows must exclude each other.  A
   later row gets the opposite of those before it, where both could hold.
4. `a.b` is also what waits for `a`, `a.*` and `*`.  A timer set on entering (`send` with a delay) becomes a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from fsm.chart import Chart, Event, Row, State
from fsm.condition import ALWAYS, All, Compare, Condition, negated
from fsm.data import Number
from fsm.errors import DefinitionError
from fsm.export.ecmascript_reader import Reader, is_string, string
from fsm.export.errors import ReadError
from fsm.export.lowered import all_of
from fsm.export.xml_tree import Element, parse
from fsm.solver import possible
from fsm.table import Table
from fsm.validation import reachable
from fsm.variable import Assignment, Boolean, Choice, Counter, Sum

__all__ = ["read"]

TAKEN: Final = {
    "scxml", "state", "final", "initial", "transition", "datamodel", "data", "onentry", "onexit", "assign", "log",
    "send", "cancel",
}  # fmt: skip
Todo = list[tuple[str, Sum | str | bool]]


class Prepared(NamedTuple):
    """A transition that may be taken in a leaf: its condition, what is done, and the leaf it leads to."""

    element: Element
    guard: Condition
    effects: tuple[Assignment, ...]
    target: str
    stays: bool


def read(text: str, name: str) -> tuple[Chart, tuple[str, ...]]:
    """Return the chart of a document, and what was dropped or changed, in sentences.

    `name` is used where the document has none.  ReadError, with the line, for what a chart cannot say.
    """
    root, comments = parse(text)
    if root.name != "scxml":
        raise ReadError(f"line {root.line}", f"the document is <{root.name}>, not <scxml>")
    reader = _Reader(root, comments, name)
    try:
        return reader.chart(), tuple(dict.fromkeys(reader.notes))
    except DefinitionError as error:
        raise ReadError("", str(error)) from None
    except RecursionError:
        raise ReadError("", "it is nested too deeply") from None


class _Reader:
    def __init__(self, root: Element, comments: list[str], name: str) -> None:
        self.root, self.name = root, root.get("name") or name
        self.notes: list[str] = []
        self.ours = next((one for one in comments if "Written by fsm " in one), "")
        self.named = {
            (kind, found): json.loads(text)
            for found, kind, text in re.findall(r'^\s*(\S+) is the (state|event) (".*")$', self.ours, re.M)
        }
        self._refuse_strangers()
        self.leaves: list[Element] = []
        self.above: dict[str, list[Element]] = {}
        """The states around a state, outermost first, and the state itself, by its id."""
        self._find_states(root, [])
        self.variables: dict[str, Counter | Choice | Number] = {}
        self._find_data()

    def wrong(self, element: Element, problem: str) -> ReadError:
        return ReadError(f"line {element.line}", problem)

    def _refuse_strangers(self) -> None:
        """Refuse what a chart cannot say, and drop what other programs keep in a document."""
        waiting = [self.root]
        while waiting:
            element = waiting.pop()
            for child in list(element.children):
                if child.namespace != self.root.namespace:
                    element.children.remove(child)
                    self.notes.append("elements of other namespaces were dropped")
                elif child.name not in TAKEN:
                    raise self.wrong(child, f"<{child.name}> cannot be taken over")
                elif child.get("src") is not None:
                    raise self.wrong(child, f"<{child.name} src=...> refers to another file, which is not read")
                else:
                    waiting.append(child)

    def _find_states(self, element: Element, above: list[Element]) -> None:
        for number, state in enumerate(element.all("state", "final")):
            id = state.attributes.setdefault("id", f"{above[-1].get('id') if above else 'state'}_{number}")
            if id in self.above:
                raise self.wrong(state, f"there are two states {id!r}")
            self.above[id] = [*above, state]
            if state.all("state", "final"):
                self._find_states(state, self.above[id])
            else:
                self.leaves.append(state)
        if not above and not self.leaves:
            raise self.wrong(element, "it has no states")

    # ------------------------------------------------------------------------------------------------- data

    def _find_data(self) -> None:
        elements = [one for one in self.root.walk() if one.name == "data"]
        given = {one.get("id") or "": (one.get("expr") or one.text).strip() for one in elements}
        words = "\n".join(one.get(name) or "" for one in self.root.walk() for name in ("cond", "expr", "event"))
        for one in elements:
            id = one.get("id") or ""
            if self.ours and id in ("flags", "accepted"):
                continue  # they only say what the chart says itself
            try:
                self.variables[id] = self._variable(one, id, given[id])
            except DefinitionError as error:
                raise self.wrong(one, str(error)) from None
        for found in dict.fromkeys(re.findall(r"_event\.data\.([A-Za-z_]\w*)", words)):
            self.variables[f"_event.data.{found}"] = Number(found)

    def _variable(self, element: Element, id: str, start: str) -> Counter | Choice:
        if start in ("true", "false"):
            return Boolean(id, initial=start == "true")
        if is_string(start):
            values = [string(start)]
            for one in self.root.walk():
                if one.name == "assign" and one.get("location") == id and is_string(one.get("expr") or ""):
                    values.append(string(one.get("expr") or ""))
                for pattern in (
                    rf"\b{id}\s*[!=]==?\s*('[^']*'|\"[^\"]*\")",
                    rf"('[^']*'|\"[^\"]*\")\s*[!=]==?\s*{id}\b",
                ):
                    values += map(string, re.findall(pattern, one.get("cond") or ""))
            return Choice(id, tuple(dict.fromkeys(values)), initial=string(start))
        if re.fullmatch(r"\d{1,400}", start):
            return Counter(id, initial=int(start))
        problem = f"starts as {start!r}" if start else "starts as nothing"
        raise self.wrong(
            element, f"<data id={id!r}> {problem}; a chart has whole numbers from 0 on, strings, true and false"
        )

    # ----------------------------------------------------------------------------------------------- actions

    def _actions(self, blocks: Iterable[Element]) -> Todo:
        found: Todo = []
        for block in blocks:
            for one in block.children:
                location = one.get("location") or ""
                if one.name == "log":
                    self.notes.append("<log> was dropped")
                elif one.name == "assign" and not (self.ours and location in ("flags", "accepted")):
                    if location not in self.variables or location.startswith("_event"):
                        raise self.wrong(one, f"<assign> changes {location!r}, which is no <data> of the document")
                    new = Reader(one.get("expr") or one.text, self.variables, f"line {one.line}").value()
                    if isinstance(new, Sum) is not isinstance(self.variables[location], Counter):
                        raise self.wrong(one, f"<assign> gives {location!r} a value of another kind than it had")
                    found.append((location, new))
                elif one.name == "send" and block.name != "onentry":
                    raise self.wrong(one, "<send> cannot be taken over, but for a timer that is set on entering")
        return found

    def _together(self, todo: Todo) -> tuple[Assignment, ...]:
        """One assignment after the other, as effects that happen at once."""
        now: dict[str, Sum | tuple[str | bool]] = {}
        for name, new in todo:
            if not isinstance(new, Sum):
                now[name] = (new,)
                continue
            total = Sum((), new.constant)
            for read, factor in new.terms:
                before = now.get(read, Sum(((read, 1),), 0))
                assert isinstance(before, Sum)
                total = total + before * factor
            now[name] = Sum(tuple((self._plain(n), f) for n, f in total.terms if f), total.constant)
        return tuple(Assignment(name, value) for name, value in now.items() if not _same(name, value))

    @staticmethod
    def _plain(name: str) -> str:
        return name.removeprefix("_event.data.")

    def _times(self, leaf: Element) -> dict[float, str]:
        """The timers that entering a leaf sets."""
        found: dict[float, str] = {}
        for state in self.above[leaf.get("id") or ""]:
            for one in (one for block in state.all("onentry") for one in block.all("send")):
                delay = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)(ms|s)", one.get("delay") or "")
                if delay is None or one.get("event") is None or set(one.attributes) - {"id", "event", "delay"}:
                    raise self.wrong(
                        one, "<send> cannot be taken over, but for a timer: an event and a delay in s or ms"
                    )
                if state is not leaf:
                    raise self.wrong(
                        one, "a timer of a state with states in it cannot be taken over: it would start anew in each"
                    )
                ids = {c.get("sendid") for block in state.all("onexit") for c in block.all("cancel")}
                if one.get("id") not in ids:
                    self.notes.append(f"the timer of {leaf.get('id')!r} ends when the state is left")
                found[float(delay[1]) / (1000 if delay[2] == "ms" else 1)] = self._event_name(one.get("event") or "")
        return found

    # ------------------------------------------------------------------------------------------- transitions

    def _initial(self, element: Element) -> str:
        inner = [t.get("target") for one in element.all("initial") for t in one.all("transition")]
        named = element.get("initial") or next(iter(inner), None) or element.all("state", "final")[0].get("id") or ""
        return self._leaf(named, element)

    def _leaf(self, name: str, at: Element) -> str:
        if " " in name.strip():
            raise self.wrong(at, f"{name!r} are two targets, and a chart is in one state")
        if name.strip() not in self.above:
            raise self.wrong(at, f"there is no state {name!r}")
        found = self.above[name.strip()][-1]
        return name.strip() if found in self.leaves else self._initial(found)

    def _events(self) -> list[str]:
        """The events that are named, those with a longer name last."""
        found = [
            token for one in self.root.walk() if one.name == "transition" for token in (one.get("event") or "").split()
        ]
        found += [one.get("event") or "" for one in self.root.walk() if one.name == "send"]
        return list(
            dict.fromkeys(bare for token in found if (bare := re.sub(r"(\.\*|\.)$", "", token)) not in ("*", ""))
        )

    def _prepared(self, leaf: str, event: str) -> Iterator[Prepared]:
        """The transitions that the event may take in a leaf, in the order in which SCXML looks at them."""
        for depth, state in reversed(list(enumerate(self.above[leaf]))):
            for one in state.all("transition"):
                if one.get("event") is None:
                    raise self.wrong(one, "a transition without an event cannot be taken over")
                if not any(_waits_for(token, event) for token in (one.get("event") or "").split()):
                    continue
                cond = one.get("cond")
                guard = Reader(cond, self.variables, f"line {one.line}").condition() if cond else ALWAYS
                named = one.get("target")
                if not named:
                    yield Prepared(one, guard, self._together(self._actions([one])), leaf, stays=True)
                    continue
                target = self._leaf(named, one)
                old, new, aim = self.above[leaf], self.above[target], self.above[named.strip()]
                inside = one.get("type") == "internal" and state in aim[:-1]
                shared = sum(1 for a, b in zip(old, new, strict=False) if a is b)
                common = depth + 1 if inside else min(shared, depth, len(aim) - 1)
                left = [block for s in reversed(old[common:]) for block in s.all("onexit")]
                entered = [block for s in new[common:] for block in s.all("onentry")]
                yield Prepared(one, guard, self._together(self._actions([*left, one, *entered])), target, stays=False)

    def chart(self) -> Chart:
        """Return the chart."""
        start = self._initial(self.root)
        begun = self._actions(block for state in self.above[start] for block in state.all("onentry"))
        self._begin(self._together(begun))
        variables = [one for one in self.variables.values() if not isinstance(one, Number)]
        table = Table(
            self.name, states=[], events=[self._data_event("*", self.variables.values())], rows=[], variables=variables
        )
        rows: list[Row] = []
        for leaf in (str(state.get("id")) for state in self.leaves):
            for event in self._events():
                rows += self._rows(leaf, event, table)
        return self._finished(start, rows, variables)

    def _begin(self, effects: Iterable[Assignment]) -> None:
        """What entering the first state does belongs to the start."""
        values = {name: v.initial for name, v in self.variables.items() if not isinstance(v, Number)}
        for effect in effects:
            v = self.variables[effect.name]
            new = effect.new(values)
            if isinstance(v, Boolean):
                self.variables[effect.name] = Boolean(v.name, initial=bool(new))
            elif isinstance(v, Choice):
                self.variables[effect.name] = Choice(v.name, v.values, initial=new)
            elif isinstance(v, Counter):
                self.variables[effect.name] = Counter(v.name, initial=max(int(str(new)), 0))

    def _rows(self, leaf: str, event: str, table: Table) -> Iterator[Row]:
        before: list[Condition] = []
        for number, one in enumerate(self._prepared(leaf, event)):
            guard = all_of(one.guard, *(negated(b) for b in before if possible(All(one.guard, b), table) is not None))
            if possible(guard, table) is None:
                self.notes.append(
                    f"a transition of {leaf!r} on {event!r} is never taken and was dropped (line {one.element.line})"
                )
                continue
            before.append(one.guard)
            for effect in one.effects:
                if isinstance(effect.value, Sum) and (less := _may_be_negative(effect.value, guard, table)) is not None:
                    guard = all_of(guard, less)
                    self.notes.append(
                        f"{effect.name} would become negative in {leaf!r} on {event!r}; the row needs {less} now"
                    )
            id = f"{leaf}.{event}" if number == 0 else f"{leaf}.{event}.{number + 1}"
            source, target = self._state_name(leaf), self._state_name(one.target)
            comes_back = not one.stays and one.target == leaf
            yield Row(id, source, self._event_name(event), guard, one.effects, target, (), "", comes_back)
            if one.guard == ALWAYS:
                return

    def _state_name(self, id: str) -> str:
        return str(self.named.get(("state", id), id))

    def _event_name(self, name: str) -> str:
        return str(self.named.get(("event", name), name))

    def _data_event(self, name: str, known: Iterable[object], spoken: frozenset[str] | None = None) -> Event:
        data = tuple(one for one in known if isinstance(one, Number) and (spoken is None or one.name in spoken))
        return Event(name, data=data)

    def _finished(self, start: str, rows: list[Row], variables: list[Counter | Choice]) -> Chart:
        """Drop what cannot be reached; say what has no way out."""
        moves = [(row.source, row.target) for row in rows if row.moves]
        reached = reachable({self._state_name(start)}, moves)
        names = {self._state_name(str(one.get("id"))): one for one in self.leaves}
        self.notes += [f"the state {name!r} cannot be reached and was dropped" for name in names if name not in reached]
        rows = [row for row in rows if row.source in reached]
        final = {name for name, one in names.items() if name in reached and one.name == "final"}
        final |= self._was_final(names, rows)
        home = reachable(final, ((target, source) for source, target in moves)) if final else reached
        leaving = {row.source for row in rows if row.moves}
        stuck = [
            name
            for name in names
            if name in reached and name not in final and (name not in home or name not in leaving)
        ]
        if len(reached) > 1 or final:
            self.notes += [f"no way leads from {name!r} to a final state; it is absorbing now" for name in stuck]
        states = [
            State(name, final=name in final, absorbing=name in stuck and len(reached) > 1, after=self._times(one))
            for name, one in names.items() if name in reached
        ]  # fmt: skip
        spoken: dict[str, frozenset[str]] = {}
        for row in rows:
            words = row.guard.names().union(*(effect.names() for effect in row.effects))
            spoken[row.event] = spoken.get(row.event, frozenset()) | words
        events = [self._data_event(event, self.variables.values(), words) for event, words in spoken.items()]
        name = self._state_name(start)
        passing = set(re.findall(r"^ *(\w+) holds an earlier value", self.ours, re.M))
        variables = [v for v in variables if v.name not in passing]
        rows = [row._replace(effects=tuple(e for e in row.effects if e.name not in passing)) for row in rows]
        return Chart(self.name, states=states, events=events, rows=rows, variables=variables, initial=name)

    def _was_final(self, names: dict[str, Element], rows: list[Row]) -> set[str]:
        """In a document of our own: the final states that have rows, which are ordinary there."""
        moved = {row.source for row in rows if row.moves}
        return {
            name for name, one in names.items() if f"{one.get('id')!r} is final," in self.ours and name not in moved
        }


def _same(name: str, value: Sum | tuple[str | bool]) -> bool:
    return isinstance(value, Sum) and value.terms == ((name, 1),) and value.constant == 0


def _waits_for(token: str, event: str) -> bool:
    bare = re.sub(r"(\.\*|\.)$", "", token)
    return bare in ("*", event) or event.startswith(f"{bare}.")


def _may_be_negative(value: Sum, guard: Condition, table: Table) -> Condition | None:
    """The condition under which a sum is not negative, if it could be."""
    if value.constant >= 0 and all(factor > 0 for _, factor in value.terms):
        return None
    kept = Compare(value.terms, ">=", -value.constant)
    return kept if possible(All(guard, negated(kept)), table) is not None else None
