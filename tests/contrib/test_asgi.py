"""A store in ASGI applications: under their test clients, and in real servers that are told to end."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, WebSocket
from litestar import (
    Litestar,
    Request as LitestarRequest,
    post,
)
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from fsm.contrib.asgi import LIFESPAN, Serving, serving
from fsm.store import AsyncStore
from tests.support import program

PLAN = "ORDERLY 5s -> cancel 3s"


def fastapi(mail: Serving) -> Any:
    app = FastAPI(lifespan=mail)
    app.add_middleware(mail.middleware)

    @app.post("/mail")
    async def take(request: Request) -> str:
        return await mail.store.submit(await request.body())

    @app.websocket("/feed")
    async def feed(socket: WebSocket) -> None:
        await mail.store.submit(b"from a socket")
        await socket.accept()
        await socket.close()

    return app


def litestar(mail: Serving) -> Any:
    @post("/mail", status_code=200)
    async def take(request: LitestarRequest[Any, Any, Any]) -> str:
        return await mail.store.submit(await request.body())

    return mail.middleware(Litestar([take], lifespan=[mail], exception_handlers=mail.exception_handlers))


def plain(mail: Serving) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        id = await mail.store.submit(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": id.encode()})

    return mail.wrap(app)


@pytest.mark.parametrize("build", [fastapi, litestar, plain])
def test_under_a_test_client(build: Callable[[Serving], Any]) -> None:
    sent: list[bytes] = []

    async def deliver(store: AsyncStore) -> None:
        async for item in store.outgoing():
            async with item:
                sent.append(item.message.content if item.message else b"")

    mail = serving(AsyncStore, PLAN, workers=[deliver])
    with pytest.raises(RuntimeError, match="with a test client enter its block"):
        _ = mail.store
    with TestClient(build(mail)) as http:
        assert (http.get("/ready").status_code, http.get("/live").status_code) == (200, 200)
        assert http.post("/mail", content=b"one").status_code == 200
        mail.store.begin_closing("ORDERLY 5s")
        assert (http.get("/ready").status_code, http.get("/live").status_code) == (503, 200)
        refused = http.post("/mail", content=b"late")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert "the store is closing" in refused.text or "the store is released" in refused.text or "final" in refused.text
    assert set(sent) <= {b"one"}


def test_a_websocket_that_comes_too_late_is_told_to_try_again() -> None:
    mail = serving(AsyncStore, PLAN)
    with TestClient(fastapi(mail)) as http:
        with http.websocket_connect("/feed"):
            pass
        mail.store.begin_closing("ORDERLY 5s")
        with pytest.raises(WebSocketDisconnect) as ended, http.websocket_connect("/feed"):
            pass
    assert ended.value.code == 1013


def test_requests_are_in_flight_where_it_is_asked_for() -> None:
    seen: list[str] = []
    mail = serving(AsyncStore, PLAN, inbound=lambda scope: str(scope["path"]).startswith("/slow"))
    app = FastAPI(lifespan=mail)
    app.add_middleware(mail.middleware)

    @app.get("/slow/{name}")
    async def slow(name: str) -> None:
        seen.extend(map(str, mail.store.blockers()))

    @app.get("/quick")
    async def quick() -> None:
        seen.extend(map(str, mail.store.blockers()))

    with TestClient(app) as http:
        http.get("/quick")
        http.get("/slow/one")
    assert len(seen) == 1
    assert "GET /slow/one" in seen[0]


def test_a_worker_that_fails_is_said_and_the_server_is_not_ready() -> None:
    failed = asyncio.Event()

    async def broken(store: AsyncStore) -> None:
        failed.set()
        raise LookupError("no smarthost")

    mail = serving(AsyncStore, PLAN, workers=[broken])
    with TestClient(fastapi(mail)) as http:
        ready = http.get("/ready")
        assert failed.is_set()
        assert ready.status_code == 503
        assert ready.text.endswith("broken has failed: LookupError: no smarthost")


def test_a_framework_that_is_too_old_for_the_lifespan_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    mail = serving(AsyncStore)
    with pytest.raises(RuntimeError, match="give `lifespan=` what `serving` returned"):
        _ = mail.store
    monkeypatch.setitem(LIFESPAN, "fastapi", (999, 1))
    with pytest.raises(ImportError, match=r"fsm\.contrib\.asgi needs fastapi 999\.1 or later, not .*: pip install 'fastapi>=999\.1'"):
        _ = mail.store


def test_a_plan_that_makes_no_sense_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="is no step of a plan"):
        serving(AsyncStore, "SOON")


# ---------------------------------------------------------------------------------------------------- real servers

APP = """
import asyncio
from fastapi import FastAPI, Request
from fsm.contrib.asgi import serving
from fsm.store import Database

async def deliver(store):
    async for item in store.outgoing():
        async with item:
            while not (FOLDER / "go").exists():
                await asyncio.sleep(0.01)
            (FOLDER / "sent" / item.message.content.decode()).touch()

from pathlib import Path
FOLDER = Path(__file__).parent
mail = serving(Database(FOLDER / "mail.db"), "NO_WAIT 60s -> cancel 3s", workers=[deliver])
app = FastAPI(lifespan=mail)
app.add_middleware(mail.middleware)

@app.post("/mail")
async def take(request: Request) -> str:
    return await mail.store.submit(await request.body())
"""
GRANIAN = ["granian", "--interface", "asgi", "--workers-kill-timeout", "60", "--port", "{port}", "--loop"]
SERVERS = {
    "uvicorn": ["uvicorn", "--port", "{port}", "app:app"],
    "uvicorn with two workers": ["uvicorn", "--workers", "2", "--port", "{port}", "app:app"],
    "uvicorn that reloads": ["uvicorn", "--reload", "--port", "{port}", "app:app"],
    "hypercorn": ["hypercorn", "--graceful-timeout", "60", "--bind", "127.0.0.1:{port}", "app:app"],
    "granian": [*GRANIAN, "asyncio", "app:app"],
    "granian on uvloop": [*GRANIAN, "uvloop", "app:app"],
}
CLOSES_ITS_SOCKETS_FIRST = {"hypercorn", "granian on uvloop"}
"""They close their sockets before the lifespan ends.  Hypercorn tells its workers to end by an event instead of a signal;
uvloop calls Granian's handler itself, whoever has taken the signal since."""


def answer(port: int, path: str, body: bytes | None = None) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", body, timeout=60) as response:
            status: int = response.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_that_is_told_to_end_says_so_delivers_and_exits(server: str, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "sent").mkdir()
    command = [one.format(port=port) for one in SERVERS[server]]
    bin = Path(sys.executable).parent
    where: dict[str, Any] = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(tmp_path)}}
    where |= {"stdout": (tmp_path / "log").open("w"), "stderr": subprocess.STDOUT}
    with where["stdout"], program(str(bin / command[0]), *command[1:], **where) as process:
        while answer(port, "/ready") != 200:
            assert process.poll() is None
        assert [answer(port, "/mail", b"%d" % number) for number in range(5)] == [200] * 5
        process.terminate()
        if server not in CLOSES_ITS_SOCKETS_FIRST:
            while (status := answer(port, "/ready")) == 200:
                pass
            assert status == 503
            assert answer(port, "/live") == 200
            assert answer(port, "/mail", b"late") == 503
        (tmp_path / "go").touch()
        process.wait()
    assert sorted(file.name for file in (tmp_path / "sent").iterdir()) == ["0", "1", "2", "3", "4"]
