"""A journal of a session: written while it lives, replayed afterwards to the first divergence.

In the explorer: #submit,outbound_begin,logoff_no_wait,outbound_sent
"""

import tempfile
from pathlib import Path

from fsm.journal import Recorder, replay
from fsm.logoff import LOGOFF, StoreSession

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "session.jsonl")
    session = StoreSession()
    with Recorder(LOGOFF, file) as journal:
        journal.attach(session, "a")  # accepted steps are written, whoever fires them
        session.submit()
        session.outbound_begin()
        session.logoff_no_wait()
        journal.fire(session, "outbound_sent")
    for line in file.read_text().splitlines():
        print(line[:100] + " …")
    with file.open("rb") as source:
        print("diverges:", replay(LOGOFF, source))

    # somebody claims that the message was deferred
    file.write_text(file.read_text().replace('"event": "outbound_sent"', '"event": "outbound_deferred"'))
    with file.open("rb") as source:
        divergence = replay(LOGOFF, source)
    assert divergence is not None
    print(f"line {divergence.line}, {divergence.event}:")
    for name in divergence.expected:
        if divergence.expected[name] != divergence.found[name]:
            print(f"  {name}: {divergence.expected[name]!r} is written, it comes to {divergence.found[name]!r}")
