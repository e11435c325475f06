"""What the mail server needs of aiosmtpd and asyncio beyond their documentation: each name, and that it is still there."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP

import fsm.mail
from fsm.mail._aiosmtpd import SmtpProtocol
from fsm.mail._asyncio_streams import MessageReader
from tests.mail.support import run

MAIL = Path(fsm.mail.__file__).parent
METHODS = {
    "_handle_client": ["self"], "_cb_client_connected": ["self", "reader", "writer"], "_reset_timeout": ["self", "duration"],
    "_timeout_cb": ["self"], "_getaddr": ["self", "arg"],
}  # fmt: skip
ATTRIBUTES = ["_handler_coroutine", "_timeout_handle", "_timeout_duration"]
PRIVATE = {"_aiosmtpd": {*METHODS, *ATTRIBUTES}, "_asyncio_streams": {"_limit"}}
"""The private names of other libraries, by the file that uses them."""


def private(names: Iterable[str]) -> set[str]:
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def inherited(cls: type) -> set[str]:
    """The private names that a class has of base classes of the libraries: their methods, and what these set."""
    theirs = [base for base in cls.__mro__ if base.__module__.startswith(("asyncio", "aiosmtp"))]
    return set().union(*(private([*vars(base), *re.findall(r"self\.(\w+)\b[^=\n]*=", inspect.getsource(base))]) for base in theirs))


def foreign(file: Path) -> set[str]:
    """The private names of others that a file uses or overrides: those that its classes inherit, and those it does not define."""
    module = importlib.import_module(".".join(("fsm.mail", *file.relative_to(MAIL).with_suffix("").parts)).removesuffix(".__init__"))
    found, used, own = set[str](), set[str](), set[str]()
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            names = {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}
            names |= {one.name for one in node.body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))}
            found |= names & inherited(getattr(module, node.name))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            used |= private([node.attr])
        elif isinstance(node, ast.Attribute):
            own.add(node.attr)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
    return found | used - own


@pytest.mark.parametrize("file", sorted(MAIL.rglob("*.py")), ids=lambda file: str(file.relative_to(MAIL)))
def test_private_names_of_libraries_are_used_where_the_table_says(file: Path) -> None:
    assert foreign(file) == PRIVATE.get(file.stem, set())


@pytest.mark.parametrize("stem", PRIVATE)
def test_each_is_explained_at_the_top_of_its_file(stem: str) -> None:
    text = ast.get_docstring(ast.parse((MAIL / f"{stem}.py").read_text())) or ""
    assert {name.rpartition(".")[2] for name in re.findall(r"`([\w.]+)`", text)} >= PRIVATE[stem]


@pytest.mark.parametrize("name", METHODS)
def test_aiosmtpd_has_the_methods_with_these_parameters(name: str) -> None:
    assert list(inspect.signature(getattr(SMTP, name)).parameters) == METHODS[name]
    assert f"self.{name}" in inspect.getsource(SMTP), "it is called, or nothing comes of overriding it"


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_aiosmtpd_sets_the_attributes(name: str) -> None:
    assert re.search(rf"self\.{name}\b[^=\n]*= ", inspect.getsource(SMTP))


def test_aiosmtpd_reads_with_our_reader() -> None:
    async def work() -> None:
        loop, greeted = asyncio.get_running_loop(), asyncio.Event()

        class Session(SmtpProtocol):
            async def push(self, status: str | bytes) -> None:
                readers.append(self.reader)
                greeted.set()

        readers: list[asyncio.StreamReader] = []
        server = await loop.create_server(lambda: Session(object(), loop=loop), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        await greeted.wait()
        assert isinstance(readers[0], MessageReader)
        writer.close()
        server.close()

    run(work())


def test_asyncio_keeps_the_limit_of_a_reader_where_it_can_be_changed() -> None:
    async def work() -> None:
        reader = asyncio.StreamReader(limit=5)
        assert reader._limit == 5  # type: ignore[attr-defined]
        reader._limit = 100  # type: ignore[attr-defined]
        reader.feed_data(b"x" * 50 + b"\n")
        assert await reader.readuntil() == b"x" * 50 + b"\n"

    run(work())
