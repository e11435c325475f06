"""C: the header is strict C99 and C++11, answers every cell as the rows do, and has the call of MAPI."""

from __future__ import annotations

from pathlib import Path

import pytest

import fsm
from fsm import Chart, Counter, Output, State, row
from fsm.export import ExportError
from fsm.logoff import LOGOFF, MapiError, StoreSession
from fsm.logoff.additions import ADDITIONS
from tests.export.corpus import Case, cases, cells
from tests.export.in_c import built, program, run

CASES = pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
COMPILERS = {
    "gcc": ("gcc", "-std=c99"), "g++": ("g++", "-x", "c++", "-std=c++11"),
    "clang": ("clang", "-std=c99"), "clang++": ("clang++", "-x", "c++", "-std=c++11"),
}  # fmt: skip


@CASES
def test_every_cell_is_answered_as_the_rows_do(case: Case, tmp_path: Path) -> None:
    text = fsm.export(case.chart, "c")
    done = run(built(tmp_path, text, program(case.chart, cells(case)), *COMPILERS["gcc"]))
    assert done == f"{len(cells(case))} cells, 0 differ\n"


HEADERS = ["assert", "errno", "limits", "math", "signal", "stdbool", "stdint", "stdio", "stdlib", "string", "time", "unistd", "sys/socket", "sys/stat"]


def named(name: str) -> Chart:
    """A chart in which all that can be has a name that C's own headers keep."""
    names = ["EOF", "INT_MAX", "NAN", "SIGINT", "UINT32_MAX", "errno", "printf", "stdin"]
    counters = [Counter(one) for one in names]
    rows = [row("r", name, name, target="abort", effects=[one.becomes(one + 1) for one in counters]), row("s", "abort", "wait", target=name)]
    return Chart(name, states=[name, "abort"], events=[name, "wait"], variables=counters, rows=rows)


TAKEN = [named(name) for name in ("signal", "time", "FILE", "size_t", "EOF", "exit")]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_strict_compilers_have_nothing_to_say_about_all_headers_together(compiler: str, tmp_path: Path) -> None:
    lines = [f"#include <{header}.h>\n" for header in HEADERS]
    for number, chart in enumerate([*(case.chart for case in cases()), *TAKEN]):
        addition = ADDITIONS["c"] if chart is LOGOFF else ""
        tmp_path.joinpath(f"chart{number}.h").write_text(fsm.export(chart, "c", addition=addition), "utf-8")
        lines.append(f'#include "chart{number}.h"\n')
    built(tmp_path, "", "".join([*lines, "int main(void) { return 0; }\n"]), *COMPILERS[compiler], "-fsyntax-only")


CALLS = """
#include "chart.h"
#include <stdio.h>
int main(void) {
  static const ULONG words[] = {%s};
  unsigned n, ready;
  for (ready = 0; ready < 3; ready++)
    for (n = 0; n < sizeof words / sizeof words[0]; n++) {
      store_logoff s;
      ULONG word = words[n];
      HRESULT result;
      store_logoff_start(&s);
      if (ready) store_logoff_submit(&s);
      if (ready == 2) store_logoff_outbound_begin(&s);
      result = StoreLogoffTransports(&s, &word);
      printf("%%u %%08X %%08X %%08X", ready, (unsigned)words[n], (unsigned)result, (unsigned)word);
      word = LOGOFF_ORDERLY;
      result = StoreLogoffTransports(&s, &word);
      printf(" %%08X %%08X\\n", (unsigned)result, (unsigned)word);
    }
  return StoreLogoffTransports(0, 0) != MAPI_E_INVALID_PARAMETER;
}
"""
FLAG_WORDS = (*range(0x41), 0x80, 0x10000, 0x80000000, 0xFFFFFFFF)


def called(session: StoreSession, word: int) -> tuple[int, int]:
    try:
        return 0, session.store_logoff_transports(word)
    except MapiError as error:
        return error.hresult, word


def test_the_call_of_mapi_answers_as_the_session_does(tmp_path: Path) -> None:
    text = fsm.export(LOGOFF, "c", addition=ADDITIONS["c"])
    found = run(built(tmp_path, text, CALLS % ", ".join(f"0x{word:X}u" for word in FLAG_WORDS), *COMPILERS["gcc"]))
    expected = []
    for ready in range(3):
        for word in FLAG_WORDS:
            session = StoreSession()
            if ready:
                session.submit()
            if ready == 2:
                session.outbound_begin()
            first, then = called(session, word), called(session, 0x02)
            expected.append(f"{ready} {word:08X} {first[0]:08X} {first[1]:08X} {then[0]:08X} {then[1]:08X}\n")
    assert found == "".join(expected)


FULL = """
#include "chart.h"
#include <stdio.h>
int main(void) {
  store_logoff s;
  ULONG word = LOGOFF_PURGE;
  int answer;
  store_logoff_start(&s);
  s.ready = UINT32_MAX; s.deferred = 1u;
  answer = store_logoff_submit(&s);
  printf("%d %u %X", answer == STORE_LOGOFF_FULL, s.ready == UINT32_MAX, (unsigned)StoreLogoffTransports(&s, &word));
  printf(" %u %u %u %s %s %s\\n", s.ready == UINT32_MAX, s.deferred, (unsigned)word, store_logoff_state_name(s.state),
         store_logoff_event_name(STORE_LOGOFF_EVENT_SUBMIT), store_logoff_request_name(s.request));
  return store_logoff_state_name(-1) || store_logoff_state_name(4);
}
"""


def test_a_count_that_is_full_changes_nothing(tmp_path: Path) -> None:
    text = fsm.export(LOGOFF, "c", addition=ADDITIONS["c"])
    assert run(built(tmp_path, text, FULL, *COMPILERS["gcc"])) == "1 1 8007000E 1 1 4 open submit none\n"


N = Counter("n")


def with_output(bit: int) -> Chart:
    return Chart("wide", states=["a"], events=["e"], rows=[row("r", "a", "e")], outputs=[Output("FAR", bit)])


def with_guard(number: int, factor: int = 1) -> Chart:
    rows = [row("r", "a", "e", guard=factor * N < number, effects=[N.becomes(N + 1)])]
    return Chart("large", states=["a"], events=["e"], rows=rows, variables=[N])


@pytest.mark.parametrize("chart", [with_output(1 << 64), with_guard(1 << 64), with_guard(5, (1 << 32) + 2)], ids=["bit", "number", "factor"])
def test_what_does_not_fit_into_64_bits_is_refused(chart: Chart) -> None:
    with pytest.raises(ExportError, match=f"{chart.name} cannot be written as c: .* 64 bits"):
        fsm.export(chart, "c")


@pytest.mark.parametrize("chart", [with_output(1 << 63), with_guard(1 << 63), with_guard((1 << 32) + 1), with_guard(7, 1 << 31), with_guard(1 << 32)])
def test_what_just_fits_is_written(chart: Chart, tmp_path: Path) -> None:
    built(tmp_path, fsm.export(chart, "c"), '#include "chart.h"\nint main(void) { return 0; }\n', *COMPILERS["gcc"])


def test_times_are_told(tmp_path: Path) -> None:
    from tests.export.corpus import TILL

    source = """
#include "chart.h"
#include <stdio.h>
int main(void) {
  till__1 s;
  uint32_t before;
  till__1_start(&s);
  printf("%g %g %g", till__1_delay(&s, TILL__1_EVENT_LOCK), till__1_delay(&s, TILL__1_EVENT_TICK), till__1_delay(&s, TILL__1_EVENT_SELL));
  s.open = 1;
  before = s.entries;
  till__1_tick(&s);
  printf(" %u", s.entries - before);
  till__1_slam(&s);
  printf(" %u\\n", s.entries - before);
  return 0;
}
"""
    assert run(built(tmp_path, fsm.export(TILL, "c"), source, *COMPILERS["gcc"])) == "30 2.5 -1 0 1\n"


def test_a_state_of_its_own_name() -> None:
    with pytest.raises(ExportError, match=r"the name 'ssss.* has 501 characters, and a name may have 500"):
        fsm.export(Chart("long", states=[State("s" * 501)], events=["e"], rows=[row("r", "s" * 501, "e")]), "c")
