"""The two errors of this room: what a language cannot say, and what a file does not say rightly."""

from __future__ import annotations

__all__ = ["ExportError", "ReadError"]


class ExportError(ValueError):
    """A chart has something that the language cannot say.  Nothing was written.

    Attributes: `chart` and `format` (names), `problem` (a sentence that names the thing).
    """

    def __init__(self, chart: str, format: str, problem: str) -> None:
        self.chart, self.format, self.problem = chart, format, problem
        super().__init__(f"{chart} cannot be written as {format}: {problem}")


class ReadError(ValueError):
    """A file holds no chart, or one that cannot be read.  `place` is where: a path into the document, or a line."""

    def __init__(self, place: str, problem: str) -> None:
        self.place, self.problem = place, problem
        super().__init__(f"{place}: {problem}" if place else problem)
