"""`fsm tour`: a scripted store session walked through the five flags, Release, and a shared store.

Every line is what a live session answered: the event, the state after it, the output flags; below it the reason of the
row that was taken, or why the event was refused.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from textwrap import wrap
from typing import Final

from fsm.session import Session
from fsm.verdict import Refused

__all__ = ["add_arguments", "run"]

BUSY: Final = "inbound_begin,submit,submit,outbound_begin"

WALKS: Final = (
    ("QUIET: only if there is no activity; what is in the way is returned", "submit",
     "logoff_quiet,outbound_begin,outbound_sent,logoff_quiet"),
    ("ABORT: wait, changing nothing, until nothing is in flight", BUSY,
     "logoff_abort,inbound_received,outbound_sent"),
    ("ORDERLY: finish what is in flight, start nothing more", BUSY,
     "logoff_orderly,outbound_begin,inbound_received,outbound_sent"),
    ("NO_WAIT: send what is ready, take in nothing more", BUSY,
     "logoff_no_wait,submit,outbound_sent,outbound_begin,inbound_received,outbound_sent"),
    ("PURGE: as NO_WAIT, after a flush of the deferred", "submit,outbound_begin,outbound_deferred",
     "logoff_purge,outbound_begin,outbound_sent"),
    ("Release without a logoff asks for ABORT", "inbound_begin", "release,inbound_received,release"),
    ("A shared store: another process has it open, so the work is its", BUSY, "peer_opened,logoff_orderly"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The tour takes none."""


def run(args: argparse.Namespace) -> int:
    """Walk all scripts; exit status 1 if one of them did not end in COMPLETE."""
    from fsm.logoff import StoreSession

    released = 0
    for title, before, walk in WALKS:
        session = StoreSession()
        print(f"\n{title}")
        for event in before.split(","):
            session.fire(event)
        print(f"  after {before.replace(',', ', ')}:")
        for line in _walked(session, walk.split(",")):
            print(line)
        released += session.complete
    print(f"\n{released} of {len(WALKS)} sessions ended in COMPLETE.")
    print("Next: fsm replay --help, and the README for the machine in your own program.")
    return 0 if released == len(WALKS) else 1


def _walked(session: Session, events: list[str]) -> Iterator[str]:
    for event in events:
        verdict = session.may(event)
        try:
            session.fire(event)
            told = verdict.row.why if verdict.row is not None else ""
        except Refused as refusal:
            told = f"refused: {refusal.verdict.reason}"
        flags = " ".join(session.chart.flag_names(session.flags)) or "-"
        yield f"  {event:<17} {session.state:<9} {flags}"
        yield from wrap(told, 79, initial_indent="      ", subsequent_indent="      ")
