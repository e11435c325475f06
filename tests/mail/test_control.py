"""The control socket: only this user reaches it, and a malformed request is answered by one sentence."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm.cli import main
from fsm.mail.control import ask, folder, running
from fsm.mail.demo.sink import Reaction
from fsm.mail.errors import ConfigError, ControlError
from fsm.mail.server import MailServer
from fsm.store import Plan
from tests.mail.sink import STALL, Faulty
from tests.mail.support import counted, run, serving, settings, until


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder of this test's own, with a short name."""
    with tempfile.TemporaryDirectory(prefix="fsm") as name:
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        yield Path(name)


def own(server: MailServer) -> Path:
    ((path, status),) = running()
    assert status["pid"] == os.getpid()
    return path


def test_only_this_user_reaches_the_socket_and_it_goes_with_the_store(here: Path, tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path):
            (path,) = (here / "fsm").glob("*.store")
            assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert list((here / "fsm").iterdir()) == []

    run(work())


def test_a_store_says_how_it_stands_and_what_is_in_its_way(tmp_path: Path) -> None:
    async def work() -> None:
        async with Faulty({"dot": STALL}) as sink, serving(tmp_path, sink=sink, plan=Plan.parse("NO_WAIT 60s -> cancel 60s")) as server:
            path = await asyncio.to_thread(own, server)
            id = await server.store.submit(b"\r\n", "a@b.c", ["d@e.f"])
            await sink.until_at("dot")
            status = await asyncio.to_thread(ask, path, do="status")
            assert (status["name"], status["state"], status["outbound"], status["in_service"]) == ("store", "open", 1, True)
            assert (status["addresses"], status["step"]) == (server.addresses, None)
            (blocker,) = status["blockers"]  # type: ignore[misc]
            assert f"outbound {id}" in blocker
            status = await asyncio.to_thread(ask, path, do="logoff", flag="QUIET")
            assert (status["state"], status["request"], status["flags"]) == ("blocked", "QUIET", ["OUTBOUND"])
            with pytest.raises(ControlError, match="no plan is under way"):
                await asyncio.to_thread(ask, path, do="next")
            await asyncio.to_thread(ask, path, do="close")
            await until(server, lambda now: now.step is not None)
            status = await asyncio.to_thread(ask, path, do="status")
            assert (status["step"], status["next_step"], status["in_service"]) == ("NO_WAIT 60s", "cancel 60s", False)
            await asyncio.to_thread(ask, path, do="next")
            outcome = await server.served()
            assert [message.id for message in outcome.uncertain] == [id]

    run(work())


@pytest.mark.parametrize("request_line", [
    b"", b"{}", b"[]", b"null", b"7", b'"do"', b"{", b"\xff\xfe", b'{"do": "fly"}', b'{"do": ["status"]}', b'{"do": "logoff"}', b"[" * 30000,
    b'{"do": "logoff", "flag": "COMPLETE"}', b'{"do": "logoff", "flag": 1}', b'{"do": "logoff", "flag": ["ORDERLY"]}', b'{"do": NaN}',
])  # fmt: skip
def test_a_malformed_request_is_answered_by_one_sentence_and_the_store_serves_on(request_line: bytes, tmp_path: Path) -> None:
    def talk(path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(path))
            with link.makefile("rwb") as lines:
                for line, good in ((request_line, False), (b'{"do": "status"}', True)):
                    lines.write(line + b"\n")
                    lines.flush()
                    answer = json.loads(lines.readline())
                    assert ("error" not in answer) == good
                    assert good or "\n" not in answer["error"]

    async def work() -> None:
        async with serving(tmp_path) as server:
            await asyncio.to_thread(talk, await asyncio.to_thread(own, server))
            assert server.store.state == "open"

    run(work())


@pytest.mark.parametrize("request_line", [b'{"do":"watch"}', b'{"do": "watch"}', b' { "how": [], "do" : "w\\u0061tch" } '])
def test_watching_is_answered_until_the_release_however_the_json_is_spelled(request_line: bytes, tmp_path: Path) -> None:
    def talk(path: Path) -> list[str]:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(path))
            with link.makefile("rwb") as lines:
                lines.write(request_line + b"\n")
                lines.flush()
                seen = [json.loads(lines.readline())["state"]]
                ask(path, do="logoff", flag="ORDERLY")
                while seen[-1] != "released":
                    seen.append(json.loads(lines.readline())["state"])
                return seen

    async def work() -> None:
        async with serving(tmp_path) as server:
            states = await asyncio.to_thread(talk, await asyncio.to_thread(own, server))
            assert states[0] == "open"

    run(work())


def test_a_line_without_end_is_cut_off(tmp_path: Path) -> None:
    def talk(path: Path) -> bytes:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(path))
            try:
                for _ in range(64):
                    link.sendall(b"x" * 65536)
                return link.recv(100)
            except (BrokenPipeError, ConnectionResetError):
                return b""

    async def work() -> None:
        async with serving(tmp_path) as server:
            assert await asyncio.to_thread(talk, await asyncio.to_thread(own, server)) == b""

    run(work())


def test_a_store_whose_storage_fails_answers_with_the_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with serving(tmp_path) as server:
            path = await asyncio.to_thread(own, server)
            await asyncio.to_thread(server.store.let_go)  # its database is closed, as when it is lost
            with pytest.raises(ControlError, match=r"outbox\.db is not open"):
                await asyncio.to_thread(ask, path, do="status")

    run(work())
    assert "Traceback" not in caplog.text


def test_the_socket_of_a_killed_store_is_removed_by_whoever_finds_it(here: Path) -> None:
    left = folder() / "1-dead.store"
    with socket.socket(socket.AF_UNIX) as link:
        link.bind(str(left))
    assert running() == []
    assert not left.exists()


@pytest.mark.parametrize("wrong", ["file", "open to others", "link"])
def test_a_folder_that_is_not_ours_alone_is_refused(wrong: str, here: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = here / "fsm"
    if wrong == "file":
        place.touch()
    elif wrong == "link":
        place.symlink_to(tmp_path)
    else:
        place.mkdir()
        place.chmod(0o777)
    with pytest.raises(ControlError, match="set XDG_RUNTIME_DIR"):
        folder()

    async def work() -> None:
        async with serving(tmp_path) as server:  # it serves all the same
            assert server.store.state == "open"

    run(work())
    assert "`fsm stores` will not see this server" in caplog.text


def test_a_folder_with_too_long_a_name_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 80)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    assert folder() == Path(tempfile.gettempdir(), f"fsm-{os.getuid()}")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(long))
    with pytest.raises(ControlError, match="is too long for sockets"):
        folder()


# ---------------------------------------------------------------------------------------------------- the command


def _asked(*words: str) -> int:
    return main(["stores", *words])


def test_the_command_lists_and_asks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        async with serving(tmp_path, name="mine"):
            assert await asyncio.to_thread(_asked) == 0
            assert capsys.readouterr().out.startswith(f"mine (process {os.getpid()}): open; inbound 127.0.0.1:")
            assert await asyncio.to_thread(_asked, "--json") == 0
            assert json.loads(capsys.readouterr().out)["name"] == "mine"
            assert await asyncio.to_thread(_asked, "logoff", "mine", "fly") == 1
            assert "a flag is one of NO_WAIT" in capsys.readouterr().err
            async with serving(tmp_path / "other", name="mine"):
                assert await asyncio.to_thread(_asked, "close", "mine") == 2
                assert "2 stores are called mine" in capsys.readouterr().err
            assert await asyncio.to_thread(_asked, "logoff", str(os.getpid()), "quiet") == 0
            assert "released on QUIET" in capsys.readouterr().out

    run(work())


@pytest.mark.parametrize(("words", "expected"), [
    (["logoff", "x"], "say `logoff NAME FLAG`"), (["close", "x", "QUIET"], "say `logoff NAME FLAG`"), (["close"], "name a store"),
    (["close", "x"], "no store is called x; running: none"), (["list", "x"], "to list takes no name"),
])  # fmt: skip
def test_the_command_says_what_it_misses(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _asked(*words) in (1, 2)
    assert expected in capsys.readouterr().err


def test_nothing_running_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert (_asked(), capsys.readouterr().out) == (0, "no store is running\n")
    assert (_asked("--json"), capsys.readouterr().out) == (0, "")


def test_somebody_decides_about_what_was_put_aside(here: Path, tmp_path: Path) -> None:
    async def case() -> None:
        async with Faulty({"dot": Reaction(None, "close", keep=True)}) as sink, serving(tmp_path, sink=sink, uncertain="hold", timeout=5.0) as server:
            ids = [await server.store.submit(b"Subject: x\r\n\r\nx\r\n", "a@example.org", ("b@example.net",)) for _ in range(2)]
            await until(server, counted(held=2))
            ((path, status),) = await asyncio.to_thread(running)
            assert [line.split(" ")[0] for line in status["aside"]] == ids  # type: ignore[attr-defined]
            assert status["held"] == 2
            sink.script.clear()
            await asyncio.to_thread(lambda: ask(path, do="resume", id=ids[0]))
            await until(server, counted(sent=1))
            after = await asyncio.to_thread(lambda: ask(path, do="withdraw", id=ids[1]))
            assert (after["held"], after["aside"]) == (0, [])
            with pytest.raises(ControlError, match=r"no message .* is held or failed"):
                await asyncio.to_thread(lambda: ask(path, do="resume", id=ids[1]))

    run(case())


def test_the_end_of_a_store_with_many_who_ask_is_quiet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with serving(tmp_path) as server:
            (path,) = folder().glob("*.store")
            asking = [await asyncio.open_unix_connection(str(path)) for _ in range(10)]
            for _, writer in asking:
                writer.write(b'{"do": "watch"}\n' + b'{"do": "status"}\n' * 50)
            for reader, _ in asking:
                await reader.readline()
            server.close()
            await server.served()
        for reader, writer in asking:
            await reader.read()
            writer.close()

    run(work())
    assert [record.message for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


def test_a_socket_with_a_bad_answer_is_named_and_the_others_are_listed(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = [b"[1, 2]\n", b'{"name": "x"}\n', b"\xff\n", b'{"error": "\\u202e\\u001b[2J"}\n']

    async def bad(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answers.pop(0))
        writer.close()

    async def work() -> None:
        async with serving(tmp_path, name="good"):
            odd = await asyncio.start_unix_server(bad, str(folder() / "odd.store"))
            while answers:
                assert await asyncio.to_thread(_asked) == 0
                out, err = capsys.readouterr()
                assert out.startswith("good (process ")
                assert err.startswith("fsm stores: ")
                assert err.rstrip("\n").isprintable()
            odd.close()

    run(work())


@pytest.mark.parametrize("name", ["\x1b[2J", "a\nb", "\u202ex", "x" * 101])
def test_a_name_that_is_not_printable_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="printable"):
        settings(tmp_path, name=name)
