"""The control socket of a running server, over which other processes of the same user read its stores and close them.

Theory.
1. Each running server has a Unix socket of mode 0600 in a folder of mode 0700 that belongs to this user:
   `$XDG_RUNTIME_DIR/fsm`, or `fsm-UID` in the folder for temporary files.  A folder of another user is refused.
2. Requests and answers are JSON objects, one a line.  `{"do": "status"}`, `{"do": "logoff", "flag": "ORDERLY"}`,
   `{"do": "release"}`, `{"do": "close"}` (start the plan), `{"do": "next"}` (begin the plan's next step),
   `{"do": "retry", "id": …}`, `hold`, `resume` and `withdraw` (decide about a message).  Each is answered with the
   status after it, or with `{"error": sentence}`, and does not wait for messages.  `{"do": "queue", "most": 1000}` is
   answered with the messages, `{"do": "show", "id": …}` with one of them, and `{"do": "watch"}` with the status after
   every change, until the store is released.  `"store": NAME` says which store is meant; it may be left out where there
   is one.  `{"do": "stores"}` is answered with the status of each.
3. A killed process leaves its socket behind.  The next process that asks there gets no answer, and removes it.

The asking half (`running`, `ask`) loads neither the server nor a mail library.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fsm.logoff.flags import Logoff, MapiError
from fsm.mail.errors import ControlError
from fsm.mail.queue import ACTS, entry_with_header, listed
from fsm.mail.status import status_of
from fsm.store.errors import RuntimeFolderError, StorageError, StoreClosing
from fsm.store.runtime_folder import runtime_folder
from fsm.verdict import Refused

if TYPE_CHECKING:
    from fsm.mail.config import Config
    from fsm.mail.mailboxes import Mailbox, Mailboxes

__all__ = ["Control", "ask", "folder", "listed_names", "meant", "running"]

log: Final = logging.getLogger("fsm.mail")
LONGEST: Final = 64 * 1024
LONGEST_ANSWER: Final = 1 << 28
PATIENCE: Final = 5.0
"""Seconds that a running store may take to answer."""
MOST_NAMES: Final = 10
"""Names in a sentence."""


def folder() -> Path:
    """Return the folder of this user's sockets.  ControlError if it belongs to another user."""
    try:
        return runtime_folder()
    except RuntimeFolderError as error:
        raise ControlError(str(error)) from error


class Control:
    """The control socket of a server.  `addresses` are those of its ports; `close` starts the plan of a mailbox."""

    def __init__(
        self, mailboxes: Mailboxes, config: Config, addresses: Mapping[str, str], close: Callable[[Mailbox], object]
    ) -> None:
        self._mailboxes, self._addresses, self._close_store = mailboxes, addresses, close
        self._folder = str(config.folder.resolve())
        self._listening: asyncio.Server | None = None
        self._asking: dict[asyncio.StreamWriter, asyncio.Task[object] | None] = {}
        self.path: Path | None = None

    async def open(self) -> None:
        """Listen.  If the socket cannot be made, log a warning; the store serves without it."""
        try:
            path = folder() / f"{os.getpid()}-{secrets.token_hex(4)}.store"
            bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            before = os.umask(0o177)
            try:
                bound.bind(str(path))
            finally:
                os.umask(before)
            self._listening = await asyncio.start_unix_server(self._answer_all, sock=bound, limit=LONGEST)
            self.path = path
        except (ControlError, OSError) as error:
            log.warning("`fsm stores` will not see this server: %s", error)

    async def close(self) -> None:
        """Stop listening, stop answering, and remove the socket."""
        if self._listening is not None:
            self._listening.close()
        answering = [task for task in self._asking.values() if task is not None]
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._asking[writer] = asyncio.current_task()
        try:
            while line := await reader.readline():
                if (watched := self._to_watch(line)) is not None:
                    async for _ in watched.store.progress():
                        writer.write(json.dumps(await self._status(watched)).encode() + b"\n")
                        await writer.drain()
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ValueError, OSError, StorageError, asyncio.CancelledError):
            pass  # a closed storage, a line without end, a client that has gone, or the end; asyncio would report them
        finally:
            del self._asking[writer]
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
            if request.get("do") == "stores":
                return {"stores": [await self._told(one) for one in self._mailboxes]}
            return await self._do(self._meant(request.get("store")), request)
        except (ValueError, AttributeError, RecursionError):
            return {"error": 'a request is a line of JSON, such as {"do": "status"}'}
        except (Refused, StoreClosing, MapiError, StorageError, ControlError) as error:
            return {"error": str(error)}

    async def _do(self, one: Mailbox, request: dict[str, Any]) -> dict[str, object]:
        act, store = request.get("do"), one.store
        if act == "logoff":
            flag = request.get("flag")
            if not isinstance(flag, str) or flag not in Logoff.__members__:
                return {"error": f"a flag is one of {', '.join(Logoff.__members__)}, not {flag!r}"}
            await store.logoff(Logoff[flag])
        elif act in ACTS:
            await getattr(store, act)(str(request.get("id")))
        elif act == "queue":
            return await listed(store, int(request.get("most", 0)))
        elif act == "show":
            message = await store.message(str(request.get("id")))
            if message is None:
                return {"error": f"there is no message {request.get('id')}"}
            return {"message": entry_with_header(message, store.clock.time())}
        elif act == "release":
            await store.release()
        elif act == "close":
            self._close_store(one)
            await asyncio.sleep(0)  # the server's task begins the plan
        elif act == "next":
            if store.current_step is None:
                return {"error": "no plan is under way; ask to close first"}
            store.next_step()
        elif act not in ("status", "watch"):
            acts = f"stores, status, watch, logoff, release, close, next, queue, show, {', '.join(ACTS[:-1])}"
            return {"error": f"a store can be asked for {acts} or {ACTS[-1]}, not {act!r}"}
        return await self._status(one)

    def _meant(self, name: object) -> Mailbox:
        """Return the mailbox of this name, or the only one.  ControlError."""
        if name is None and len(self._mailboxes) == 1:
            return next(iter(self._mailboxes))
        if isinstance(name, str) and (found := self._mailboxes.named(name)) is not None:
            return found
        raise ControlError(
            "this server has several stores; say which" if name is None else f"no store is called {name!r} here"
        )

    async def _status(self, one: Mailbox) -> dict[str, object]:
        return {
            **await status_of(one.store),
            "folder": self._folder,
            "pid": os.getpid(),
            "addresses": dict(self._addresses),
        }

    async def _told(self, one: Mailbox) -> dict[str, object]:
        """Return the status, or what is wrong."""
        try:
            return await self._status(one)
        except StorageError as error:
            return {"error": str(error)}

    def _to_watch(self, line: bytes) -> Mailbox | None:
        with suppress(ValueError, RecursionError, AttributeError, ControlError):
            request = json.loads(line)
            if request.get("do") == "watch":
                return self._meant(request.get("store"))
        return None


# -------------------------------------------------------------------------------------------------------- asking


def ask(path: Path, **request: object) -> dict[str, object]:
    """Return the answer of the store at this socket.  ControlError if it gives none, or an error."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(PATIENCE)
            link.connect(str(path))
            link.sendall(json.dumps(request).encode() + b"\n")
            with link.makefile("rb") as answers:
                answer = json.loads(answers.readline(LONGEST_ANSWER) or b"null")
    except (ConnectionRefusedError, FileNotFoundError):
        with suppress(OSError):
            path.unlink()
        raise ControlError(f"no store answers at {path} any more") from None
    except (OSError, ValueError) as error:
        raise ControlError(f"the store at {path} does not answer: {error}") from None
    if not isinstance(answer, dict):
        raise ControlError(f"the store at {path} has just gone")
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    return answer


STATUS_TYPES: Final[dict[str, tuple[type, ...]]] = {
    **dict.fromkeys(("name", "folder", "state"), (str,)),
    **dict.fromkeys(("pid", "inbound", "outbound", "ready", "deferred", "peers", "held"), (int,)),
    **dict.fromkeys(("request", "step", "next_step"), (str, type(None))),
    **dict.fromkeys(("blockers", "aside", "flags"), (list,)),
    "addresses": (dict,), "time_left": (int, float, type(None)),
}  # fmt: skip
"""What a status holds, as far as others rely on it."""


def running(problems: list[str] | None = None) -> list[tuple[Path, dict[str, object]]]:
    """Return this user's running stores, the socket and the status of each, sorted by name and process.

    A socket or a store that gives no proper answer is left out, and a sentence about it is added to `problems`.
    """
    found, wrong = [], []
    for path in sorted(folder().glob("*.store")):
        try:
            stores = ask(path, do="stores").get("stores")
            if not isinstance(stores, list):
                raise ControlError(f"the answer of {path} tells of no stores")
        except ControlError as error:
            if path.exists():
                wrong.append(str(error))
            continue
        for status in stores:
            if problem := _problem(path, status):
                wrong.append(problem)
            else:
                found.append((path, status))
    if problems is not None:
        problems += dict.fromkeys(wrong)
    return sorted(found, key=lambda one: (str(one[1]["name"]), str(one[1]["pid"])))


def _problem(path: Path, status: object) -> str | None:
    """Return what is wrong with the status of a store, or None."""
    if not isinstance(status, dict):
        return f"the answer of {path} is no status: {status!r:.50}"
    if "error" in status:
        return str(status["error"])
    wrong = [name for name, types in STATUS_TYPES.items() if not isinstance(status.get(name), types)]
    return f"the answer of {path} is no status: its {wrong[0]} is {status.get(wrong[0])!r:.50}" if wrong else None


def meant(
    found: Sequence[tuple[Path, dict[str, object]]], name: str | None
) -> list[tuple[Path, dict[str, object]]]:
    """Return the running stores that a name means: NAME, its PROCESS, PROCESS/NAME, its FOLDER or FOLDER/NAME."""
    there = str(Path(name).resolve()) if name is not None else None
    return [
        (path, status) for path, status in found
        if name in (None, status["name"], str(status["pid"]), f"{status['pid']}/{status['name']}")
        or there in (status["folder"], f"{status['folder']}/{status['name']}")
    ]  # fmt: skip


def listed_names(found: Sequence[tuple[Path, dict[str, object]]]) -> str:
    """Return the names of running stores for a sentence, a few of them."""
    names = [f"{status['name']} ({status['pid']})" for _, status in found]
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return f"{', '.join(names[:MOST_NAMES])}{more}" if names else "none"
