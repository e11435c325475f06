"""The clocks of stores, which are those of all that waits (`fsm.runtime.clock`)."""

from __future__ import annotations

from fsm.runtime.clock import SYSTEM, Clock, LoopClock, ScheduledCall, SystemClock, Timer

__all__ = ["SYSTEM", "Clock", "LoopClock", "ScheduledCall", "SystemClock", "Timer"]
