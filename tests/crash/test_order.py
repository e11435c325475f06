"""What is on the disk when the 250 is sent, as the system sees it: the server's calls, in order (`strace`).

After a power failure only what was synchronised is there, and killing a process does not show that; this does.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.crash.scene import Scene, play

CALLS = "fsync,fdatasync,pwrite64,write,writev,link,linkat,rename,renameat,sendto,sendmsg"

SAYS = ("sendto", "sendmsg", "write", "writev")
"""What an answer is sent with, by asyncio's own loop or by uvloop."""


def calls(trace: Path) -> list[tuple[str, str]]:
    """The calls in the order in which they returned, or were begun when the trace shows only that; name and the rest."""
    begun: dict[str, str] = {}
    found = []
    for line in trace.read_text(errors="replace").splitlines():
        pid, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest.removesuffix("<unfinished ...>")
            continue
        if rest.startswith("<... "):
            rest = begun.pop(pid, "") + rest.partition("resumed>")[2]
        name, _, words = rest.partition("(")
        found.append((name, words))
    return found


def place(found: list[tuple[str, str]], names: str, pattern: str, *, before: int, after: int = -1) -> int:
    """Where the last such call before this place is; it must be after that other place."""
    found = [n for n, (name, words) in enumerate(found[:before]) if name in names.split() and re.search(pattern, words)]
    assert found, f"no {names} of {pattern} before the answer"
    assert found[-1] > after, f"the last {names} of {pattern} comes too early: {found[found[-1]]}"
    return found[-1]


def test_what_is_answered_250_is_on_the_disk(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("what a process asks the system for can be seen with strace only (apt-get install strace)")
    trace = tmp_path / "trace"

    async def act(scene: Scene) -> None:
        before = (strace, "-f", "-y", "-s", "200", "-e", f"trace={CALLS}", "-o", str(trace))
        async with await scene.serve(sends=False, before=before, plan="ORDERLY 0s -> cancel 30s") as served:
            for way in ("submission", "inbound"):
                await scene.accepted(served, way)
            await scene.finish(served)

    play(tmp_path, act)
    found = calls(trace)
    answers = {way: next(n for n, (name, words) in enumerate(found) if name in SAYS and f"250 2.0.0 {way} as" in words) for way in ("queued", "stored")}  # fmt: skip

    submitted = answers["queued"]
    written = place(found, "pwrite64", r"outbox\.db-wal>", before=submitted)
    place(found, "fsync fdatasync", r"outbox\.db-wal>", before=submitted, after=written)

    received = answers["stored"]
    written = place(found, "write", r"inbox/tmp/", before=received, after=submitted)
    synced = place(found, "fsync fdatasync", r"inbox/tmp/", before=received, after=written)
    linked = place(found, "link linkat", r"inbox/new/", before=received, after=synced)
    place(found, "fsync fdatasync", r"inbox/new>", before=received, after=linked)
