"""The exports: what a step costs in C, JavaScript and Python, and the shortest paths that XState's own graph library finds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.result import Result, best
from fsm.analysis.reachability import Graph
from fsm.export import export
from fsm.logoff import LOGOFF, StoreSession

HERE = Path(__file__).parent
NPM = Path(sys.prefix) / "interpreters" / "node_modules"
BOUNDS = ("inbound <= 5", "outbound + ready + deferred <= 5", "peers <= 1")

C = """
#include "store_logoff.h"
#include "handwritten.h"
#include <stdio.h>
#include <time.h>
static const signed char events[] = {%s};
#define MANY (sizeof events)
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (double)t.tv_sec * 1e9 + (double)t.tv_nsec; }
static unsigned long by_table(void) {
  store_logoff s; unsigned long sum = 0; unsigned n;
  for (n = 0; n < MANY; n++) {
    if (events[n] < 0) store_logoff_start(&s);
    else sum += store_logoff_fire(&s, events[n]) == STORE_LOGOFF_ACCEPTED ? s.ready + s.outbound + s.state : 0;
  }
  return sum;
}
static unsigned long by_hand_written(void) {
  by_hand s; unsigned long sum = 0; unsigned n;
  for (n = 0; n < MANY; n++) {
    if (events[n] < 0) s = (by_hand){0};
    else sum += hand_fire(&s, events[n]) ? s.ready + s.outbound + s.state : 0;
  }
  return sum;
}
int main(void) {
  double table = 1e18, hand = 1e18, start, spent; int round; unsigned long one = 0, other = 0;
  for (round = 0; round < 300; round++) {
    start = now(); one += by_table();
    spent = now() - start; if (spent < table) table = spent;
    start = now(); other += by_hand_written();
    spent = now() - start; if (spent < hand) hand = spent;
  }
  printf("%%f %%f\\n", table / MANY, hand / MANY);
  return one != other;
}
"""
JS = """
import { StoreLogoff } from "./chart.mjs";
import { HandWritten } from "./handwritten.mjs";
import { readFileSync } from "node:fs";
const lives = JSON.parse(readFileSync("lives.json"));
const count = lives.reduce((sum, life) => sum + life.length, 0);
const drive = (cls) => {
  let sum = 0;
  for (const life of lives) {
    const session = new cls();
    for (const event of life) if (session[event]() === "accepted") sum += session.ready + session.outbound;
  }
  return sum;
};
let table = Infinity, hand = Infinity;
for (let round = 0; round < 100; round++) {
  const start = process.hrtime.bigint(), one = drive(StoreLogoff), between = process.hrtime.bigint(), other = drive(HandWritten);
  if (one !== other) throw new Error("they differ");
  table = Math.min(table, Number(between - start));
  hand = Math.min(hand, Number(process.hrtime.bigint() - between));
}
console.log(table / count, hand / count);
"""
GRAPH = """
import { getShortestPaths } from "xstate/graph";
import { machine } from "./machine.mjs";
const events = %s.map((type) => ({ type }));
const inside = ({ context: c }) => c.inbound <= 5 && c.outbound + c.ready + c.deferred <= 5 && c.peers <= 1;
const serializeState = ({ value, context }) => value + JSON.stringify(context);
const start = process.hrtime.bigint();
const paths = getShortestPaths(machine, { events, serializeState, stopWhen: (s) => !inside(s), limit: 1e6 }).filter((p) => inside(p.state));
const took = Number(process.hrtime.bigint() - start) / 1e9;
console.log(JSON.stringify([took, paths.map((p) => [p.state.value, ...Object.values(p.state.context), p.steps.length - 1])]));
"""


def run(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def exports(lives: list[list[str]], drive: Any) -> list[Result]:
    """The lines; `lives` are the events of sessions, and `drive` takes a class through them and gives nanoseconds an event."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("handwritten.h", "handwritten.mjs"):
            shutil.copy(HERE / file, folder)
        return [_c(folder, lives), _javascript(folder, lives), _python(lives, drive), _graph(folder)]


def _c(folder: Path, lives: list[list[str]]) -> Result:
    numbers = {str(event): number for number, event in enumerate(LOGOFF.events)}
    events = ",".join(str(one) for life in lives for one in (-1, *(numbers[event] for event in life)))
    folder.joinpath("store_logoff.h").write_text(export(LOGOFF, "c"))
    folder.joinpath("main.c").write_text(C % events)
    run(folder, "gcc", "-O2", "-D_POSIX_C_SOURCE=199309L", "-std=c99", "-o", "main", "main.c")
    ours, hand = map(float, run(folder, "./main").split())
    return _ratio("a step in C", ours, f"a hand-written C class {hand:.1f} ns", ours / hand, 1.5)


def _javascript(folder: Path, lives: list[list[str]]) -> Result:
    folder.joinpath("chart.mjs").write_text(export(LOGOFF, "javascript"))
    folder.joinpath("lives.json").write_text(json.dumps(lives))
    folder.joinpath("main.mjs").write_text(JS)
    ours, hand = map(float, run(folder, "node", "main.mjs").split())
    return _ratio("a step in JavaScript", ours, f"a hand-written class {hand:.1f} ns", ours / hand, 1.5)


def _python(lives: list[list[str]], drive: Any) -> Result:
    space: dict[str, Any] = {}
    exec(compile(export(LOGOFF, "python"), "store_logoff.py", "exec"), space)
    ours, engine = best(15, lambda: drive(space["StoreLogoff"], lives), lambda: drive(StoreSession, lives))
    return _ratio("a step in the exported Python module", ours, f"a session of the engine {engine:.0f} ns", ours / engine, 1.0)


def _ratio(what: str, ours: float, against: str, ratio: float, aim: float) -> Result:
    return Result(what, f"{ours:.1f} ns an event", f"{against}: {ratio:.2f} of its time", f"<= {aim:.2f}", ratio <= aim)


def _graph(folder: Path) -> Result:
    folder.joinpath("node_modules").symlink_to(NPM)
    folder.joinpath("machine.mjs").write_text(export(LOGOFF, "xstate"))
    folder.joinpath("graph.mjs").write_text(GRAPH % json.dumps([*LOGOFF.events]))
    theirs, paths = json.loads(run(folder, "node", "graph.mjs"))
    start = time.perf_counter()
    graph = Graph(LOGOFF, BOUNDS)
    lengths = {graph.configurations[n]: len(graph.trace(n)) for n in range(len(graph.configurations))}
    ours = time.perf_counter() - start
    plain = {(c[0], *(getattr(value, "name", value) for value in c[1:])): length for c, length in lengths.items()}
    assert {tuple(path[:-1]): path[-1] for path in paths} == plain, "the shortest paths differ"
    return Result(f"shortest paths to all {len(paths):,} configurations within 5,5,1", f"{ours:.2f} s",
                  f"xstate/graph {theirs:.2f} s, all as short: {ours / theirs:.2f} of its time", "", None)  # fmt: skip
