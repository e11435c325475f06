"""`fsm paths` writes what the atlas found, chooses among it, and says in a sentence what is wrong."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from fsm.analysis.paths import Atlas
from fsm.cli import main
from fsm.install import install_command
from fsm.logoff import LOGOFF, StoreSession
from fsm.logoff.properties import BOUNDS


def paths(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    assert main(["paths", "--format", "json", *words]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)["paths"]
    return found


def moves(trace: str) -> tuple[StoreSession, list[str]]:
    session, rows = StoreSession(), []
    for event in trace.split(","):
        row = session.may(event).row
        assert row is not None
        session.fire(event)
        rows += [row.id] if row.moves else []
    return session, rows


def test_the_json_has_every_path_and_the_counts_with_their_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paths", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["reached", "paths", "counts"]
    assert told["reached"] == {"released": "logoff_quiet"}
    assert len(told["paths"]) == 225
    for path in told["paths"]:
        assert list(path) == ["id", "states", "rows", "flag", "witness", "infeasible"]
        session, rows = moves(path["witness"])
        assert (session.complete, rows) == (True, path["rows"])
        assert session.request is not None
        assert session.request.name == path["flag"]
        assert path["infeasible"] is None
    assert told["counts"] == {
        "bounds": ["inbound <= 1", "outbound + ready + deferred <= 2", "peers <= 1"], "cut": 241,
        "configurations": 268, "steps": 2646, "by_length": {
            "1": 6, "2": 9, "3": 70, "4": 411, "5": 2891, "6": 20358, "7": 150777, "8": 1139910, "9": 8781169,
            "10": 68578753,
        },
    }


def test_the_csv_is_the_same_list(capsys: pytest.CaptureFixture[str]) -> None:
    told = paths(capsys)
    assert main(["paths", "--format", "csv"]) == 0
    read = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(r["id"], r["flag"], r["witness"], r["infeasible"]) for r in read] == [
        (p["id"], p["flag"], p["witness"], "") for p in told
    ]
    assert [r["rows"].split(" > ") for r in read] == [p["rows"] for p in told]


def test_the_table_names_families_rows_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paths"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "store-logoff: released can be reached; the shortest trace is logoff_quiet\n"
        "225 of 225 elementary paths, 0 without a witness\nwithin inbound <= 1, "
    )
    assert "241 steps are cut off, the first is inbound_begin in open, inbound 1 (to open, inbound 2)" in out
    for family in ("open > released  (12)", "open > draining > released  (42)", "open > blocked > released  (45)",
                   "open > blocked > draining > released  (126)"):
        assert f"\n{family}\n" in out
    assert "96 of 102 rows are on a path; these are not:\n  blocked.abort_submit.last: leads back to open" in out
    assert "    5  2,891\n" in out
    assert "walks" not in out


def test_walks_are_told_with_their_proof(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paths", "--walks", "--length", "1"]) == 0
    out = capsys.readouterr().out
    head = "41 walks with 220 events together take every row, within "
    assert head in out
    assert "; this is proved to be shortest:" in out
    walks = [line.strip() for line in out.partition(head)[2].splitlines()[1:]]
    assert len(walks) == 41
    assert all(moves(walk)[0].complete for walk in walks)


def test_without_networkx_the_walks_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "networkx", None)
    monkeypatch.delitem(sys.modules, "fsm.analysis.coverage", raising=False)
    assert main(["paths", "--walks"]) == 2
    told = f"fsm paths: walks that take every row need networkx: {install_command('paths')}\n"
    assert capsys.readouterr() == ("", told)
    assert main(["paths", "--length", "1"]) == 0


# ---------------------------------------------------------------------------------------------- choosing


@pytest.mark.parametrize("flag", ["ABORT", "orderly", "Quiet", "NO_WAIT", "PURGE"])
def test_by_flag_each_witness_ends_with_it(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    found = paths(capsys, "--flag", flag)
    assert len(found) == len(Atlas(LOGOFF, BOUNDS).by_flag[flag.upper()])
    for path in found:
        session, rows = moves(str(path["witness"]))
        assert path["flag"] == flag.upper()
        assert session.request is not None
        assert (session.request.name, rows) == (flag.upper(), path["rows"])


@pytest.mark.parametrize(("words", "number"), [
    (["--state", "draining"], 168), (["--state", "blocked"], 171), (["--state", "open"], 225),
    (["--row", "open.logoff_quiet.granted"], 1), (["--row", "blocked.logoff_purge"], 42),
    (["--row", "blocked.abort_submit.last"], 0), (["--length", "1"], 6), (["--length", "2"], 6), (["--length", "1-2"], 12),
    (["--length", "8-9"], 0), (["--state", "draining", "--length", "4", "--row", "open.logoff_purge"], 9),
], ids=lambda x: " ".join(x) if isinstance(x, list) else "")
def test_by_state_row_and_length(capsys: pytest.CaptureFixture[str], words: list[str], number: int) -> None:
    found = paths(capsys, *words)
    assert len(found) == number
    everything = {str(path["id"]): path for path in paths(capsys)}
    assert all(everything[str(path["id"])] == path for path in found)


def test_by_a_row_that_stays_each_witness_takes_it(capsys: pytest.CaptureFixture[str]) -> None:
    found = paths(capsys, "--row", "draining.logoff_abort", "--flag", "abort")
    assert len(found) > 20
    for path in found:
        session, rows = moves(str(path["witness"]))
        assert rows == path["rows"]
        assert session.request is not None
        assert session.request.name == "ABORT"
        assert "logoff_abort" in str(path["witness"]).split(",")


def test_length_also_chooses_the_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paths", "--format", "json", "--length", "3-5"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["by_length"] == {"3": 70, "4": 411, "5": 2891}


# ------------------------------------------------------------------------------------------- other charts

MODULE = '''
from fsm.chart import Chart, State, row
from fsm.variable import Choice, Counter
N, MODE = Counter("n"), Choice("mode", (None, "slow", "fast"))
END = State("done", final=True)
LURE = Chart("lure", states=("a", "b", END), events=("more", "go", "end", "never"), variables=(N, MODE), rows=[
    row("more", "a", "more", effects=[N.becomes(N + 1)]),
    row("go", "a", "go", target="b", effects=[MODE.becomes("fast")]), row("end", "b", "end", target=END),
    row("far", "b", "more", guard=N > 5, target=END),
    row("never", "b", "never", guard=MODE == "slow", target=END)])
GATE = Chart("gate", states=("locked", "unlocked", State("retired", final=True)), events=("coin", "push", "retire"),
             variables=(N,), rows=[row("pay", "locked", "coin", effects=[N.becomes(N + 1)], target="unlocked"),
    row("pass", "unlocked", "push", target="locked"), row("retire", "locked", "retire", guard=N > 0, target="retired")])
NEVER = Chart("never", states=("a", "b", END), events=("go", "back", "end"), variables=(N,), rows=[
    row("go", "a", "go", target="b"), row("back", "b", "back", target="a"), row("end", "b", "end", guard=N > 0, target=END)])
FAR = Chart("far", states=("a", END), events=("more", "end"), variables=(N,), rows=[
    row("more", "a", "more", effects=[N.becomes(N + 1)]), row("end", "a", "end", guard=N > 5, target=END)])
THERE = Chart("there", states=(END,), events=("ask",), rows=[row("ask", END, "ask")])
LOST = Chart("lost", states=("a", "b"), events=("go", "back"), variables=(N,), rows=[
    row("go", "a", "go", guard=N > 0, target="b"), row("back", "b", "back", target="a")])
ONCE = Chart("once", states=("a", "b"), events=("go", "back"), variables=(N,), rows=[
    row("go", "a", "go", target="b"), row("back", "b", "back", guard=N > 0, target="a")])
MESH = Chart("mesh", states=[*(f"s{n}" for n in range(12)), State("end", final=True)],
             events=[*(f"to{n}" for n in range(12)), "end"], rows=[
    *(row(f"{a}-{b}", f"s{a}", f"to{b}", target=f"s{b}") for a in range(12) for b in range(12) if a != b),
    *(row(f"end{a}", f"s{a}", "end", target="end") for a in range(12))])
LAMP = Chart("lamp", states=("on", "off"), events=("flip",), rows=[
    row("up", "off", "flip", target="on"), row("down", "on", "flip", target="off")])
ODD = Chart("odd\\x1b[2J", states=(State('<b>"a"\\n\\u202e'), State("終", final=True)), events=("e: f",),
            rows=[row("r > 1", '<b>"a"\\n\\u202e', "e: f", target="終")])
WRONG = 5
'''


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "charts_of_paths", raising=False)
    (tmp_path / "charts_of_paths.py").write_text(MODULE)


def test_another_chart_with_what_cannot_be_and_what_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    found = paths(capsys, "--chart", "charts_of_paths:LURE", "--bound", "n <= 2")
    assert [(p["rows"], p["flag"], p["witness"], p["infeasible"]) for p in found] == [
        (["go", "end"], "fast", "go,end", None),
        (["go", "far"], None, None, "no witness within n <= 2; greater counts are not excluded"),
        (["go", "never"], None, None,
         "after go, in b it then always holds that mode == fast; never needs mode == slow"),
    ]
    found = paths(capsys, "--chart", "charts_of_paths:LURE", "--bound", "n <= 6")
    assert found[1]["witness"] == "more,more,more,more,more,more,go,more"
    assert main(["paths", "--chart", "charts_of_paths:LURE", "--bound", "n <= 2"]) == 0
    out = capsys.readouterr().out
    assert "3 of 3 elementary paths, 2 without a witness" in out
    assert "no witness: after go, in b" in out
    assert "\n  p2 none      go > far\n      no witness within n <= 2; greater counts are not excluded" in out


def test_it_says_first_whether_the_end_can_be_reached(capsys: pytest.CaptureFixture[str]) -> None:
    for words, first in [
        (["GATE", "--bound", "n <= 2"], ["gate: retired can be reached; the shortest trace is coin,push,retire",
                                         ("1 of 1 elementary paths, 1 without a witness; a longer way, which visits a "
                                          "state twice, may take the same rows")]),
        (["LURE", "--bound", "n <= 2"], ["lure: done can be reached; the shortest trace is go,end"]),
        (["NEVER"], ["never: done cannot be reached: all 2 configurations were looked at"]),
        (["FAR", "--bound", "n <= 2"], ["far: done cannot be reached within n <= 2; beyond them it was not looked for (--bound)"]),
        (["THERE"], ["there: done can be reached; it starts there"]),
        (["LAMP"], ["lamp: it has no final state and never ends; every state can be reached",
                    "lamp: it can come back to on; the shortest trace is flip,flip",
                    "1 of 1 elementary rounds, 0 without a witness"]),
        (["LOST"], ["lost: it has no final state and never ends; b cannot be reached: all 1 configurations were looked at"]),
        (["ONCE"], ["once: it has no final state and never ends; every state can be reached",
                    "once: it cannot come back to a: all 2 configurations were looked at"]),
    ]:
        assert main(["paths", "--chart", f"charts_of_paths:{words[0]}", *words[1:]]) == 0
        out = capsys.readouterr().out
        assert out.splitlines()[: len(first)] == first
        assert "infeasible" not in out


def test_very_many_paths_are_listed_in_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paths", "--chart", "charts_of_paths:MESH", "--most", "50"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "mesh: end can be reached; the shortest trace is end\n"
        "50 of the 50 shortest elementary paths, 0 without a witness (there are more; list them with --most N)\n"
    )
    assert main(["paths", "--chart", "charts_of_paths:MESH", "--most", "5", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["more"], len(told["paths"]), told["paths"][0]["witness"]) == (True, 5, "end")


def test_names_that_bite_reach_json_whole_and_the_terminal_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    found = paths(capsys, "--chart", "charts_of_paths:ODD")
    assert found == [{"id": "p1", "states": ['<b>"a"\n\u202e', "終"], "rows": ["r > 1"], "flag": None,
                      "witness": "e: f", "infeasible": None}]
    assert main(["paths", "--chart", "charts_of_paths:ODD", "--walks"]) == 0
    out = capsys.readouterr().out
    assert not {"\x1b", "\u202e"} & set(out)
    assert "odd\\x1b[2J" in out


@pytest.mark.parametrize(("words", "told"), [
    (["--chart", "charts_of_paths:LURE"], "n can grow for ever, by repeating more in a; give a bound, such as 'n <= 2' (--bound, or bounds={\"n\": 2} in the chart)"),
    (["--most", "0"], "--most is a number of paths above 0, not 0"),
    (["--chart", "charts_of_paths:WRONG"], "charts_of_paths:WRONG is int, not a Chart"),
    (["--bound", "inbound * outbound < 2"], "counters are not multiplied with each other"), (["--bound", "inbound >= 1"], "starts outside the bound"),
    (["--bound", "inbound <= 1"], "ready can grow for ever"), (["--flag", "ORDERLYY"], "no flag 'ORDERLYY' at the end"),
    (["--flag", "nowait"], "no flag 'nowait' at the end of a path of store-logoff; did you mean"), (["--state", "closed"], "there is no state 'closed'"),
    (["--row", "open.submitt"], "there is no row 'open.submitt'; did you mean open.submit?"),
    (["--length", "x"], "N or MIN-MAX such as 2-5, not 'x'"), (["--length", "5-2"], "begins after its end; write 2-5"),
    (["--length", "2-"], "N or MIN-MAX"),
    (["--length", "100000"], "goes up to 1000 events"), (["--length", "²"], "not '²'"),
], ids=lambda x: " ".join(x) if isinstance(x, list) else "")
def test_wrong_input_is_one_sentence(capsys: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    assert main(["paths", *words]) == 2
    out, err = capsys.readouterr()
    assert told in err
    assert len(err.splitlines()) == 1
    assert err.startswith("fsm paths: ")
    assert out == ""
