"""The schedule by which deferred messages are tried again."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Retry"]


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after `first` seconds, then after `factor` times as long each time, up to `longest` seconds."""

    first: float = 60.0
    factor: float = 2.0
    longest: float = 3600.0

    def after(self, attempts: int) -> float:
        """Return the seconds until the next attempt, after so many."""
        return float(min(self.longest, self.first * self.factor ** min(max(attempts, 1) - 1, 64)))
