"""The engine's exceptions: what they carry, pickled too."""

from __future__ import annotations

import pickle

import pytest

from fsm.errors import DefinitionError, SnapshotError, StepInProgress, UnknownEvent


@pytest.mark.parametrize("error", [
    SnapshotError("a", "so", "b"), UnknownEvent("a", "x", ("y",)), StepInProgress("a", "b"), DefinitionError("it", ("is", "wrong")),
])  # fmt: skip
def test_errors_are_pickled_with_their_facts(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
