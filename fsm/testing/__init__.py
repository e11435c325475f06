"""Tools for testing programs that use a store or a machine of their own.

    def test_mine(loses_nothing): ...             # pytest finds the fixtures: simulated_clock, store, loses_nothing

`closing.loses_nothing` closes a program at each of its steps; `clock.SimulatedClock` (threads) and `loop.run` (asyncio)
simulate time; `strategies.events` is a Hypothesis strategy for the events of any chart.
"""
