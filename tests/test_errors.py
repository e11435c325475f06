"""The engine's exceptions: what they carry, pickled too."""

from __future__ import annotations

import pickle
from importlib import import_module

import pytest

import fsm
import fsm.logoff
import fsm.runtime
import fsm.store
from fsm.errors import PLACES, DefinitionError, SnapshotError, StepInProgress, UnknownEvent


@pytest.mark.parametrize("error", [
    SnapshotError("a", "so", "b"), UnknownEvent("a", "x", ("y",)), StepInProgress("a", "b"), DefinitionError("it", ("is", "wrong")),
])  # fmt: skip
def test_errors_are_pickled_with_their_facts(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


@pytest.mark.parametrize("name", PLACES)
def test_a_name_that_is_looked_for_elsewhere_is_where_it_is_said_to_be(name: str) -> None:
    assert getattr(import_module(PLACES[name]), name) is not None


@pytest.mark.parametrize(("line", "said"), [
    ("from fsm.logoff import Store", "Store is not in fsm.logoff: from fsm.store import Store"),
    ("from fsm import Store", "Store is not in fsm: from fsm.store import Store"),
    ("from fsm import StoreSession", "StoreSession is not in fsm: from fsm.logoff import StoreSession"),
    ("from fsm.store import MessageStore", "MessageStore is not in fsm.store: from fsm.logoff import MessageStore"),
    ("from fsm.runtime import Session", "Session is not in fsm.runtime: from fsm import Session"),
])  # fmt: skip
def test_a_wrong_import_says_where_the_name_is(line: str, said: str) -> None:
    with pytest.raises(ImportError) as wrong:
        exec(line, {})
    assert str(wrong.value) == said


@pytest.mark.parametrize("module", [fsm, fsm.logoff, fsm.runtime, fsm.store])
def test_a_name_that_is_nowhere_is_an_ordinary_mistake(module: object) -> None:
    assert not hasattr(module, "Nope")
