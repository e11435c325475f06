"""A pytest plugin: every test module that imports `Machine` from transitions gets ours.

transitions' own modules keep theirs (they name it in `super(Machine, self)`), and are imported before the exchange.
At the end it says how many machines of ours were made, so that an exchange that did not happen cannot pass unseen.
"""

from __future__ import annotations

from typing import Any

import transitions
import transitions.core
import transitions.experimental.utils
import transitions.extensions

from fsm.machine import Machine

THEIRS = transitions.core.Machine
made = 0


class Counted(Machine):
    """Our Machine, counted."""

    def __init__(self, *args: Any, **options: Any) -> None:
        global made
        made += 1
        super().__init__(*args, **options)


Counted.__name__ = Counted.__qualname__ = "Machine"
Counted.__module__ = __name__
globals()["Machine"] = Counted  # so that it can be pickled by its name
transitions.Machine = transitions.core.Machine = Counted  # type: ignore[misc]


def pytest_collection_finish() -> None:
    transitions.core.Machine = THEIRS  # type: ignore[misc]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(f"machines of ours: {made}")
