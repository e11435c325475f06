"""Promela: spin finds exactly the configurations and steps of the specification, proves the properties, and refutes a false one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fsm
from fsm import Chart, Counter, row
from fsm.export import ExportError
from fsm.logoff import LOGOFF
from fsm.logoff.additions import ADDITIONS
from fsm.logoff.properties import PROPERTIES
from tests.export.corpus import RESERVED, TILL, TURN, Case, cases, cells
from tests.export.tools import done
from tests.small_charts import HOSTILE

SIZES = [((1, 1, 0), 53, 407), ((1, 1, 1), 106, 898), ((2, 2, 1), 408, 4_334), ((5, 5, 1), 4_662, 60_478)]
"""Section 5 of the specification: bounds, configurations, steps."""


def within(inbound: int, mail: int, peers: int) -> tuple[str, ...]:
    return f"inbound <= {inbound}", f"outbound + ready + deferred <= {mail}", f"peers <= {peers}"


def compiled(folder: Path, model: str, *options: str) -> Path:
    """The verifier that spin makes of a model."""
    folder.joinpath("model.pml").write_text(model, "utf-8")
    done("spin", "-o2", "-a", "model.pml", folder=folder)
    done("gcc", "-O0", "-w", "-DNOREDUCE", *options, "-o", "pan", "pan.c", folder=folder)
    return folder / "pan"


def counted(pan: Path) -> tuple[int, int]:
    """The configurations and steps; spin counts the start as a step."""
    text = done(pan, "-m1000000", folder=pan.parent)
    assert "errors: 0" in text
    found = [int(one) for one in re.findall(r"^ +(\d+) (?:states, stored|transitions)", text, re.M)]
    return found[0], found[1] - 1


def holds(pan: Path, formula: str, *options: str) -> bool:
    text = done(pan, "-a", "-N", formula, "-m1000000", *options, folder=pan.parent)
    assert f"ltl formula {formula}" in text
    assert "truncated" not in text
    return "errors: 0" in text


@pytest.mark.parametrize(("bounds", "configurations", "steps"), SIZES, ids=lambda one: str(one))
def test_spin_finds_the_sizes_of_the_specification(bounds: tuple[int, int, int], configurations: int, steps: int, tmp_path: Path) -> None:
    model = fsm.export(LOGOFF, "promela", bounds=within(*bounds))
    assert counted(compiled(tmp_path, model, "-DSAFETY", "-DNOCLAIM")) == (configurations, steps)


SMALL = [case for case in cases() if case.chart in (TURN, TILL, RESERVED, HOSTILE)]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_spin_finds_the_steps_of_other_charts(case: Case, tmp_path: Path) -> None:
    bounds = [f"{v.name} <= {most}" for v in case.chart.variables if isinstance(v, Counter) for most in [5]]
    inside = [c for c in cells(Case(case.chart, lambda here: all(not isinstance(n, int) or n <= 5 for n in here[1:]))) if c.answer == "accepted"]
    places = {c.here for c in inside}
    model = fsm.export(case.chart, "promela", bounds=bounds)
    expected = sum(c.after in places or all(not isinstance(n, int) or n <= 5 for n in c.after[1:]) for c in inside)
    assert counted(compiled(tmp_path, model, "-DSAFETY", "-DNOCLAIM"))[1] == expected


def test_spin_proves_the_properties(tmp_path: Path) -> None:
    model = fsm.export(LOGOFF, "promela", bounds=within(2, 2, 1), properties=PROPERTIES, addition=ADDITIONS["promela"])
    formulas = re.findall(r"^ltl (\w+)", model, re.M)
    assert len(formulas) == 8
    fair = [name for name in formulas if name.endswith("_end")]
    assert len(fair) == 2
    pan = compiled(tmp_path, model, "-DNFAIR=6")
    assert [name for name in formulas if name not in fair and not holds(pan, name)] == []
    assert [name for name in fair if not holds(pan, name, "-f")] == []


def test_every_drain_ends_where_purge_is_not_repeated(tmp_path: Path) -> None:
    ends = "ltl ends { [] (state == draining -> <> (state == released)) }"
    model = fsm.export(LOGOFF, "promela", bounds=within(1, 2, 0), addition=ends)
    for purged, expected in ((model, False), (re.sub(r".*/\* draining\.logoff_purge \*/\n", "", model), True)):
        folder = tmp_path / str(expected)
        folder.mkdir()
        pan = compiled(folder, purged, "-DNFAIR=6")
        assert holds(pan, "ends", "-f") is expected


def test_spin_refutes_a_false_formula(tmp_path: Path) -> None:
    model = fsm.export(LOGOFF, "promela", bounds=within(1, 1, 1), addition="ltl planted { [] (state == blocked -> [] (state != open)) }")
    assert not holds(compiled(tmp_path, model), "planted")


def test_numbers_without_a_bound_are_refused_by_name() -> None:
    from fsm import Event, Number

    amount, n = Number("amount"), Counter("n")
    rows = [row("r", "a", "pay", effects=[n.becomes(amount + 0)])]
    with pytest.raises(ExportError, match=r"endless cannot be written as promela: events bring amount, .* bounds=\{'amount': 3\}"):
        fsm.export(Chart("endless", states=["a"], events=[Event("pay", data=(amount,))], variables=[n], rows=rows), "promela")
    assert "ltl" in fsm.export(TILL, "promela")


def test_a_number_that_is_no_int_is_refused() -> None:
    n = Counter("n")
    chart = Chart("large", states=["a"], events=["e"], variables=[n], rows=[row("r", "a", "e", guard=n < 2**31)])
    with pytest.raises(ExportError, match=r"large cannot be written as promela: a number in it is larger than 2\*\*31 - 1"):
        fsm.export(chart, "promela")
