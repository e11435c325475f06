"""The HTTP port: what it answers, whom it refuses, that it is not ready from the first moment of a plan, and that watchers see it live."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from fsm.mail import http
from fsm.mail.config import Address, Config
from fsm.mail.errors import ConfigError
from fsm.mail.server import MailServer
from fsm.store import Plan
from tests.mail.support import ANY, Client, run, serving

SLOW = Plan.parse("NO_WAIT 60s -> cancel 60s")


async def get(server: MailServer, path: str, *, method: str = "GET", host: str | None = None) -> tuple[int, str, str]:
    """The status, the head and the body of an answer."""
    address = server.addresses["http"]
    reader, writer = await asyncio.open_connection(*address.split(":"))
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host or address}\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), head, body


@pytest.mark.parametrize(("path", "status", "expected"), [
    ("/live", 200, "live"), ("/ready", 200, "letters: ready (open)"), ("/metrics", 200, 'fsm_store_state{fsm_store_state="open",store="letters"} 1.0'),
    ("/metrics", 200, 'fsm_mail_sessions{port="inbound"} 0.0'), ("/status", 200, '"state": "open"'), ("/", 200, "<!doctype html>"), ("/nothing", 404, "the page is at /"),
])  # fmt: skip
def test_each_path_has_its_answer(path: str, status: int, expected: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, http=ANY, name="letters") as server:
            found, head, body = await get(server, path)
            assert (found, expected in body) == (status, True), body
            assert "Content-Security-Policy: default-src 'none'" in head
            assert (await get(server, path, method="HEAD"))[2] == ""

    run(work())


def test_other_names_other_methods_and_what_is_no_request_are_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, http=ANY) as server:
            assert (await get(server, "/", host="evil.example.org"))[0] == 403
            assert (await get(server, "/", host="localhost"))[0] == 200
            assert (await get(server, "/status", method="POST"))[0] == 405
            reader, writer = await asyncio.open_connection(*server.addresses["http"].split(":"))
            writer.write(b"x" * (http.LONGEST + 1))
            assert b" 431 " in await reader.read()
            writer.close()

    run(work())


def test_it_is_for_this_computer_only() -> None:
    with pytest.raises(ConfigError, match="--http is for this computer only"):
        Config(Path("x"), inbound=ANY, http=Address("0.0.0.0", 80, "0.0.0.0"))


def test_it_is_not_ready_from_the_first_moment_of_a_plan_and_watchers_see_what_is_in_the_way(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, http=ANY, plan=SLOW, name="letters") as server:
            reader, writer = await asyncio.open_connection(*server.addresses["http"].split(":"))
            writer.write(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")

            async def told() -> dict[str, object]:
                return json.loads((await reader.readuntil(b"\n\n"))[len("data: ") :])["stores"][0]

            assert (await told())["state"] == "open"
            client = await Client.at(server.addresses["inbound"])
            await client.begin()
            server.close()
            await asyncio.sleep(0)
            status, _, body = await get(server, "/ready")
            assert (status, body.partition("(")[0]) == (503, "letters: not ready, closing by ORDERLY 60s ")
            assert (await get(server, "/live"))[0] == 200
            while (now := await told())["state"] != "draining":
                pass
            assert "inbound in-1 from 127.0.0.1" in str(now["blockers"])
            assert (now["step"], now["next_step"]) == ("ORDERLY 60s", "cancel 60s")
            assert (await client.end()).startswith("250")
            await server.served()
            rest = reader.read()  # the server ends them all when it is left
        assert b'"state": "released"' in await rest
        writer.close()

    run(work())


def test_no_more_than_so_many_connections_and_none_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST", 2)
    monkeypatch.setattr(http, "PATIENCE", 0.1)

    async def work() -> None:
        async with serving(tmp_path, http=ANY) as server:
            links = [await asyncio.open_connection(*server.addresses["http"].split(":")) for _ in range(3)]
            for reader, writer in links:  # the third at once, the others because they ask nothing
                with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                    await reader.readexactly(1)
                writer.close()

    run(work())
