"""StoreSession: the calls as users and MAPI make them."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

import pytest

from fsm import Refused
from fsm.logoff import LOGOFF, Logoff, LogoffStatus, MapiError, Result, StoreSession
from tests.support import configurations, run

COMPLETE, INBOUND, OUTBOUND, QUEUE = LogoffStatus

# trace, flag, state afterwards, request afterwards, output
CALLS = [
    ("", "QUIET", "released", "QUIET", COMPLETE),
    ("submit", "QUIET", "blocked", "QUIET", QUEUE),
    ("submit", "ABORT", "released", "ABORT", COMPLETE | QUEUE),
    ("submit", "ORDERLY", "released", "ORDERLY", COMPLETE | QUEUE),
    ("submit", "NO_WAIT", "draining", "NO_WAIT", QUEUE),
    ("submit", "PURGE", "draining", "PURGE", QUEUE),
    ("inbound_begin", "QUIET", "blocked", "QUIET", INBOUND),
    ("inbound_begin", "ABORT", "blocked", "ABORT", INBOUND),
    ("inbound_begin", "ORDERLY", "draining", "ORDERLY", INBOUND),
    ("inbound_begin", "NO_WAIT", "draining", "NO_WAIT", INBOUND),
    ("inbound_begin", "PURGE", "draining", "PURGE", INBOUND),
    ("submit,outbound_begin,outbound_deferred", "NO_WAIT", "released", "NO_WAIT", COMPLETE | QUEUE),
    ("submit,outbound_begin,outbound_deferred", "PURGE", "draining", "PURGE", QUEUE),
    ("submit,outbound_begin,submit,inbound_begin", "ABORT", "blocked", "ABORT", INBOUND | OUTBOUND | QUEUE),
    ("inbound_begin,logoff_abort", "QUIET", "blocked", "QUIET", INBOUND),
    ("inbound_begin,logoff_orderly", "QUIET", "draining", "ORDERLY", INBOUND),
    ("inbound_begin,logoff_orderly", "ABORT", "draining", "ABORT", INBOUND),
    ("submit,logoff_no_wait", "ABORT", "released", "ABORT", COMPLETE | QUEUE),
    ("submit,logoff_no_wait", "ORDERLY", "released", "ORDERLY", COMPLETE | QUEUE),
    ("inbound_begin,submit,peer_opened", "NO_WAIT", "released", "NO_WAIT", COMPLETE),
    ("inbound_begin,logoff_orderly,peer_opened", "QUIET", "released", "QUIET", COMPLETE),
]


@pytest.mark.parametrize(("trace", "flag", "state", "request_", "output"), CALLS)
def test_one_flag_in_and_the_status_out(trace: str, flag: str, state: str, request_: str, output: LogoffStatus) -> None:
    by_enum, by_word, by_trigger = run(trace), run(trace), run(trace)
    assert by_enum.logoff(Logoff[flag]) == output
    assert by_word.store_logoff_transports(Logoff[flag].value) == int(output)
    assert getattr(by_trigger, f"logoff_{flag.lower()}")() is True
    for session in (by_enum, by_word, by_trigger):
        assert (session.state, session.request, session.status) == (state, Logoff[request_], output)
        assert session.complete is (COMPLETE in output)


def test_the_words_are_mapis() -> None:
    assert {f.name: f.value for f in Logoff} == {"NO_WAIT": 1, "ORDERLY": 2, "PURGE": 4, "ABORT": 8, "QUIET": 16}
    assert {f.name: f.value for f in LogoffStatus} == {
        "COMPLETE": 0x10000, "INBOUND": 0x20000, "OUTBOUND": 0x40000, "OUTBOUND_QUEUE": 0x80000,
    }  # fmt: skip
    assert {r.name: r.value for r in Result} == {
        "S_OK": 0, "MAPI_E_UNKNOWN_FLAGS": 0x80040106, "MAPI_E_INVALID_PARAMETER": 0x80070057,
        "MAPI_E_INVALID_OBJECT": 0x80040108, "MAPI_E_BUSY": 0x8004010B, "MAPI_E_UNABLE_TO_ABORT": 0x80040114,
        "MAPI_E_NOT_IN_QUEUE": 0x80040601,
    }  # fmt: skip


HUGE = 10**5000
WRONG_WORDS: list[tuple[Any, Result, str]] = [
    (0, Result.MAPI_E_INVALID_PARAMETER, "no flag given; one call takes exactly one of NO_WAIT 0x01"),
    (3, Result.MAPI_E_INVALID_PARAMETER, "2 flags given"),
    (0x1F, Result.MAPI_E_INVALID_PARAMETER, "5 flags given"),
    (0x20, Result.MAPI_E_UNKNOWN_FLAGS, "0x20 is no input flag"),
    (0x21, Result.MAPI_E_UNKNOWN_FLAGS, "0x20 is no input flag"),
    (0x10000, Result.MAPI_E_UNKNOWN_FLAGS, "0x10000 is no input flag"),
    (0x80001, Result.MAPI_E_UNKNOWN_FLAGS, "0x80000 is no input flag"),
    (0xFFFFFFFF, Result.MAPI_E_UNKNOWN_FLAGS, "0xFFFFFFE0 is no input flag"),
    (1 << 32, Result.MAPI_E_INVALID_PARAMETER, "not int 4294967296"),
    (HUGE, Result.MAPI_E_INVALID_PARAMETER, "not a number of 16610 bits"),
    (-1, Result.MAPI_E_INVALID_PARAMETER, "not int -1"),
    (True, Result.MAPI_E_INVALID_PARAMETER, "not bool True"),
    (2.0, Result.MAPI_E_INVALID_PARAMETER, "not float 2.0"),
    ("2", Result.MAPI_E_INVALID_PARAMETER, "not str '2'"),
    (None, Result.MAPI_E_INVALID_PARAMETER, "not NoneType None"),
    (Logoff.ORDERLY, Result.MAPI_E_INVALID_PARAMETER, "not Logoff <Logoff.ORDERLY: 2>"),
    ("x" * 100, Result.MAPI_E_INVALID_PARAMETER, "not str"),
]


@pytest.mark.parametrize(("word", "result", "message"), WRONG_WORDS, ids=[r.name + str(n) for n, (_, r, _) in enumerate(WRONG_WORDS)])
@pytest.mark.parametrize("trace", ["", "inbound_begin,logoff_abort", "inbound_begin,logoff_orderly"])
def test_a_wrong_word_is_refused_with_mapis_code_and_changes_nothing(trace: str, word: Any, result: Result, message: str) -> None:
    session = run(trace)
    before = session.configuration
    with pytest.raises(MapiError) as caught:
        session.store_logoff_transports(word)
    assert caught.value.hresult == result.value > 0
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{result.name} (0x")
    assert session.configuration == before


@pytest.mark.parametrize("word", [1, 0, 3, 0x20, -1, "x", 1 << 200])
def test_a_released_session_answers_invalid_object_before_anything_else(word: Any) -> None:
    session = run("logoff_quiet")
    with pytest.raises(MapiError) as caught:
        session.store_logoff_transports(word)
    assert caught.value.result is Result.MAPI_E_INVALID_OBJECT
    with pytest.raises(Refused, match="released is final"):
        session.logoff(Logoff.QUIET)
    assert session.release() is True


@pytest.mark.parametrize("wrong", [2, "ORDERLY", None, LogoffStatus.COMPLETE])
def test_logoff_takes_a_logoff(wrong: Any) -> None:
    session = StoreSession()
    with pytest.raises(TypeError, match=r"logoff takes one of Logoff\.NO_WAIT"):
        session.logoff(wrong)
    assert session.state == "open"


@pytest.mark.parametrize("start", [{"ready": -1}, {"deferred": "1"}, {"peers": 1.0}, {"ready": None, "peers": True}])
def test_a_wrong_start_is_refused(start: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"a session cannot start like this: .* must be a whole number, 0 or more"):
        StoreSession(**start)


def test_a_session_starts_with_what_the_queue_and_the_registry_hold() -> None:
    session = StoreSession(ready=3, deferred=1, peers=1)
    assert session.configuration == ("open", None, 0, 0, 3, 1, 1)
    assert (session.inbound, session.outbound, session.ready, session.deferred, session.peers) == (0, 0, 3, 1, 1)
    assert repr(session) == "<StoreSession open, ready 3, deferred 1, peers 1>"


def test_new_work_is_accepted_where_it_is_legal() -> None:
    for here in configurations():
        session = StoreSession.unchecked(here)
        assert session.accepting == session.may("submit").accepted == session.may("inbound_begin").accepted, here


def test_status_is_the_output_everywhere() -> None:
    for here in configurations():
        session = StoreSession.unchecked(here)
        expected = LogoffStatus(0)
        expected |= COMPLETE if session.state == "released" else LogoffStatus(0)
        expected |= INBOUND if session.inbound else LogoffStatus(0)
        expected |= OUTBOUND if session.outbound else LogoffStatus(0)
        expected |= QUEUE if session.ready or session.deferred else LogoffStatus(0)
        assert session.status == expected
        assert session.status.value == LOGOFF.flags(here)


def test_every_trigger_is_declared_documented_and_typed() -> None:
    StoreSession()
    for event in LOGOFF.events:
        method = getattr(StoreSession, event)
        assert inspect.getdoc(method)
        assert get_type_hints(method) == {"return": bool}
        assert list(inspect.signature(method).parameters) == ["self"]
