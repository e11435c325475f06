"""A walk in words: what the full-screen stepper and the plain one both say, as text and as JSON.

Names are shown with everything that is not printable written out, so that no name can steer a terminal.
This file knows no screen and takes no step.
"""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING
from unicodedata import combining, east_asian_width

from fsm.chart import Chart, Configuration
from fsm.condition import label
from fsm.verdict import Refused, Verdict

if TYPE_CHECKING:
    from fsm.stepper.shortest_path import Way
    from fsm.stepper.walk import Stepper

__all__ = ["as_data", "as_text", "columns", "consequence", "count_lines", "counts", "cut", "shown", "trail", "wrapped"]


def shown(text: str) -> str:
    """A text as it may be shown on a terminal: what is not printable is written out, as in `\\x1b`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def columns(text: str) -> int:
    """The columns a text takes on a terminal: wide characters take two, those that join the one before them none."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int) -> str:
    """The text in at most `width` columns; what had to go is marked by an ellipsis."""
    if columns(text) <= width:
        return text
    while text and columns(text) > width - 1:
        text = text[:-1]
    return text + "…"


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` columns, at least one; a trace is broken after its commas."""
    return wrap(", ".join(part.lstrip() for part in text.split(",")), max(10, width)) or [""]


def counts(chart: Chart, configuration: Configuration) -> str:
    """`request ORDERLY, inbound 0, …`: every variable, in the chart's order."""
    return ", ".join(f"{name} {shown(label(value))}" for name, value in chart.values(configuration).items())


def count_lines(chart: Chart, configuration: Configuration, width: int) -> list[str]:
    """The counts in lines of at most `width` columns, where no value is parted from its name."""
    glued = counts(chart, configuration).replace(" ", "\xa0").replace(",\xa0", ", ")
    return [line.replace("\xa0", " ") for line in wrapped(glued, width)]


def consequence(verdict: Verdict) -> str:
    """`-> draining, request = ORDERLY`; or why not; or that nothing would change."""
    row = verdict.row
    if row is None:
        return shown(verdict.reason or "")
    told = [f"-> {row.target}"] if row.moves else []
    told += [row.effect_text] if row.effects else []
    return shown(", ".join(told)) or "nothing changes"


def trail(stepper: Stepper, width: int) -> tuple[str, str, str]:
    """The trail in a line of at most `width` columns: where we are in it, the latest events, and those undone."""
    events = [shown(moment.event) for moment in stepper.trail]
    done, undone = ",".join(events[: stepper.place]) or "-", ",".join(events[stepper.place :])
    head = f"trail {stepper.place}/{len(events)} "
    after = cut(f" ({undone})", max(1, width // 3)) if undone else ""
    room = width - columns(head) - columns(after)
    if columns(done) > room:
        while done and columns(done) > room - 1:
            done = done[1:]
        done = "…" + done
    return head, done, after


def _stands(stepper: Stepper, configuration: Configuration) -> str:
    chart = stepper.chart
    names = " ".join(map(shown, chart.flag_names(chart.flags(configuration))))
    return f"{shown(chart.describe(configuration))} [{names}]"


def as_text(stepper: Stepper, refusal: Refused | None, way: Way | None) -> str:
    """The walk as plain text: each step, where it stands now, what may happen and why the rest may not."""
    lines = [f"{shown(stepper.chart.name)}, from {_stands(stepper, stepper.begin)}"]
    walked = stepper.trail[: stepper.place]
    lines += [f"{n:>4} {shown(m.event)}: {_stands(stepper, m.configuration)}" for n, m in enumerate(walked, 1)]
    if refusal is not None:
        verdict = refusal.verdict
        lines.append(f"{len(walked) + 1:>4} {shown(verdict.event)}: refused, {consequence(verdict)}")
    told = {True: ["can happen now:"], False: ["cannot:"]}
    for event, verdict in stepper.verdicts().items():
        told[verdict.accepted].append(f"  {shown(event)}: {consequence(verdict)}")
    now = f"now {shown(stepper.state)}; {counts(stepper.chart, stepper.configuration) or 'no variables'}; "
    lines.append(f"{now}output 0x{stepper.flags:X} {' '.join(map(shown, stepper.flag_names)) or 'none'}")
    for block in told.values():
        lines += block if len(block) > 1 else [f"{block[0]} nothing"]
    return "\n".join([*lines, *([str(way)] if way is not None else [])]) + "\n"


def as_data(stepper: Stepper, refusal: Refused | None, way: Way | None) -> dict[str, object]:
    """The same as a JSON value: `start` and `now` are snapshots, `steps` have the keys of `fsm replay`."""
    refused = None
    if refusal is not None:
        refused = {"event": refusal.verdict.event, "place": stepper.place + 1, "reason": refusal.verdict.reason}
    goal = None
    if way is not None:
        events = None if way.events is None else list(way.events)
        goal = {"goal": way.goal, "events": events, "looked": way.looked, "everywhere": way.everywhere}
    return {
        "trace": stepper.trace,
        "start": stepper.snapshot_at(0),
        "steps": list(stepper.entries()),
        "refused": refused,
        "now": {**stepper.snapshot_at(stepper.place), "flags": stepper.flags, "flag_names": list(stepper.flag_names)},
        "events": [
            {"event": event, "accepted": v.accepted, "target": v.target, "reason": v.reason}
            for event, v in stepper.verdicts().items()
        ],
        "goal": goal,
    }
