"""Storages that stop answering, for real, and answer again only when a test is over.

- "stopped": each process of a PostgreSQL server has got SIGSTOP
- "no standby": each commit of the server waits for a synchronous standby, and there is none
- "locked": another program is in the middle of a transaction that writes the SQLite file
- "slow disk": `fsync` does not return, by a library that is preloaded
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.store.conftest import Server

__all__ = ["FILES", "SERVERS", "Silence", "of_file", "of_server"]

SERVERS = ("stopped", "no standby")
FILES = ("locked", "slow disk")
SLOW = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int slow(const char *name, int file) {
    const char *path = getenv("SLOW_WHILE");
    while (path && access(path, F_OK) == 0) usleep(1000);
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(file);
}
int fsync(int file) { return slow("fsync", file); }
int fdatasync(int file) { return slow("fdatasync", file); }
"""


@dataclass
class Silence:
    """A storage that is silent from `begin` to `end`.  Its users need these environment variables."""

    begin: Callable[[], object]
    end: Callable[[], object]
    env: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def of_server(way: str, server: Server) -> Iterator[Silence]:
    """Make this server silent in this way.  All of its databases are."""

    def each(number: signal.Signals) -> None:
        main = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
        if number == signal.SIGSTOP:
            os.kill(main, number)  # first, and continued last: while it is stopped no process comes or goes from the list
        for pid in Path(f"/proc/{main}/task/{main}/children").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), number)
        if number == signal.SIGCONT:
            os.kill(main, number)

    def standby(name: str) -> None:
        server.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        server.run("pg_ctl", "reload", "-D", "data")

    if way == "stopped":
        silence = Silence(lambda: each(signal.SIGSTOP), lambda: each(signal.SIGCONT))
    else:
        silence = Silence(lambda: standby("gone"), lambda: standby(""))
    try:
        yield silence
    finally:
        silence.end()


@contextmanager
def of_file(way: str, database: Path, folder: Path) -> Iterator[Silence]:
    """Make this SQLite file silent in this way; `folder` is for what that needs."""
    if way == "slow disk":
        source, library, flag = folder / "slow.c", folder / "slow.so", folder / "slow"
        source.write_text(SLOW)
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        yield Silence(flag.touch, lambda: flag.unlink(missing_ok=True), {"LD_PRELOAD": str(library), "SLOW_WHILE": str(flag)})
        return
    others: list[sqlite3.Connection] = []

    def lock() -> None:
        others.append(sqlite3.connect(database, isolation_level=None))
        others[0].execute("BEGIN EXCLUSIVE")

    def unlock() -> None:
        while others:
            others.pop().close()

    try:
        yield Silence(lock, unlock)
    finally:
        unlock()
