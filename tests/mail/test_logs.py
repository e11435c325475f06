"""The log: a reader who does not read stops nobody, and one cause is told a few times a second."""

from __future__ import annotations

import logging
import os

from fsm.mail.logs import A_SECOND, WAITING, BackgroundHandler, Sparing


def record(text: str, *args: object, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("fsm.mail", level, __file__, 1, text, args, None)


def test_lines_are_written_in_order_and_all_of_them_at_the_end() -> None:
    reader, writer = os.pipe()
    handler = BackgroundHandler(writer)
    for number in range(100):
        handler.emit(record("line %d", number))
    handler.say("the last")
    handler.finish()
    os.close(writer)
    with os.fdopen(reader) as lines:
        assert lines.read().splitlines() == [*(f"line {number}" for number in range(100)), "the last"]


def test_a_pipe_that_nobody_reads_stops_nobody_and_what_is_dropped_is_counted() -> None:
    reader, writer = os.pipe()
    handler = BackgroundHandler(writer)
    for number in range(WAITING + 5000):
        handler.emit(record("%s", "x" * 100 + str(number)))
    with os.fdopen(reader) as lines:
        for line in lines:
            if "lines were dropped" in line:
                break
        os.close(writer)


def test_a_reader_who_has_gone_stops_nobody() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    handler = BackgroundHandler(writer)
    for _ in range(3):
        handler.emit(record("x"))
    handler.finish()
    os.close(writer)


def test_one_cause_is_told_a_few_times_a_second_and_then_how_often() -> None:
    now = [5.0]
    sparing = Sparing(lambda: now[0])
    passed = [sparing.filter(record("cannot %s", n)) for n in range(100)]
    assert passed == [True] * A_SECOND + [False] * (100 - A_SECOND)
    assert sparing.filter(record("something else"))
    assert all(sparing.filter(record("message %d was sent", n, level=logging.INFO)) for n in range(100))
    now[0] += 1
    again = record("cannot %s", "x")
    assert sparing.filter(again)
    assert again.getMessage() == f"cannot x (and {100 - A_SECOND} more of the kind)"
    assert sparing.filter(another := record("cannot %s", "y"))
    assert another.getMessage() == "cannot y"
