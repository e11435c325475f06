"""A walk as text and as JSON; the full screen uses the same sentences.

All names are made printable, so that none can control the terminal.
"""

from __future__ import annotations

from fsm.analysis.trace import call
from fsm.chart import Chart, Configuration
from fsm.condition import label
from fsm.stepper.shortest_path import ShortestPath
from fsm.stepper.text import columns, cut, printable, wrapped
from fsm.stepper.walk import Stepper
from fsm.verdict import Refused, Verdict

__all__ = ["as_data", "as_text", "consequence", "count_lines", "counts", "trail", "walk_lines", "with_data"]


def counts(chart: Chart, configuration: Configuration) -> str:
    """`request ORDERLY, inbound 0, …`: every variable, in the chart's order."""
    return ", ".join(f"{name} {printable(label(value))}" for name, value in chart.values(configuration).items())


def count_lines(chart: Chart, configuration: Configuration, width: int) -> list[str]:
    """The counts in lines of at most `width` columns that never part a value from its name."""
    glued = counts(chart, configuration).replace(" ", "\xa0").replace(",\xa0", ", ")
    return [line.replace("\xa0", " ") for line in wrapped(glued, width)]


def with_data(chart: Chart, event: str) -> str:
    """An event as it is offered: `pay(amount, reason)`, or its name alone if it brings nothing."""
    data = ", ".join(one.name for one in chart.event(event).data)
    return printable(event) + (f"({data})" if data else "")


def consequence(verdict: Verdict) -> str:
    """What an event would do: `-> draining, request = ORDERLY`, the reason of a refusal, or that nothing changes."""
    row = verdict.row
    if row is None:
        return printable(verdict.reason or "")
    changes = [f"-> {row.target}"] if row.moves else []
    changes += [row.effect_text] if row.effects else []
    return printable(", ".join(changes)) or "nothing changes"


def trail(stepper: Stepper, width: int) -> tuple[str, str, str]:
    """The trail in a line of at most `width` columns: the place in it, the latest events, and those undone."""
    events = [printable(moment.event) for moment in stepper.trail]
    done, undone = ",".join(events[: stepper.place]) or "-", ",".join(events[stepper.place :])
    head = f"trail {stepper.place}/{len(events)} "
    after = cut(f" ({undone})", max(1, width // 3)) if undone else ""
    left = width - columns(head) - columns(after)
    if columns(done) > left:
        while done and columns(done) > left - 1:
            done = done[1:]
        done = "…" + done
    return head, done, after


def walk_lines(stepper: Stepper, width: int) -> list[str]:
    """The walk up to here, the latest step first, a line of at most `width` columns each."""
    walked = list(enumerate(stepper.trail[: stepper.place], 1))
    lines = [f"{n:>3} {printable(m.event)}: {printable(stepper.chart.describe(m.configuration))}" for n, m in walked]
    return [cut(line, width) for line in reversed(lines)]


def _position(stepper: Stepper, configuration: Configuration) -> str:
    chart = stepper.chart
    names = " ".join(map(printable, chart.flag_names(chart.flags(configuration))))
    return f"{printable(chart.describe(configuration))} [{names}]"


def as_text(stepper: Stepper, refusal: Refused | None, path: ShortestPath | None) -> str:
    """Return the walk as plain text: each step, the present configuration, and what each event would do there."""
    lines = [f"{printable(stepper.chart.name)}, from {_position(stepper, stepper.begin)}"]
    walked = stepper.trail[: stepper.place]
    lines += [f"{n:>4} {printable(m.event)}: {_position(stepper, m.configuration)}" for n, m in enumerate(walked, 1)]
    if refusal is not None:
        verdict = refusal.verdict
        step = call(stepper.chart.event(verdict.event), verdict.data or {})
        lines.append(f"{len(walked) + 1:>4} {printable(step)}: refused, {consequence(verdict)}")
    blocks = {True: ["can happen now:"], False: ["cannot:"]}
    for event, verdict in stepper.verdicts().items():
        blocks[verdict.accepted].append(f"  {with_data(stepper.chart, event)}: {consequence(verdict)}")
    now = f"now {printable(stepper.state)}; {counts(stepper.chart, stepper.configuration) or 'no variables'}; "
    lines.append(f"{now}output 0x{stepper.flags:X} {' '.join(map(printable, stepper.flag_names)) or 'none'}")
    for block in blocks.values():
        lines += block if len(block) > 1 else [f"{block[0]} nothing"]
    return "\n".join([*lines, *([str(path)] if path is not None else [])]) + "\n"


def as_data(stepper: Stepper, refusal: Refused | None, path: ShortestPath | None) -> dict[str, object]:
    """Return the same as a JSON value: `start` and `now` are snapshots, `steps` have the keys of `fsm replay`."""
    refused = None
    if refusal is not None:
        verdict = refusal.verdict
        refused = {"event": verdict.event, "place": stepper.place + 1, "reason": verdict.reason}
        refused |= {"data": verdict.data} if verdict.data else {}
    goal = None
    if path is not None:
        events = None if path.events is None else list(path.events)
        goal = {"goal": path.goal, "events": events, "looked": path.looked, "everywhere": path.everywhere}
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
