"""States that send themselves an event after some time: timers fire it, in simulated time, in asyncio or from a thread.

In the explorer: fsm explore --chart examples.alarm:ALARM, then #arm,armed,entry,beep,wrong_code,intrusion,quiet
"""

import asyncio
import threading

from examples.alarm import Alarm
from fsm import Step
from fsm.runtime import AsyncTimers, Timers
from fsm.testing.clock import SimulatedClock
from fsm.testing.loop import run

# A test waits for nothing: the clock is told how much time passes.
clock = SimulatedClock()
timers = Timers(clock)
alarm = timers.attach(Alarm())
alarm.arm()
print(dict(alarm.due), "are due in", alarm.state)
clock.advance(29)
print(alarm.state, timers.due(alarm))
clock.advance(1)
alarm.entry()
clock.advance(15)
alarm.wrong_code()  # leaves the state and enters it again, so its times begin anew
print(alarm, timers.due(alarm))
clock.advance(15)
stored = timers.snapshot(alarm)  # a snapshot with the seconds that it has been in its state
alarm.code()
clock.advance(1_000)
print(alarm, "(what was due in a state that was left is not fired)")

alarm = timers.restore(Alarm, stored)
print(alarm, timers.due(alarm))
clock.advance(5)
print(alarm)


async def main() -> None:
    loop = asyncio.get_running_loop()
    async with AsyncTimers() as timers:
        alarm = timers.attach(Alarm())
        alarm.arm()
        async for step in alarm.steps():
            print(f"{loop.time():4.0f} s  {step.event}: {step.target}")
            if step.event == "armed":
                alarm.entry()
            if step.event == "quiet":
                break


run(main())  # asyncio.run in a real program; this is its simulated time


class Loud:
    """Listens to an alarm whose times are over in no time, and tells the main thread."""

    heard = threading.Event()

    def on_enter_alarm(self, step: Step) -> None:
        self.heard.set()


with Timers() as timers:  # one thread for all sessions
    alarm = Alarm()
    alarm.listen(Loud())
    alarm.arm()
    alarm.armed()
    alarm.entry()
    timers.attach(alarm, away=60)  # it was entered a minute ago
    Loud.heard.wait()
print(alarm)
