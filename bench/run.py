"""`make bench`: every speed the README speaks of, as ratios measured side by side in one run, written to results.md.

Nothing here is a test: a slow machine is no defect.  What each line races against is said in the line.
"""

from __future__ import annotations

import io
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from bench import rivals
from bench.engine import engine
from bench.exports import exports
from bench.handwritten import HandWrittenSession
from bench.mail import mail
from bench.pictures import paths, pictures
from bench.postfix import beside_postfix
from bench.result import Result, best
from bench.screens import screens
from bench.sessions import sessions
from bench.store import store
from fsm.cli import main as fsm
from fsm.logoff import LOGOFF, StoreSession

HERE = Path(__file__).parent
Life = list[tuple[str, str]]
"""The events of one session from start to release, each with the id of the row it takes."""


def lives(count: int, seed: int = 7) -> list[Life]:
    """Random legal lives: any legal event, the logoffs kept rare so that a session lives, the closing ones not."""
    dice = random.Random(seed)
    made = []
    for _ in range(count):
        session, life = StoreSession(), []
        while not session.complete:
            legal = {event: verdict for event, verdict in session.verdicts().items() if verdict}
            mail = [e for e in legal if not e.startswith(("logoff", "release", "peer"))]
            event = dice.choice(mail) if mail and dice.random() < 0.95 else dice.choice(list(legal))
            row = legal[event].row
            assert row is not None
            life.append((event, row.id))
            session.fire(event)
        made.append(life)
    return made


def drive(make: Callable[[], Any], many: Iterable[list[str]]) -> float:
    """Nanoseconds an event: fresh sessions, triggers looked up beforehand, only the calls timed."""
    spent = events = 0
    for life in many:
        session = make()
        calls = [getattr(session, event) for event in life]
        start = time.perf_counter_ns()
        for call in calls:
            call()
        spent += time.perf_counter_ns() - start
        events += len(calls)
    return spent / events


def steps() -> tuple[list[Result], float]:
    """The lines, and what stock transitions needs for one trigger, in seconds."""
    many = lives(400)
    events = [[event for event, _ in life] for life in many]
    few = events[:40]
    automat, inputs = rivals.skeleton()
    rows = [[inputs[row] for _, row in life] for life in many]
    stock, chart = rivals.stock(), rivals.statechart()
    fast, by_hand, slow = best(
        7, lambda: drive(StoreSession, events), lambda: drive(HandWrittenSession, events), lambda: drive(stock, few)
    )
    (other,) = best(3, lambda: drive(automat, rows))
    (psm,) = best(1, lambda: drive(chart, few[:6]))
    told = f"{fast:.0f} ns an event"
    lines = [
        Result("a step, against stock transitions", told, f"{slow / 1000:.1f} us: {slow / fast:.0f} times as fast",
               ">= 35 times", slow / fast >= 35),
        Result("a step, against a hand-written class", told, f"{by_hand:.0f} ns: {fast / by_hand:.2f} of its time",
               "<= 1.10", fast / by_hand <= 1.10),
        Result("a step, against automat (told the row, no effects)", told,
               f"{other:.0f} ns: {other / fast:.1f} times as fast", "", None),
        Result("a step, against python-statemachine 3", told,
               f"{psm / 1000:.0f} us: {psm / fast:.0f} times as fast", "", None),
    ]  # fmt: skip
    return lines, slow / 1e9


def memory() -> list[Result]:
    size = sys.getsizeof(StoreSession())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    sessions = [StoreSession() for _ in range(1_000_000)]
    for session in sessions:
        session.submit()
        session.outbound_begin()
        session.logoff_orderly()
        session.outbound_sent()
        session.release()
    spent = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / len(sessions)
    assert all(session.complete for session in sessions)
    return [
        Result("memory of a session, garbage-collector header included", f"{size} bytes", "", "<= 120 bytes",
               size <= 120),
        Result("a million sessions alive, each driven through a whole life", f"{spent:.1f} s",
               f"{grown:.0f} bytes of resident memory each, the list that holds them included", "", None),
    ]  # fmt: skip


def replay() -> Result:
    lines = []
    for number, life in enumerate(lives(300, seed=11)):
        for event, _ in life:
            lines.append(json.dumps({"event": event, "session": f"s{number}"}))
            if len(lines) % 10 == 0:
                lines.append(json.dumps({"event": "peer_closed", "session": f"s{number}"}))  # often a refusal
    lines *= max(1, 60_000 // len(lines))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "events.jsonl")
        path.write_text("\n".join(lines) + "\n")
        answers = io.StringIO()
        with redirect_stdout(answers):
            fsm(["replay", str(path)])
        values = [json.loads(line) for line in answers.getvalue().splitlines()]
        raw = [line.encode() for line in lines]

        def ours() -> float:
            with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
                start = time.perf_counter()
                fsm(["replay", str(path)])
                return time.perf_counter() - start

        def codec() -> float:
            start = time.perf_counter()
            for line, value in zip(raw, values, strict=True):
                json.loads(line)
                json.dumps(value)
            return time.perf_counter() - start

        took, least = best(5, ours, codec)
    return Result(f"fsm replay, {len(lines):,} lines", f"{took / len(lines) * 1e6:.1f} us a line",
                  f"json.loads and json.dumps alone {least / len(lines) * 1e6:.1f} us: {took / least:.2f} times",
                  "<= 2.5 times", took / least <= 2.5)  # fmt: skip


CLOCKED = """
from time import perf_counter as now
start = now()
import transitions
between = now()
import fsm.logoff
print(between - start, now() - between)
"""


def imports() -> Result:
    """In fresh processes, the two imports clocked one after the other; the least of each."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    engine = ours = float("inf")
    for _ in range(40):
        done = subprocess.run([sys.executable, "-c", CLOCKED], check=True, capture_output=True, text=True, env=environment)
        spent, more = map(float, done.stdout.split())
        engine, ours = min(engine, spent), min(ours, more)
    share = ours / engine
    return Result("import fsm.logoff, after import transitions", f"{ours * 1e3:.1f} ms",
                  f"import transitions {engine * 1e3:.1f} ms: {share:.2f} of it", "<= 0.60", share <= 0.6)


def machine() -> str:
    words = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")] if Path("/proc/cpuinfo").exists() else []  # fmt: skip
    cpu = words[0] if words else platform.processor() or "unknown processor"
    system = f"{platform.system()} {platform.machine()}; Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {cpu}; {system}"


def table(results: list[Result]) -> str:
    rows = ["| what | measured | against | aim | met |", "|---|---|---|---|---|"]
    met = {None: "", True: "yes", False: "**no**"}
    rows += [f"| {r.what} | {r.measured} | {r.against} | {r.aim} | {met[r.met]} |" for r in results]
    return "\n".join(rows)


def main() -> int:
    stepped, trigger = steps()
    events = [[event for event, _ in life] for life in lives(400)]
    results = [
        imports(), *stepped, *engine(events), *exports(events, drive), *memory(), replay(), *paths(trigger), *pictures(),
        *screens(), *store(), *sessions(), *mail(), *beside_postfix(),
    ]  # fmt: skip
    text = table(results)
    print(text)
    (HERE / "results.md").write_text(
        "# Measured\n\nBy `make bench`; the ratios are of times measured side by side in one run.\n\n"
        f"Machine: {machine()}. The chart has {len(LOGOFF.rows)} rows.\n\n{text}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
