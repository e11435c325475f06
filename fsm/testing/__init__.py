"""What users of the machines test their own programs with: simulated time, a closing at every step, event sequences.

    pytest_plugins = ["fsm.testing.plugin"]       # fixtures: simulated_clock, store, loses_nothing

    strategies.py    a Hypothesis strategy: sequences of events for any chart
    clock.py     simulated time for the threads face of a store
    loop.py      simulated time for asyncio, the program's own sleeps and timeouts included
    closing.py   "this program, closed now, loses nothing", for every now

Nothing in the other rooms imports this one.  It is the place that may import hypothesis and pytest.
"""
