"""The limits of a port: sessions at a time, and messages a minute from one address."""

from __future__ import annotations

from fsm.mail.limits import Limiter


def test_the_limiter_counts_sessions() -> None:
    limiter = Limiter(2, 0, lambda: 0.0)
    assert [limiter.open_session() for _ in range(3)] == [True, True, False]
    limiter.close_session()
    assert [limiter.open_session() for _ in range(2)] == [True, False]


def test_the_limiter_lets_so_many_messages_a_minute_through() -> None:
    now = [0.0]
    limiter = Limiter(1, 3, lambda: now[0])
    assert [limiter.begin_message("a") for _ in range(4)] == [True, True, True, False]
    assert limiter.begin_message("b")
    now[0] += 20.0
    assert [limiter.begin_message("a") for _ in range(2)] == [True, False]
    now[0] += 3600.0
    assert [limiter.begin_message("a") for _ in range(4)] == [True, True, True, False]


def test_the_limiter_forgets_those_who_are_quiet() -> None:
    now = [0.0]
    limiter = Limiter(1, 3, lambda: now[0])
    for peer in range(1024):
        limiter.begin_message(str(peer))
    now[0] += 61.0
    limiter.begin_message("one more")
    assert len(limiter.buckets) == 1
