"""A snapshot is a small JSON value; only the chart that made it restores it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fsm import Session, SnapshotError
from fsm.logoff import LOGOFF, GuardedStoreSession, StoreSession
from tests.support import configurations, run
from tests.test_session import DOOR, Door


def test_every_configuration_survives_json() -> None:
    for here in configurations():
        session = StoreSession.unchecked(here)
        again = StoreSession.restore(json.loads(json.dumps(session.snapshot())))
        assert again.configuration == here
        assert type(again) is StoreSession


def test_what_it_looks_like() -> None:
    assert run("submit,logoff_no_wait").snapshot() == {
        "snapshot": 1, "chart": "store-logoff", "fingerprint": LOGOFF.fingerprint, "state": "draining",
        "values": {"request": "NO_WAIT", "inbound": 0, "outbound": 0, "ready": 1, "deferred": 0, "peers": 0},
    }  # fmt: skip


def test_a_restored_session_lives_on_its_own() -> None:
    session = run("submit")
    other = GuardedStoreSession.restore(session.snapshot())
    other.outbound_begin()
    assert (session.ready, other.ready) == (1, 0)


def changed(**change: Any) -> Any:
    return {**StoreSession(ready=1).snapshot(), **change}


WRONG = [
    (None, "it is NoneType, not an object"),
    ([], "it is list, not an object"),
    ({}, "its version is None, this program reads 1"),
    (changed(snapshot=2), "its version is 2"),
    (changed(snapshot=True), "its version is True"),
    (changed(snapshot=1.0), "its version is 1.0"),
    (changed(state="released", values={**StoreSession().snapshot()["values"], "inbound": 5}), "in released it always holds"),  # type: ignore[dict-item]
    (changed(fingerprint="0" * 16), "of the same name but another behaviour"),
    (changed(fingerprint=None), "its fingerprint is None"),
    (Door().snapshot(), r"of another chart \('door'\)"),
    (changed(state="ajar"), "'ajar' is not a state of store-logoff"),
    (changed(state=None), "'None' is not a state"),
    (changed(values=None), "its values are None"),
    (changed(values={}), r"its values are \{\}; it needs request, inbound"),
    *(
        (changed(values={**changed()["values"], name: value}), message)
        for name, value, message in [
            ("ready", -1, "ready must be a whole number, 0 or more, not -1"),
            ("ready", 1.0, "not 1.0"),
            ("ready", True, "not True"),
            ("ready", "1", "not '1'"),
            ("request", "none", "request has no value 'none'"),
            ("request", "LATER", "request has no value 'LATER'"),
            ("request", 1, "request is 1, not a name or null"),
            ("request", "ORDERLY", "in open it always holds that request == none; here it is open, request ORDERLY"),
        ]
    ),
    (changed(state="blocked"), "in blocked it always holds that"),
]


@pytest.mark.parametrize(("snapshot", "message"), WRONG)
def test_a_wrong_snapshot_is_refused_in_one_sentence(snapshot: Any, message: str) -> None:
    with pytest.raises(SnapshotError, match=message) as caught:
        StoreSession.restore(snapshot)
    assert str(caught.value).startswith("this is no snapshot of store-logoff: ")
    assert caught.value.expected == LOGOFF.fingerprint


def test_other_charts_have_snapshots_too() -> None:
    door = Session.of(DOOR)(n=3)
    assert Door.restore(door.snapshot()).configuration == ("open", 3)


def test_a_pickle_of_another_behaviour_or_an_impossible_place_is_refused() -> None:
    blank = StoreSession.__new__(StoreSession)
    for state, message in (
        (("0" * 16, ("open", None, 0, 0, 0, 0, 0), {}), "it was pickled by another behaviour"),
        ((LOGOFF.fingerprint, ("draining", None, -3, 0, 0, 0, 0), {}), "inbound must be a whole number"),
        ((LOGOFF.fingerprint, ("draining", None, 0, 0, 0, 0, 0), {}), "in draining it always holds"),
    ):
        with pytest.raises(SnapshotError, match=message):
            blank.__setstate__(state)  # type: ignore[arg-type]
