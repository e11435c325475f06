"""The cells of a chart, asked of its C header by a C program that is written for it."""

from __future__ import annotations

from pathlib import Path

from fsm.export.c_words import ANSWERS, CWords
from fsm.export.lowered import lower
from fsm.variable import Choice
from tests.export.corpus import Cell, Values
from tests.export.tools import done

STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion")
MAIN = """
#include "chart.h"
#include <stdio.h>
#define V {variables}
#define D {data}
static const uint32_t cells[][5 + 2 * V + D] = {{
{cells}
}};
static void put({p} *s, const uint32_t *from) {{ s->state = ({p}_state_type)from[0]; {puts} }}
static int same(const {p} *s, const uint32_t *as) {{ return s->state == as[0]{sames}; }}
int main(void) {{
  unsigned long n, bad = 0, many = sizeof cells / sizeof cells[0];
  for (n = 0; n < many; n++) {{
    const uint32_t *cell = cells[n];
    {p} s;
    int sound, answer;
    {start}(&s);
    put(&s, cell);
    sound = {sound}(&s);
    answer = {fire}(&s, (int)cell[1 + V]{given});
    if (!sound || !{sound}(&s) || answer != (int)cell[2 + V + D] || !same(&s, cell + 3 + V + D) || {flags}(&s) != cell[4 + 2 * V + D]) {{
      if (bad++ < 5) printf("cell %lu: sound %d, answer %d, state %d, flags %lx\\n", n, sound, answer, s.state, (unsigned long){flags}(&s));
    }}
  }}
  printf("%lu cells, %lu differ\\n", many, bad);
  return bad != 0;
}}
"""


def program(chart, cells: tuple[Cell, ...]) -> str:  # type: ignore[no-untyped-def]
    """The program; every value is a number."""
    table = lower(chart, "c")
    c = CWords(table)

    def numbers(values: Values) -> list[int]:
        found = [[*map(str, chart.states)].index(str(values[0]))]
        for v, value in zip(chart.variables, values[1:], strict=True):
            labels = [*v.values] if isinstance(v, Choice) else []
            found.append(next(n for n, one in enumerate(labels) if value == getattr(one, "name", one)) if labels else int(value))  # type: ignore[call-overload]
        return found

    lines = []
    for cell in cells:
        row = [*numbers(cell.here), [*map(str, chart.events)].index(cell.event)]
        row += [cell.data.get(name, 0) for name in table.numbers] + [ANSWERS.index(cell.answer.upper())] + numbers(cell.after) + [cell.flags]
        lines.append("{" + ",".join(f"{number}u" for number in row) + "},")
    members = [c.members("variable", v.name) for v in chart.variables]
    types = ["uint8_t" if isinstance(v, Choice) else "uint32_t" for v in chart.variables]
    data = [c.members("datum", name) for name in table.numbers]
    setting = "data." + "; data.".join(f"{name} = cell[{2 + len(members) + n}]" for n, name in enumerate(data)) if data else ""
    text = MAIN.format(
        p=c.prefix, variables=len(members), data=len(data), cells="\n".join(lines), start=c.function("start"), sound=c.function("sound"),
        fire=c.function("fire"), flags=c.function("flags"), given=", &data" if data else "",
        puts=" ".join(f"s->{name} = ({kind})from[{n}];" for n, (name, kind) in enumerate(zip(members, types, strict=True), 1)),
        sames="".join(f" && s->{name} == as[{n}]" for n, name in enumerate(members, 1)),
    ).replace(f"({c.prefix}_state_type)", "(uint8_t)")  # fmt: skip
    return text.replace("int sound, answer;", f"int sound, answer;\n    {c.function('data')} data;\n    {setting};") if data else text


def built(folder: Path, header: str, source: str, *compiler: str) -> Path:
    """Write a header and a program, and compile it."""
    folder.joinpath("chart.h").write_text(header, "utf-8")
    folder.joinpath("main.c").write_text(source, "utf-8")
    done(*compiler, *STRICT, "-o", "program", "main.c", folder=folder)
    return folder / "program"


def run(program: Path) -> str:
    return done(program)
