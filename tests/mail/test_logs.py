"""The log: a reader who does not read stops nobody, and one cause is told a few times a second."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from fsm.mail.demo.sink import Exchange
from fsm.mail.logs import A_SECOND, WAITING, BackgroundHandler, JsonLines, Sparing, tell
from fsm.store.log import about
from tests.mail.sink import Faulty
from tests.mail.support import Client, counted, run, serving, until


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


def test_each_message_has_a_line_for_what_happens_to_it_with_one_id(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fsm.mail.messages")

    async def work() -> None:
        def rcpt(exchange: Exchange) -> str | None:
            return {"n": "550 5.1.1 no", "l": "450 4.2.1 later"}.get(exchange.command[9:10])

        async with Faulty({"rcpt": rcpt}) as sink, serving(tmp_path, sink=sink, owners=("example.net",)) as server:
            async with await Client.at(server.addresses["submission"]) as client:
                await client.begin("a@example.org", "yes@x.net", "no@x.net", "later@x.net")
                id = (await client.end()).split()[-1]
                await client.begin()
                await client.write(b"a\0b\r\n.\r\n")
                assert (await client.reply()).startswith("550")
            async with await Client.at(server.addresses["inbound"]) as client:
                assert (await client.say("MAIL FROM:<a@example.org>")).startswith("250")
                assert (await client.say("RCPT TO:<nobody@x.net>")).startswith("550")
                assert (await client.say("RCPT TO:<b@example.net>")).startswith("250")
                assert (await client.say("DATA")).startswith("354")
                other = (await client.end()).split()[-1]
                (file,) = (one for one in server.inbox.messages() if f"I{other}." in one.name)
                assert f"with ESMTP id {other};" in file.read_text()
            whole = await server.store.message(id)
            assert whole is not None
            assert f"with ESMTP id {id};".encode() in whole.content
            await until(server, counted(deferred=1, received=1))
        told = [json.loads(JsonLines().format(record)) for record in caplog.records if record.name == "fsm.mail.messages"]
        refused = next(entry["id"] for entry in told if entry["event"] == "refused" and "NUL" in entry["reply"])
        assert len({id, refused, other}) == 3
        lines = [(entry["event"], entry["id"], entry.get("recipients")) for entry in told]
        assert sorted(lines) == sorted([
            ("taken", id, "yes@x.net, no@x.net, later@x.net"), ("sent", id, "yes@x.net"), ("bounced", id, "no@x.net"), ("deferred", id, "later@x.net"),
            ("refused", refused, "b@example.net"), ("refused", other, "nobody@x.net"), ("received", other, "b@example.net"),
        ])  # fmt: skip
        assert next(entry["reason"] for entry in told if entry["event"] == "bounced") == "550 5.1.1 no"

    run(work())


def test_a_record_is_a_line_of_json() -> None:
    entry = json.loads(JsonLines().format(record("cannot %s\n", "\u202e")))
    assert (entry["level"], entry["message"], entry["logger"]) == ("WARNING", "cannot \u202e\n", "fsm.mail")
    assert "store" not in entry


def test_a_line_of_json_says_of_which_store_and_message_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fsm.mail.messages")
    tell("sent", "anna", "0c6f", octets=3)
    tell("refused", None, "0c70", reply="550 5.1.1 nobody")
    logging.getLogger("fsm.mail").warning("message %s was not delivered", "0c71", extra=about("anna", "0c71"))
    told = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert [(entry.get("store"), entry["id"]) for entry in told] == [("anna", "0c6f"), (None, "0c70"), ("anna", "0c71")]
