"""Another process with a store open: it executes commands, one JSON line each, and can be killed at any moment.

    child = Child(where, host="b", lease=0.5)
    child.ask("open");  child.ask("submit", count=3);  child.kill()
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

PATIENCE = 120
"""Seconds after which a test gives up."""


class Child:
    """The parent's side."""

    module = "tests.store.contract.child"

    def __init__(self, where: str, *, limit: int | None = None, user: int | None = None, **options: Any) -> None:
        words = [sys.executable, "-m", self.module, where, json.dumps(options), json.dumps([limit, user])]
        root = Path(__file__).parents[3]
        self.process = subprocess.Popen(words, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.process.pid

    def say(self, do: str, **options: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **options}).encode() + b"\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], PATIENCE)[0], "the child does not answer"
        line = self.process.stdout.readline()
        assert line, f"the child ended with {self.process.wait()}"
        return json.loads(line)

    def ask(self, do: str, **options: Any) -> Any:
        self.say(do, **options)
        return self.hear()

    def kill(self, *, reap: bool = True) -> None:
        self.process.kill()
        if reap:
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:
                        pass


def main() -> None:
    """The child's side."""
    from fsm.store import Database, StorageError
    from fsm.store.message import Message, new_id
    from tests.store.contract.one import One

    where, options, (limit, user) = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
    if limit is not None:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if user is not None:
        import sqlalchemy

        sqlalchemy.create_engine("sqlite://").connect().close()  # loads what this user might not be allowed to read
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    one = One(Database(where, **options))

    def answer_with(answer: Any) -> None:
        print(json.dumps(answer), flush=True)

    def submit(tx: Any, count: int, size: int = 10) -> list[str]:
        ids = [new_id() for _ in range(count)]
        for id in ids:
            tx.submit(Message(id, os.urandom(size), "s", ("r",), 1.0))
        tx.record("{}", [json.dumps({"session": "child", "start": {}, "ids": ids})])
        one.ready += count
        return ids

    def act(do: str, options: dict[str, Any]) -> Any:
        if do == "open":
            look = one.open()
            return {"ready": look.ready, "deferred": look.deferred, "lapsed": [m.id for m in look.lapsed], "peers": look.peers}
        if do == "close":
            return one.close()
        if do == "watch":
            return one.storage.watch(lambda _: None)
        if do == "submit":
            with one.transaction() as tx:
                return submit(tx, **options)
        if do == "claim":
            return one.claim(1000)
        if do == "leave":  # what a release does: count the peers and leave, in one transaction
            with one.transaction() as tx:
                peers = tx.look(adopt=False).peers
                tx.leave(one.ready, one.deferred)
            return peers
        if do == "inside":  # change everything, and never commit
            with one.transaction() as tx:
                tx.claim(1000)
                submit(tx, 3)
                tx.withdraw("nothing")
                answer_with("inside")
                sys.stdin.readline()
        if do == "batches":  # until killed
            while True:
                with one.transaction() as tx:
                    ids = submit(tx, **options)
                answer_with(ids)
        raise ValueError(do)

    for line in sys.stdin:
        options = json.loads(line)
        try:
            answer = act(options.pop("do"), options)
        except StorageError as error:
            answer = {"error": str(error), "busy": error.busy}
        answer_with(answer)


if __name__ == "__main__":
    main()
