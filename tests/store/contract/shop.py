"""Another process with a store for threads, which does what it is asked to, one JSON line each.

    shop = Shop(where, host="b");  shop.ask("submit", count=3);  shop.say("close", plan="NO_WAIT 30s");  shop.hear()
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

from fsm.logoff import Logoff
from tests.store.contract.child import Child


class Shop(Child):
    """The parent's side."""

    module = "tests.store.contract.shop"


def main() -> None:
    """The child's side."""
    from fsm.store import Database, Store

    where, options = sys.argv[1], json.loads(sys.argv[2])
    store = Store(Database(where, **options))
    held: list[Any] = []

    def send(path: str) -> None:
        for item in store.outgoing(provider="test"):
            with item:
                assert item.message is not None
                with Path(path).open("ab") as file:
                    file.write(item.message.content + b"\n")

    def claim() -> None:
        for item in store.outgoing():
            held.append(item.__enter__())
            taken.set()
            threading.Event().wait()

    for line in sys.stdin:
        told = json.loads(line)
        match told["do"]:
            case "state":
                answer: Any = [store.state, store.session.ready, store.session.deferred, store.session.peers]
            case "submit":
                answer = [store.submit(text.encode()) for text in told["texts"]]
            case "send":
                threading.Thread(target=send, args=(told["path"],), daemon=True).start()
                answer = True
            case "claim":
                taken = threading.Event()
                threading.Thread(target=claim, daemon=True).start()
                answer = taken.wait(60)
            case "logoff":
                outcome = store.logoff(Logoff[told["flag"]])
                answer = [outcome.released, outcome.to_peers, outcome.queued]
            case "close":
                outcome = store.close(told["plan"])
                answer = [outcome.released, outcome.to_peers, outcome.queued]
            case "until":
                answer = next(True for p in store.progress() if [p.ready, p.peers] == told["is"])
            case "end":
                store.let_go()
                answer = True
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
