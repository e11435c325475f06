"""Durable time-outs: a fleet of devices, whose silence is noticed once, by whichever process is alive.

    python examples/20_device_fleet.py [DATABASE]   watch until all have fallen silent; run it again after a crash

In the explorer: fsm explore --chart examples/20_device_fleet.py, then #report,report,miss,miss,report
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from fsm import Chart, Counter, State, Step, row, trigger
from fsm.sessions import AsyncSessions, DurableSession
from fsm.store import Database

MISSED = Counter("missed")
DEVICE = Chart(
    "device",
    states=[
        "new", State("online", after={0.3: "miss"}), State("late", after={0.3: "miss"}),
        State("silent", absorbing=True),
    ],
    events=["report", "miss"],
    variables=[MISSED],
    rows=[
        row("hello", "new", "report", target="online"),
        row("report", "online", "report", target="online", reenter=True),
        row("late", "online", "miss", effects=[MISSED.becomes(MISSED + 1)], target="late"),
        row("back", "late", "report", effects=[MISSED.becomes(0)], target="online"),
        row("silent", "late", "miss", effects=[MISSED.becomes(MISSED + 1)], target="silent"),
        row("again", "silent", "report", effects=[MISSED.becomes(0)], target="online"),
    ],
)
FLEET = [f"device-{number}" for number in range(50)]


class Device(DurableSession, chart=DEVICE):
    """A device that has to report every 0.3 seconds."""

    @trigger
    def report(self) -> None: ...
    @trigger
    def miss(self) -> None: ...

    def on_enter_silent(self, step: Step) -> None:
        self.submit_message(f"{self.key} is silent".encode(), "fleet@example.org", ["operator@example.org"])


async def watch(where: str) -> None:
    database = Database(where)
    async with AsyncSessions(database, Device) as devices:
        steps = devices.follow("0-0-0")  # from the beginning, whoever took them
        await asyncio.gather(*(devices.fire(one, "report", event_id="the last sign of life") for one in FLEET))
        silent: dict[str, list[str]] = {}
        async for step in steps:
            if step.note == "due":
                silent.setdefault(step.key, []).append(step.state)
            if sum(map(len, silent.values())) == 2 * len(FLEET):
                break
        right = sum(states == ["late", "silent"] for states in silent.values())
        print(f"{right} of {len(FLEET)} devices were late once, and then silent")
    contents = [database.message("default", one.id) for one in database.messages()]
    alarms = [one.content for one in contents if one is not None]
    print(f"{len(alarms)} alarms for {len(set(alarms))} devices wait for the mail server")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(watch(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(watch(str(Path(folder, "fleet.db"))))
