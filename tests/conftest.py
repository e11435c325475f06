"""What holds for all tests.

An example of Hypothesis may take as long as a busy machine makes it take.  An interrupt interrupts, also where the tests run in
the background and a shell has it ignored: the programs that the tests start would have that from them.
"""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
signal.signal(signal.SIGINT, signal.default_int_handler)
