"""The records of the logger `fsm.store` have the store's name and the message's id as fields."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import pytest

import fsm.store
from fsm.store import Retry, Store

LOGGING = [file for file in sorted(Path(fsm.store.__file__).parent.rglob("*.py")) if 'getLogger("fsm.store")' in file.read_text()]
LEVELS = {"debug", "info", "warning", "error", "exception", "log"}


@pytest.mark.parametrize("file", LOGGING, ids=lambda file: file.name)
def test_each_record_says_which_store_it_is_of(file: Path) -> None:
    calls = [
        node for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS
        and isinstance(node.func.value, ast.Name) and node.func.value.id in ("log", "LOG")
    ]  # fmt: skip
    assert calls
    for call in calls:
        assert any(word.arg == "extra" for word in call.keywords), f"{file.name}:{call.lineno}"


def test_what_is_logged_of_a_message_has_its_id(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "fsm.store")
    with Store(name="outbox", retry=Retry(first=3600, longest=3600)) as store:
        ids = [store.submit(b"x") for _ in range(2)]
        for number, item in enumerate(store.outgoing()):
            with item:
                if number:
                    item.defer("451 later")
                    break
        store.close("ORDERLY 60s")
    told = [(record.store, record.message_id) for record in caplog.records]  # type: ignore[attr-defined]
    assert told[:2] == [("outbox", ids[0]), ("outbox", ids[1])]
    assert len(told) > 2
    assert set(told[2:]) == {("outbox", None)}
