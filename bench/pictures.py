"""Paths and pictures, compared with stock transitions and `dot`."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.result import Result, best, timed
from fsm.analysis.paths import Atlas
from fsm.analysis.reachability import Graph
from fsm.draw import layout, trace
from fsm.draw.gallery import sources, svgs
from fsm.logoff import LOGOFF
from fsm.logoff.gallery import GALLERY, atlas
from fsm.logoff.properties import BOUNDS

FIVE = ("INBOUND <= 5", "OUTBOUND + READY + DEFERRED <= 5", "PEERS <= 1")


def paths(trigger: float) -> list[Result]:
    """Measure the graph and all paths; `trigger` is the time of a trigger of stock transitions, in seconds."""
    graph, every = best(3, timed(lambda: Graph(LOGOFF, FIVE)), timed(lambda: Atlas(LOGOFF, BOUNDS)))
    size, found = Graph(LOGOFF, FIVE), Atlas(LOGOFF, BOUNDS)
    stock = trigger * 10_000
    witnessed = sum(path.witness is not None for path in found.paths)
    lines = [
        (f"the graph at bounds 5,5,1: {len(size.configurations):,} configurations, {size.size:,} steps", graph),
        (f"all {len(found.paths)} elementary paths, {witnessed} with a witness that was executed", every),
    ]
    return [
        Result(what, f"{spent:.2f} s", f"10,000 triggers of stock transitions {stock * 1e3:.0f} ms: {spent / stock:.1f} times",
               "<= 20 times", spent <= 20 * stock)
        for what, spent in lines
    ]  # fmt: skip


def pictures() -> list[Result]:
    """Compare the gallery with one run of `dot -O`, and a recoloured picture with a layout."""
    run = svgs(LOGOFF, GALLERY, atlas())
    run()  # warms the compile cache
    highlight, count = trace(LOGOFF, "submit,outbound_begin,logoff_orderly"), len(run())
    one = layout(LOGOFF, renderer="embedded")
    results = []
    recolour, laid = best(15, timed(lambda: [one.svg(highlight) for _ in range(100)]), timed(run))
    each, whole = recolour / 100, laid / 2  # the gallery is laid out twice: in full and in brief
    results.append(
        Result("a recoloured picture", f"{each * 1e6:.0f} us", f"a layout {whole * 1e3:.1f} ms: 1/{whole / each:.0f} of it",
               "< 1/50", each * 50 < whole)
    )  # fmt: skip
    if shutil.which("dot") is None:
        return [Result("the gallery, rendering alone", f"{laid * 1e3:.0f} ms", "dot is not installed", "<= 3 times", None)]
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for place, text in enumerate(sources(LOGOFF, GALLERY, atlas())):
            names.append(Path(folder, f"{place}.gv"))
            names[-1].write_text(text)
        command = ["dot", "-Tsvg", "-O", *map(str, names)]
        gallery, dot = best(7, timed(run), timed(lambda: subprocess.run(command, check=True)))
    results.append(
        Result(f"the gallery of {count} pictures, rendering alone", f"{gallery * 1e3:.0f} ms",
               f"one `dot -O` over the same sources {dot * 1e3:.0f} ms: {gallery / dot:.2f} times", "<= 3 times",
               gallery <= 3 * dot)
    )  # fmt: skip
    return results
