"""The way of a message's octets, as fsm/store/__init__.py describes it: followed through a real server with a profiler."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

import fsm
import fsm.store
from fsm.mail.demo.sink import SmtpSink
from tests.mail.support import Client, counted, run, serving, until

ROOT = Path(fsm.__file__).parent
OCTETS = b"octets to be followed"
LOOKS = {"mail/received", "mail/syntax"}
"""Rooms that say something of the octets and pass nothing on."""
IN, OUT = (line.split(" -> ") for line in re.findall(r"^    (\S+(?: -> \S+)+)$", (fsm.store.__doc__ or "").replace(" ->\n   ", " ->"), re.MULTILINE))


def holds(value: object, depth: int = 3) -> bool:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return OCTETS in bytes(value)
    if isinstance(value, (list, tuple, dict)) and depth:
        return any(holds(one, depth - 1) for one in (value.values() if isinstance(value, dict) else value))
    return depth > 0 and holds(getattr(value, "content", None), depth - 1)


@contextmanager
def followed() -> Iterator[list[str]]:
    """The rooms that are given the octets, in the order in which they are; each call once, however often it is resumed."""
    rooms, frames = list[str](), dict[int, FrameType]()

    def profile(frame: FrameType, event: str, arg: object) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(str(ROOT)) or frames.get(id(frame)) is frame:
            return
        arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if any(holds(frame.f_locals.get(name)) for name in arguments if name != "self"):
            frames[id(frame)] = frame
            room = str(Path(code.co_filename).relative_to(ROOT).with_suffix(""))
            if room not in LOOKS and not room.startswith("mail/demo") and rooms[-1:] != [room]:
                rooms.append(room)

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield rooms
    finally:
        threading.setprofile(None)
        sys.setprofile(None)


@pytest.mark.parametrize("kept", [True, False], ids=["claimed from memory", "claimed after a restart"])
def test_a_message_goes_the_way_that_is_described_and_visits_no_room_twice(tmp_path: Path, kept: bool) -> None:
    async def submit(sink: SmtpSink | None) -> None:
        async with serving(tmp_path, sink=sink) as server:
            client = await Client.at(server.addresses["submission"])
            await client.begin()
            await client.write(b"Subject: x\r\n\r\n" + OCTETS + b"\r\n.\r\n")
            assert (await client.reply()).startswith("250")
            await until(server, counted(sent=1) if sink is not None else counted(submitted=1))

    async def work() -> None:
        with followed() as way:
            if kept:
                async with SmtpSink() as sink:
                    await submit(sink)
            else:
                await submit(None)
        ways.append(way)
        if not kept:
            with followed() as way:
                async with SmtpSink() as sink, serving(tmp_path, sink=sink) as server:
                    await until(server, counted(sent=1))
            ways.append(way)

    ways: list[list[str]] = []
    run(work())
    # what follows the socket is the outcome of the message, not its octets
    followed_ways = [way[: way.index("mail/link") + 1] if "mail/link" in way else way for way in ways]
    assert followed_ways == ([IN + OUT[2:]] if kept else [IN, OUT[1:]])
    assert all(len(way) <= 12 and len(way) == len({*way}) for way in (IN, OUT))
