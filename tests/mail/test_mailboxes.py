"""Many mailboxes: which one a message belongs to, that each has its own store and inbox, and that the others go on when one does not."""

from __future__ import annotations

import asyncio
import json
import logging
import smtplib
import ssl
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from fsm.cli import main
from fsm.mail.auth import new_entry
from fsm.mail.config import Config
from fsm.mail.control import ask, running
from fsm.mail.demo.sink import Exchange
from fsm.mail.errors import ConfigError
from fsm.mail.mailboxes import Mailbox
from fsm.mail.owners import Directory, MailboxSettings
from fsm.mail.server import MailServer
from fsm.store import Plan
from fsm.store.outcome import Progress, SpoolerOutcome
from tests.mail.sink import STALL, Faulty
from tests.mail.support import ANY, CLIENTS, Client, counted, run, settings

PEM = Path(__file__).with_name("localhost.pem")


def box(name: str, *owners: str, users: tuple[str, ...] = (), inbox: str = "") -> MailboxSettings:
    return MailboxSettings(name, Path(inbox or name), owners, users)


TABLE = (box("anna", "anna@example.org", "a@example.net", users=("anna", "annas-phone")), box("ben", "example.net", "Ben@example.org"), box("rest"))


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder of this test's own, with a short name."""
    with tempfile.TemporaryDirectory(prefix="fsm") as name:
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        yield Path(name)


@pytest.mark.parametrize(("address", "whole", "without_rest"), [
    ("anna@example.org", "anna", "anna"), ("ANNA@Example.ORG", "anna", "anna"), ("anna+news@example.org", "anna", "anna"), ("a@example.net", "anna", "anna"),
    ("a+b@example.net", "anna", "anna"), ("anybody@example.net", "ben", "ben"), ("ben@example.org", "ben", "ben"), ("carl@example.org", "rest", None), ("x@sub.example.net", "rest", None),
    ("postmaster@example.net", "ben", "ben"), ("postmaster@example.org", "anna", "anna"), ("postmaster", "rest", "anna"), ("postmaster@mail.here", "rest", "anna"),
    ("postmaster@elsewhere.org", "rest", None), ("+anna@example.org", "rest", None),
])  # fmt: skip
def test_a_recipient_has_a_mailbox(address: str, whole: str, without_rest: str | None) -> None:
    assert Directory(TABLE, "mail.here", "+").of_recipient(address) == whole
    assert Directory(TABLE[:2], "mail.here", "+").of_recipient(address) == without_rest


@pytest.mark.parametrize(("user", "sender", "whole", "without_rest"), [
    ("", "anna@example.org", "anna", "anna"), ("", "x@example.net", "ben", "ben"), ("", "", "rest", None), ("", "root", "rest", None), ("annas-phone", "ben@example.org", "anna", "anna"),
    ("ben", "anna@example.org", "ben", "ben"), ("rest", "", "rest", None), ("carl", "anna@example.org", "rest", None),
])  # fmt: skip
def test_a_login_goes_before_the_sender(user: str, sender: str, whole: str, without_rest: str | None) -> None:
    assert Directory(TABLE, "mail.here", "+").of_sender(user, sender) == whole
    assert Directory(TABLE[:2], "mail.here", "+").of_sender(user, sender) == without_rest
    assert Directory(TABLE, everything="only").of_sender(user, sender) == "only"


def test_every_offender_in_the_table_is_named(tmp_path: Path) -> None:
    wrong = (
        box("a b", "x"), box("one", "a@example.org", "a b", users=("joe",)), box("two", "A@example.org", users=("joe", "three"), inbox="one"), box("three", "example.com"), box("four"), box("five"),
    )  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, mailboxes=wrong)
    for sentence in (
        "not 'a b'", "the mailbox one: an owner is an address or a domain, not 'a b'", "a@example.org is owned by one mailbox, not both one and two", "joe logs in for one mailbox, not both one and two",
        "three logs in for one mailbox, not both two and three", "one is the inbox of one mailbox, not both one and two", "not all of four, five",
    ):  # fmt: skip
        assert sentence in str(caught.value)
    users = tmp_path / "users"
    users.write_text(new_entry("joe", "secret") + "\n")
    with pytest.raises(ConfigError, match=r"has no line for these users of mailboxes: jim \(of one\), jane \(of two\)"):
        _ = settings(tmp_path, mailboxes=(box("one", "a.b", users=("joe", "jim")), box("two", users=("jane",))), users_file=users, certificate=PEM).users


# ------------------------------------------------------------------------------------------------------ a server


def texts(one: Mailbox) -> list[bytes]:
    return [file.read_bytes() for file in one.inbox.messages()]


async def until(one: Mailbox, holds: Callable[[Progress], bool]) -> None:
    async for progress in one.store.progress():
        if holds(progress):
            return
    raise AssertionError("the store was released before")


async def at(path: str) -> Client:
    client = Client(*await asyncio.open_unix_connection(path))
    CLIENTS.append(client)
    assert (await client.reply()).startswith("220")
    assert (await client.say("EHLO here")).startswith("250")
    return client


class Told(logging.Handler):
    """What the server logs, for a test in its loop that waits for a text."""

    def __init__(self) -> None:
        super().__init__()
        self._texts, self._written, self._loop = list[str](), asyncio.Event(), asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        self._texts.append(record.getMessage())
        self._loop.call_soon_threadsafe(self._written.set)

    async def until(self, text: str) -> None:
        while not any(text in one for one in self._texts):
            self._written.clear()
            await self._written.wait()

    def __enter__(self) -> Self:
        logging.getLogger("fsm.mail").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("fsm.mail").removeHandler(self)


def made(folder: Path, *names: str, **changes: Any) -> Config:
    table = {
        "anna": MailboxSettings("anna", folder / "anna", ("anna@example.org",), ("anna", "annas-phone")), "ben": MailboxSettings("ben", folder / "ben", ("example.net",)),
        "carl": MailboxSettings("carl", folder / "carl", ("carl@example.com",)),
    }  # fmt: skip
    return settings(folder, mailboxes=tuple(table[name] for name in names), **changes)


def test_each_mailbox_has_its_own_mail_and_goes_on_when_another_does_not(
    tmp_path: Path, here: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """One server, from its opening to its closing, with all that happens to its mailboxes in between."""
    caplog.set_level(logging.INFO)
    users = tmp_path / "users"
    users.write_text("\n".join(new_entry(name, "secret") for name in ("annas-phone", "anna", "eve")))
    local = here / "submission"

    async def listed(*words: str) -> str:
        capsys.readouterr()
        assert await asyncio.to_thread(main, list(words)) == 0
        return capsys.readouterr().out

    async def work(stack: ExitStack) -> None:
        more: dict[str, Any] = {"users_file": users, "certificate": PEM, "local": local, "http": ANY, "sub_addresses": "+", "plan": Plan.parse("ORDERLY 60s -> cancel 60s")}
        async with Faulty({"rcpt": refused}) as sink:
            configs = [made(tmp_path, "anna", "ben", sink=sink, **more)]
            async with MailServer(configs[0], lambda: configs[-1]) as server:
                told = stack.enter_context(Told())
                boxes = {one.store.name: one for one in server.mailboxes}
                anna, ben = boxes["anna"], boxes["ben"]

                # what is to be sent: by login, and without one by sender
                def send_as(name: str, sender: str) -> int:
                    _host, port = server.addresses["submission"].split(":")
                    with smtplib.SMTP("localhost", int(port), timeout=120) as client:
                        client.starttls(context=ssl.create_default_context(cafile=str(PEM)))
                        client.ehlo("me")
                        client.docmd("AUTH PLAIN " + b64encode(f"\0{name}\0secret".encode()).decode())
                        return client.mail(sender)[0] if name == "eve" else client.sendmail(sender, ["later@example.com"], "Subject: x\r\n\r\nx\r\n") or 250  # type: ignore[return-value]

                assert await asyncio.to_thread(send_as, "annas-phone", "whoever@example.net") == 250
                assert await asyncio.to_thread(send_as, "eve", "anna@example.org") == 550
                await until(anna, counted(deferred=1))
                program = await at(str(local))
                await program.begin("x@example.net", "never@example.com")
                assert (await program.end(b"Subject: lost\r\n\r\nx\r\n")).startswith("250 2.0.0 queued as ")
                await until(ben, counted(failed=1))
                assert (len(texts(anna)), [b"5.1.1 nobody" in one for one in texts(ben)]) == (0, [True])  # reported to whom it belongs
                assert (await program.say("MAIL FROM:<nobody@example.com>")).startswith("550 5.7.1 no mailbox here has this sender")
                assert (await program.say("MAIL FROM:<>")).startswith("550")

                # what comes in: to all whose it is, or to none
                client = await Client.at(server.addresses["inbound"])
                assert (await client.say("MAIL FROM:<x@y.z>")).startswith("250")
                assert (await client.say("RCPT TO:<carl@example.com>")).startswith("550 5.1.1")
                assert (await client.say("RSET")).startswith("250")
                await client.begin("x@y.z", "anna+list@example.org", "b@example.net", "c@example.net")
                assert (await client.end(b"Subject: to both\r\n\r\nx\r\n")).startswith("250")
                assert (texts(anna), len(texts(ben))) == ([texts(ben)[0] if b"to both" in texts(ben)[0] else texts(ben)[1]], 2)
                (ben.inbox.folder / "new").rename(tmp_path / "away")
                await client.begin("x@y.z", "anna@example.org", "b@example.net")
                assert (await client.end()).startswith("451 4.3.0")
                assert len(texts(anna)) == 1
                assert (await client.say("MAIL FROM:<x@y.z>")).startswith("250")
                assert (await client.say("RCPT TO:<b@example.net>")).startswith("451 4.3.0")
                assert (await client.say("RCPT TO:<anna@example.org>")).startswith("250")
                assert (await client.say("RSET")).startswith("250")
                (tmp_path / "away").rename(ben.inbox.folder / "new")

                # seen from outside: all of them, each by its name
                found = {str(status["name"]): path for path, status in await asyncio.to_thread(running)}
                assert [*found] == ["anna", "ben"]
                assert "several stores" in json.dumps(await _refused(found["anna"], do="status"))
                assert "anna (process" in await listed("stores", "show", "anna")
                assert "later@example.com" in (out := await listed("queue"))
                assert out.startswith("anna:\n")
                assert "ben:" not in out
                assert [json.loads(line)["store"] for line in (await listed("queue", "--json")).splitlines()] == ["anna"]
                for path, expected in (("/metrics", ['store="anna"', 'store="ben"']), ("/status", ['"name": "anna"', '"name": "ben"']), ("/ready", ["anna: ready (open)", "ben: ready (open)"])):
                    body = await _got(server, path)
                    assert [one for one in expected if one not in body] == [], path

                # one logs off, and the connections stay
                assert "ben (process" in await listed("stores", "logoff", "ben", "orderly")
                assert ben.store.session.complete
                assert (await client.say("MAIL FROM:<x@y.z>")).startswith("250")
                assert (await client.say("RCPT TO:<b@example.net>")).startswith("451 4.3.2 this mailbox")
                assert (await client.say("RCPT TO:<anna@example.org>")).startswith("250")
                assert (await program.say("MAIL FROM:<x@example.net>")).startswith("451 4.3.2 this mailbox")
                assert "ben: not ready" in await _got(server, "/ready")

                # the table changes: ben is opened again, carl comes, anna goes when she has sent all
                configs.append(made(tmp_path, "ben", "carl", sink=sink, **more))
                server.reload()
                await told.until("the mailbox carl was opened")
                await told.until("the mailbox anna is not in the configuration any more, and not empty (open: in 0, out 0, ready 0, deferred 1")
                assert (await client.say("RCPT TO:<anna@example.org>")).startswith("550")
                for recipient in ("carl@example.com", "b@example.net"):
                    assert (await client.say(f"RCPT TO:<{recipient}>")).startswith("250")
                assert (await client.say("RSET")).startswith("250")
                carl, again = server.mailboxes.named("carl"), server.mailboxes.named("ben")
                assert carl is not None
                assert again is not None
                assert again.store is not ben.store
                await client.begin("x@y.z", "carl@example.com", "b@example.net")
                assert (await client.end()).startswith("250")
                assert (len(texts(carl)), len(texts(again))) == (1, 3)
                await listed("queue", "withdraw", "all", "--store", "anna")
                await told.until("the mailbox anna was closed")
                assert [status["name"] for _, status in await asyncio.to_thread(running)] == ["ben", "carl"]
                configs.append(replace(configs[-1], mailboxes=(*configs[-1].mailboxes, box("dora", "dora@example.org", inbox="/proc/nowhere"))))
                server.reload()
                await told.until("the mailbox dora cannot be opened: cannot store in the inbox /proc/nowhere")
                assert (await client.say("MAIL FROM:<x@y.z>")).startswith("250")
                assert (await client.say("RCPT TO:<dora@example.org>")).startswith("451")

                # and all are closed together
                await client.say("RCPT TO:<carl@example.com>")
                assert (await client.say("DATA")).startswith("354")
                server.close()
                outcome = asyncio.create_task(server.served())
                await until(carl, lambda now: now.state == "draining")
                assert (await program.say("MAIL FROM:<x@example.net>")).startswith("421")
                assert (await client.end()).startswith("250")
                assert isinstance(done := await outcome, SpoolerOutcome)
                assert str(done).startswith("2 of 2 stores released after ")

    with ExitStack() as stack:
        run(work(stack))
    assert "Traceback" not in caplog.text
    of = {
        (getattr(record, "told", {}).get("event", record.getMessage()), getattr(record, "store", None))
        for record in caplog.records if record.name.startswith("fsm.mail")
    }  # fmt: skip
    assert {what for what, store in of if store is None} == {"refused", "the certificate, the users and the configuration were read anew"}
    assert {store for _, store in of} == {"anna", "ben", "carl", "dora", "anna, ben", "carl, ben", None}
    assert of >= {("deferred", "anna"), ("bounced", "ben"), ("received", "anna, ben"), ("received", "carl, ben"), ("received", "carl")}


def refused(exchange: Exchange) -> str | None:
    return next((reply for word, reply in (("never@", "550 5.1.1 nobody"), ("later@", "451 4.3.0 not now")) if word in exchange.command), None)


async def _refused(path: Path, **request: object) -> str:
    try:
        return str(await asyncio.to_thread(lambda: ask(path, **request)))
    except Exception as error:
        return str(error)


async def _got(server: MailServer, path: str) -> str:
    reader, writer = await asyncio.open_connection(*server.addresses["http"].split(":"))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    body = (await reader.read()).decode()
    writer.close()
    return body


def test_the_plan_of_one_mailbox_stops_what_comes_in_for_it_and_another_and_the_other_has_nothing_of_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty({"dot": STALL}) as sink, MailServer(made(tmp_path, "anna", "ben", sink=sink, plan=Plan.parse("ORDERLY 0s -> cancel 60s"))) as server:
            anna, ben = server.mailboxes
            client = await Client.at(server.addresses["inbound"])
            await client.begin("x@y.z", "anna@example.org", "b@example.net")
            submitter = await Client.at(server.addresses["submission"])
            await submitter.begin("b@example.net")
            assert (await submitter.end()).startswith("250")
            await sink.until_at("dot")
            server.close_one(anna)
            assert (await client.reply()).startswith("421 4.3.2")
            await until_ended(anna)
            assert (texts(anna), texts(ben), ben.store.session.inbound, ben.store.session.outbound) == ([], [], 0, 1)
            assert ben.accepting
            sink.answer_all("dot")
            await until(ben, counted(sent=1))
            server.close_one(ben)
            outcome = await server.served()
            assert (bool(outcome), [*outcome.stores]) == (True, ["anna", "ben"])  # type: ignore[union-attr]

    run(work())


async def until_ended(one: Mailbox) -> None:
    async for _ in one.store.progress():
        pass


def test_mail_of_a_store_that_is_not_in_the_table_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with MailServer(settings(tmp_path)) as server:
            await server.store.submit(b"Subject: x\r\n\r\nx\r\n", "a@example.org", ("b@example.net",))
        async with MailServer(made(tmp_path, "anna")):
            pass
        assert f"1 messages of a store that is not in the configuration, default: nobody sends them; name a mailbox so, or see `fsm queue --store {tmp_path}/store/default`" in caplog.text

    run(work())
    assert main(["queue", "--store", f"{tmp_path}/store/default"]) == 0
