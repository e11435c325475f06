"""SCXML is read: our own documents come back as they were, others as far as a chart can say them, and nothing else gets in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fsm
from fsm import Chart, Session
from fsm.export import ReadError
from fsm.export.reading import LARGEST, read_file
from fsm.export.scxml_reader import read
from tests.export.corpus import PLAIN_TILL, Case, Cell, cells
from tests.export.test_scxml import MACHINES, RINGING, Document
from tests.export.tools import node

HERE = Path(__file__).parent


def document(inside: str, **attributes: str) -> str:
    more = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript"{more}>\n{inside}\n</scxml>'


@pytest.mark.parametrize("case", MACHINES, ids=lambda case: case.name)
def test_our_own_documents_come_back(case: Case) -> None:
    back, notes = read(fsm.export(case.chart, "scxml"), "")
    assert len(back.rows) == len(case.chart.rows)
    assert ([*back.states], {*back.events}) == ([*case.chart.states], {*case.chart.events})
    assert [s.final for s in back.states] == [s.final for s in case.chart.states]
    assert [note for note in notes if "absorbing" not in note and "negative" not in note] == []  # it has no invariants
    twice, _ = read(fsm.export(back, "scxml"), "")
    assert said(twice) == said(back)


def said(chart: Chart) -> set[tuple[object, ...]]:
    return {(r.source, r.event, str(r.guard), r.effect_text, r.target, r.reenter) for r in chart.rows}


@pytest.mark.parametrize("case", [one for one in MACHINES if not one.name.startswith("http")], ids=lambda case: case.name)
def test_what_comes_back_answers_every_cell_alike(case: Case) -> None:
    """Compared in the words of the document, in which true and false are 1 and 0, and nothing is 'none'."""
    back, _ = read(fsm.export(case.chart, "scxml"), "")

    def plainly(values: tuple[object, ...]) -> tuple[object, ...]:
        return tuple("none" if value is None else int(value) if isinstance(value, bool) else value for value in values)

    def spoken(some: tuple[Cell, ...]) -> set[tuple[object, ...]]:
        return {(plainly(c.here), c.event, tuple(c.data[name] for name in case.chart.numbers if name in c.data), c.answer, plainly(c.after)) for c in some}

    read_back = Case(Chart(back.name, states=back.states, events=back.events, rows=back.rows, variables=back.variables, bounds=case.chart.bounds, initial=back.initial), case.within)
    ours = spoken(cells(case))
    theirs = spoken(cells(read_back))
    assert {one for one in ours if one[3] == "accepted"} == {one for one in theirs if one[3] == "accepted"}


def test_times_come_back() -> None:
    back, _ = read(fsm.export(RINGING, "scxml"), "")
    assert dict(back.state("ringing").after) == {0.05: "enough"}
    assert back.row("ringing.again").reenter


NESTED = document("""
 <datamodel><data id="n" expr="0"/><data id="trail" expr="'start'"/><data id="paid" expr="false"/></datamodel>
 <state id="outer">
  <onentry><assign location="n" expr="n + 1"/></onentry>
  <onexit><assign location="n" expr="2 * n"/></onexit>
  <transition event="leave" target="end"/>
  <transition event="a.*" cond="n &gt; 4" target="end"/>
  <transition event="again" target="outer"/>
  <state id="first">
   <onexit><assign location="trail" expr="'left first'"/></onexit>
   <transition event="a.b" cond="n &lt; 3" target="second"><assign location="n" expr="n + 3"/></transition>
   <transition event="a" target="second"/>
   <transition event="inside"><log expr="n"/></transition>
  </state>
  <state id="second">
   <onentry><assign location="n" expr="n + 10"/><assign location="paid" expr="true"/></onentry>
   <transition event="back" cond="paid &amp;&amp; n !== 5" target="first"/>
   <transition event="*" target="end"/>
  </state>
 </state>
 <final id="end"/>
""", name="nested", initial="outer")
TRACES = (
    "a.b", "a.b,back", "leave", "inside", "again", "again,again", "again,again,a.b", "a.b,again", "a.b,leave", "a.b,a.b", "a.b,back,a.b",
    "again,a.b,back,again,again", "inside,again,inside,leave",
)  # fmt: skip


def test_nested_states_are_flattened_as_another_interpreter_runs_them(tmp_path: Path) -> None:
    chart, notes = read(NESTED, "")
    assert notes[0] == "<log> was dropped"
    file = tmp_path / "nested.scxml"
    file.write_text(NESTED)
    answers = node(HERE / "trace_scion.cjs", file, *TRACES, package="@scion-scxml/scxml").splitlines()
    answers = [line for line in answers if line.startswith("[[")]  # <log> prints, too
    for trace, line in zip(TRACES, answers, strict=True):
        session = Session.of(chart)()
        for event in trace.split(","):
            session.fire(event)
        (leaf,), data = json.loads(line)
        assert (session.state, chart.values(session.configuration)) == (leaf, data), trace
    assert len({*answers}) > 6


def test_document_order_becomes_exclusive_guards_and_prefixes_match() -> None:
    chart, _ = read(NESTED, "")
    assert [str(row.guard) for row in chart.rows_for("first", "a.b")] == ["n < 3", "n >= 3"]
    assert [(str(row.guard), row.target) for row in chart.rows_for("second", "back")] == [("paid and n != 5", "first"), ("not paid or n == 5", "end")]
    assert [str(event) for event in chart.events] == ["leave", "a", "again", "a.b", "inside", "back"]


CHANGED = {
    "unreachable": ('<state id="a"><transition event="e" target="b"/></state><final id="b"/><state id="c"/>', "the state 'c' cannot be reached and was dropped"),
    "shadowed": ('<state id="a"><transition event="e" target="b"/></state><final id="b"/>'.replace("<state id=\"a\">", '<state id="a"><transition event="e" cond="false" target="b"/>'),
                 "a transition of 'a' on 'e' is never taken and was dropped (line 2)"),
    "no way out": ('<state id="a"><transition event="e" target="b"/><transition event="f" target="c"/></state><final id="b"/><state id="c"/>',
                   "no way leads from 'c' to a final state; it is absorbing now"),
    "negative": ('<datamodel><data id="n" expr="1"/></datamodel><state id="a"><transition event="e"><assign location="n" expr="n - 1"/></transition></state>',
                 "n would become negative in 'a' on 'e'; the row needs n >= 1 now"),
    "foreign": ('<x:note xmlns:x="urn:x">hello</x:note><state id="a"><transition event="e"/></state>', "elements of other namespaces were dropped"),
    "a timer without cancel": ('<state id="a"><onentry><send event="e" delay="500ms"/></onentry><transition event="e" target="b"/></state><final id="b"/>',
                               "the timer of 'a' ends when the state is left"),
}  # fmt: skip


@pytest.mark.parametrize(("inside", "note"), CHANGED.values(), ids=CHANGED)
def test_what_is_dropped_or_changed_is_said(inside: str, note: str) -> None:
    _, notes = read(document(inside), "x")
    assert note in notes


A = '<state id="a"><transition event="e" target="a"/></state>'
REFUSED = {
    "parallel": (document(f"<parallel>{A}</parallel>"), "line 2: <parallel> cannot be taken over"),
    "history": (document(f'<state id="a"><history id="h"/></state>{A}'), "line 2: <history> cannot be taken over"),
    "invoke": (document(f'<state id="b"><invoke type="x"/></state>{A}'), "line 2: <invoke> cannot be taken over"),
    "script": (document(f"<script>1</script>{A}"), "line 2: <script> cannot be taken over"),
    "raise": (document('<state id="a"><onentry>\n<raise event="x"/></onentry></state>'), "line 3: <raise> cannot be taken over"),
    "eventless": (document('<state id="a"><transition target="b"/><transition event="e"/></state><final id="b"/>'), "line 2: a transition without an event"),
    "send in a transition": (document('<state id="a"><transition event="e"><send event="x"/></transition></state>'), "line 2: <send> cannot be taken over, but for a timer"),
    "send elsewhere": (document('<state id="a"><onentry><send event="x" target="#_parent"/></onentry><transition event="x"/></state>'), "line 2: <send> cannot be taken over, but for a timer"),
    "an external file": (document(f'<datamodel><data id="n" src="file:///etc/passwd"/></datamodel>{A}'), "line 2: <data src=...> refers to another file, which is not read"),
    "a fraction": (document(f'<datamodel><data id="n" expr="1.5"/></datamodel>{A}'), "line 2: <data id='n'> starts as '1.5'; a chart has whole numbers"),
    "an object": (document(f'<datamodel><data id="n" expr="{{}}"/></datamodel>{A}'), "line 2: <data id='n'> starts as '{}'"),
    "a call": (document('<state id="a"><transition event="e" cond="alert(1)" target="a"/></state>'), "line 2: the expression 'alert(1)' cannot be taken over: there is no number 'alert'"),
    "a product": (document('<datamodel><data id="n" expr="1"/></datamodel><state id="a"><transition event="e" cond="n * n > 1"/></state>'), "line 2: the expression 'n * n > 1' cannot be taken over: names are not multiplied"),
    "an unknown target": (document('<state id="a"><transition event="e" target="nowhere"/></state>'), "line 2: there is no state 'nowhere'"),
    "two targets": (document('<state id="a"><transition event="e" target="a b"/></state>'), "line 2: 'a b' are two targets"),
    "two states of one name": (document(A + A), "line 2: there are two states 'a'"),
    "no state": (document(""), "line 1: it has no states"),
    "another document": ("<html/>", "line 1: the document is <html>, not <scxml>"),
    "no xml": ("{}", "line 1, column 1: not XML: not well-formed"),
    "cut short": ("<scxml><state", "line 1, column 8: not XML: unclosed token"),
    "a name that is taken": (document(f'<datamodel><data id="class" expr="0"/></datamodel>{A}'), "line 2: variable 'class'"),
    "an entity": ('<!DOCTYPE scxml [<!ENTITY x "y">]>' + document(f"{A}&x;"), "line 1: a document type is not read, and entities are not expanded"),
    "a billion laughs": ('<!DOCTYPE s [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>' + document("&b;"), "line 1: a document type is not read"),
    "an external entity": ('<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + document("&x;"), "line 1: a document type is not read"),
    "an external subset": ('<!DOCTYPE s SYSTEM "http://127.0.0.1:1/x.dtd">' + document(A), "line 1: a document type is not read"),
    "too deep": (document("<state>" * 5_000 + "</state>" * 5_000), "line 2: more than 100 elements stand in each other"),
    "an expression too deep": (document(f'<state id="a"><transition event="e" cond="{"(" * 3_000}1 &lt; 2{")" * 3_000}"/></state>'), "line 2: the expression"),
    "a long number": (document(f'<datamodel><data id="n" expr="{"9" * 5_000}"/></datamodel>{A}'), "line 2: <data id='n'>"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_a_chart_cannot_say_is_refused_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(ReadError) as found:
        read(text, "x")
    assert str(found.value).startswith(problem)
    assert "\n" not in str(found.value)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large.scxml"
    with file.open("wb") as out:
        out.truncate(100_000_000)  # a hole: it takes no place on the disk
    with pytest.raises(ReadError, match=f"it is larger than {LARGEST // 1_000_000} MB"):
        read_file(file)


def test_a_chart_of_data_from_events_comes_back(tmp_path: Path) -> None:
    Document(PLAIN_TILL, tmp_path)
    chart, _ = read_file(tmp_path / "chart.scxml")
    assert {str(event): [one.name for one in event.data] for event in chart.events if event.data} == {"sell": ["amount"], "pay": ["amount", "tip"]}
