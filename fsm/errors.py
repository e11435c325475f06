"""The engine's exceptions, with the facts as attributes.

`Refused`, the error of a trigger that is not legal now, is in `verdict.py`: it carries a verdict.
"""

from __future__ import annotations

from typing import Final

__all__ = ["DataError", "DefinitionError", "SnapshotError", "StepInProgress", "TooSlow", "UnknownEvent", "missing"]

PLACES: Final = {
    name: module
    for module, names in {
        "fsm": "Session Chart State Event Counter Choice Boolean Number Field row trigger Refused Verdict Machine",
        "fsm.store": "Store AsyncStore Database on_signals Plan Outcome Retry Stopped StoreClosing StorageError",
        "fsm.logoff": "LOGOFF Logoff LogoffStatus StoreSession GuardedStoreSession MessageStore StoreHandle MapiError",
        "fsm.runtime": "Timers AsyncTimers",
        "fsm.migration": "Migration Move move",
        "fsm.testing.closing": "loses_nothing",
        "fsm.contrib.asgi": "serving",
    }.items()
    for name in names.split()
}
"""Where the names are that people look for in other modules."""


def missing(module: str, name: str) -> Exception:
    """Return the error for a name that a module does not have: where it is, if another one has it."""
    place = PLACES.get(name, module)
    if place == module:
        return AttributeError(f"module {module!r} has no attribute {name!r}")
    # not an AttributeError, whose words `from ... import` would drop
    return ImportError(f"{name} is not in {module}: from {place} import {name}", name=name)


class DefinitionError(ValueError):
    """A chart, a session class or a listener is wrong.  Raised while defining, never while running.

    Attributes: `subject`, and `problems`, a sentence for each mistake.
    """

    def __init__(self, subject: str, problems: tuple[str, ...]) -> None:
        self.subject, self.problems = subject, problems
        super().__init__(subject, problems)

    def __str__(self) -> str:
        return f"{self.subject}: " + "; ".join(self.problems)


class DataError(ValueError):
    """An event was given without its data, or with wrong ones.  Nothing has changed.

    Attributes: `event` (its name), and `problems`, a sentence for each mistake.
    """

    def __init__(self, event: str, problems: tuple[str, ...]) -> None:
        self.event, self.problems = event, problems
        super().__init__(event, problems)

    def __str__(self) -> str:
        return f"cannot {self.event} with these data: {'; '.join(self.problems)}"


class UnknownEvent(ValueError):
    """The chart has no event of that name.  Nothing has changed.

    Attributes: `chart` (its name), `event` (the one asked for), `events` (those of the chart).
    """

    def __init__(self, chart: str, event: str, events: tuple[str, ...]) -> None:
        self.chart, self.event, self.events = chart, event, events
        super().__init__(chart, event, events)

    def __str__(self) -> str:
        from difflib import get_close_matches  # only here, where time does not matter

        near = get_close_matches(str(self.event), self.events, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(self.events)}"
        return f"{self.chart} has no event {self.event!r}; {hint}"


class StepInProgress(RuntimeError):
    """A listener fired a trigger of its own session in the middle of a step.  The trigger has changed nothing.

    Use `session.post(event)`: it runs after the present step.
    Attributes: `event` (the trigger), `during` (the event under way).
    """

    def __init__(self, event: str, during: str) -> None:
        self.event, self.during = event, during
        super().__init__(event, during)

    def __str__(self) -> str:
        return (
            f"cannot {self.event} in the middle of {self.during}: "
            "a listener may not fire a trigger of its own session; "
            f"session.post({self.event!r}) runs it after this step"
        )


class TooSlow(RuntimeError):
    """The reader of `session.steps()` let too many steps wait, and the stream has missed those after them.

    The session is not affected: `session.configuration` is where it stands, and a new stream follows it from now on.
    Attribute: `most`, the steps that may wait.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        super().__init__(most)

    def __str__(self) -> str:
        return (
            f"more than {self.most:,} steps waited to be read, and the rest was missed: read faster, or let more wait "
            "with steps(most=...); session.configuration tells where the session stands"
        )


class SnapshotError(ValueError):
    """A snapshot or pickle cannot be restored.  Nothing has changed.

    Attributes: `chart` (its name), `problem` (a sentence), and the fingerprints `expected` and `found` (None where it
    is not known).
    """

    def __init__(self, chart: str, problem: str, expected: str, found: object = None) -> None:
        self.chart, self.problem, self.expected, self.found = chart, problem, expected, found
        super().__init__(chart, problem, expected, found)

    def __str__(self) -> str:
        return f"this is no snapshot of {self.chart}: {self.problem}"
