"""`fsm queue`: each message of a running or a stopped store, and what an operator does with them, by id or by domain."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm.cli import main
from fsm.mail.config import Address, Smarthost
from fsm.store import Spooler, Store
from fsm.store.sql import Database
from tests.mail.sink import Faulty
from tests.mail.support import LATER, Client, counted, run, serving, until

NEVER = "550 5.1.1 nobody here"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A runtime folder of this test's own, with a short name."""
    with tempfile.TemporaryDirectory(prefix="fsm") as name:
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        yield


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    capsys.readouterr()
    assert main(["queue", "--json", *words]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def asked(*words: str) -> int:
    return main(["queue", *words])


def test_a_running_store_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        def rcpt(exchange: object) -> str | None:
            return "451 4.3.0 not now" if sink.transactions <= 3 else None

        async with Faulty({"rcpt": rcpt}) as sink, serving(tmp_path, sink=sink, name="letters", retry=LATER) as server:
            async with await Client.at(server.addresses["submission"]) as client:
                for recipient in ("<b@example.net> NOTIFY=NEVER", "<c@example.org>", "<d@EXAMPLE.net>"):
                    await client.say("MAIL FROM:<a@example.org>")
                    await client.say(f"RCPT TO:{recipient}")
                    await client.say("DATA")
                    assert (await client.end(b"Subject: hello\r\n\r\nx\r\n")).startswith("250")
            await until(server, counted(deferred=3))
            first, second, third = found = await asyncio.to_thread(listed, capsys)
            assert [one["recipients"] for one in found] == [["b@example.net"], ["c@example.org"], ["d@EXAMPLE.net"]]
            assert (first["state"], first["sender"], first["attempts"], first["reason"]) == ("deferred", "a@example.org", 1, "451 4.3.0 not now")
            assert 3500 < first["next"] <= 3600  # type: ignore[operator]
            whole = await server.store.message(str(first["id"]))
            assert whole is not None
            assert first["size"] == len(whole.content)
            assert len(await asyncio.to_thread(listed, capsys, "--limit", "1")) == 1
            assert await asyncio.to_thread(asked, "--limit", "1") == 0
            assert "and 2 more" in capsys.readouterr().out
            assert await asyncio.to_thread(asked, "show", str(first["id"])) == 0
            assert "    | Subject: hello" in capsys.readouterr().out
            assert (await asyncio.to_thread(listed, capsys, "show", str(first["id"])))[0]["kept"] == ["a@example.org", "b@example.net NOTIFY=NEVER"]
            # by domain, whatever its letters
            assert await asyncio.to_thread(asked, "hold", "@example.NET", "--store", "letters") == 0
            assert [one["state"] for one in await asyncio.to_thread(listed, capsys)] == ["held", "deferred", "held"]
            assert server.store.progress_now().deferred == 1
            assert await asyncio.to_thread(asked, "retry", str(first["id"])) == 1  # it is held, not deferred
            assert "is deferred" in capsys.readouterr().err
            assert await asyncio.to_thread(asked, "retry", str(second["id"])) == 0
            await until(server, counted(sent=1))
            assert await asyncio.to_thread(asked, "resume", str(third["id"])) == 0
            await until(server, counted(sent=2))
            assert await asyncio.to_thread(asked, "withdraw", "all") == 0
            assert capsys.readouterr().out.endswith(f"{first['id']} was deleted\n")
            assert await asyncio.to_thread(asked) == 0
            assert capsys.readouterr().out == "the queue is empty\n"
            assert [one.recipients for one in sink.delivered] == [("c@example.org",), ("d@EXAMPLE.net",)]
            progress = server.store.progress_now()
            assert (progress.ready, progress.deferred, progress.held) == (0, 0, 0)

    run(work())


def test_a_stopped_store_is_opened_for_as_long_as_it_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    store = Store(Database(folder / "outbox.db"))
    ids = [store.submit(b"Subject: x\r\n\r\nx\r\n", "a@example.org", (f"b@{domain}",)) for domain in ("example.net", "example.org", "example.net")]
    store.let_go()
    there = ("--store", str(folder))
    assert [(one["id"], one["state"], one["size"]) for one in listed(capsys, *there)] == [(id, "ready", 17) for id in ids]
    assert asked("hold", ids[0], *there) == 0
    assert asked("withdraw", "@example.net", *there) == 0
    assert capsys.readouterr().out == f"{ids[0]} is held\n{ids[0]} was deleted\n{ids[2]} was deleted\n"
    assert asked("show", ids[0], *there) == 1
    assert asked("resume", ids[1], *there) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"fsm queue: there is no message {ids[0]}"
    assert second.endswith(f"no message {ids[1]} is held or failed")
    assert [one["id"] for one in listed(capsys, *there)] == [ids[1]]

    async def work() -> None:  # and what is left goes out as ever
        async with Faulty({}) as sink:
            there = Smarthost(Address.parse(sink.address, "x", listening=False))
            async with serving(tmp_path, smarthost=there) as server:
                await until(server, counted(sent=1))

    run(work())


@pytest.mark.parametrize(("uncertain", "state"), [("hold", "held"), ("resend", "ready")])
def test_a_stopped_server_is_opened_by_its_configuration(uncertain: str, state: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was being sent when its process ended is dealt with as the configuration says, in each mailbox."""
    file = tmp_path / "mail.toml"
    file.write_text(f'store = "letters"\nuncertain = "{uncertain}"\nretry = [1, 1, 1]\nsubmission = "systemd"\n[mailboxes.anna]\nowner = "a.b"\n[mailboxes.ben]\n')
    (tmp_path / "letters").mkdir()
    ids, sending = {}, []
    with Spooler(Database(tmp_path / "letters" / "outbox.db")) as spooler:
        for store in spooler.open_many(["anna", "ben"]):
            ids[store.name] = store.submit(b"Subject: x\r\n\r\nx\r\n", "a@example.org", ("b@example.net",))
            sending.append(iter(store.outgoing()))
            next(sending[-1]).__enter__()
        spooler.let_go()
    config = ("--config", str(file))
    assert [(one["store"], one["id"], one["state"]) for one in listed(capsys, *config)] == [(name, id, state) for name, id in ids.items()]
    assert asked("withdraw", "all", *config) == 2
    assert "several stores are meant; name one with --store: anna, ben" in capsys.readouterr().err
    assert asked("withdraw", "all", *config, "--store", "anna") == 0
    assert asked("--store", str(tmp_path / "letters" / "anna")) == 0
    assert capsys.readouterr().out.endswith("the queue is empty\n")
    assert asked(*config, "--store", "carl") == 1
    assert capsys.readouterr().err == f"fsm queue: no store of {file} is called carl; there are: anna, ben\n"


@pytest.mark.parametrize(("words", "status", "expected"), [
    (["--config", "none.toml"], 2, "cannot read the configuration none.toml"),
    (["list", "x"], 2, "to list takes no message"), (["hold"], 2, "say which"), ([], 1, "no store is running; name the folder"),
    (["--store", "nowhere"], 1, "no store is called nowhere"),
])  # fmt: skip
def test_what_is_wrong_is_one_sentence(words: list[str], status: int, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(*words) == status
    err = capsys.readouterr().err
    assert (expected in err, err.count("\n")) == (True, 1)
