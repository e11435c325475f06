"""The gallery of the store-logoff machine: the files that `make diagrams` writes to `diagrams/`, and their text.

    python -m fsm.logoff.gallery [FOLDER]

`fsm/draw/gallery.py` draws the pictures; this module has the text that cannot be generated, and writes the files.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fsm.analysis.paths import Atlas
from fsm.draw.errors import DrawingError
from fsm.draw.gallery import MARKER, Gallery, files
from fsm.logoff.chart import ENDINGS, FLAGS, IN_FLIGHT, IN_THE_WAY, LOGOFF
from fsm.logoff.citations import SENTENCES
from fsm.logoff.properties import BOUNDS

__all__ = ["GALLERY", "SUMS", "atlas", "main", "pictures"]

SUMS: Final = {"in flight": IN_FLIGHT, "in the way": IN_THE_WAY}
"""The sums of counters with a name in `spec.md`."""

SUFFIXES: Final = (".svg", ".dot", ".mmd", ".md")

GALLERY: Final = Gallery(
    title="The store logoff",
    about=("How a session of a message store is logged off, as one machine: the pictures are drawn from the table in "
           "[`fsm/logoff/chart.py`](../fsm/logoff/chart.py), which is what runs. What the words mean is in "
           "[`spec.md`](../fsm/logoff/spec.md)."),
    again="make diagrams",
    events=(
        ("logoff_quiet", "QUIET: log off only if there is no activity",
         ("Granted with nothing in flight and nothing queued, or with peers. Otherwise the session is blocked and "
          "the request ends when the activity does: the store is open again, so under QUIET no arrow leads from "
          "`blocked` to `released` but the one with peers. During a drain QUIET is a question and changes nothing.")),
        ("logoff_abort", "ABORT: log off as soon as nothing is in flight",
         ("From `open` and `blocked` it waits in `blocked`, changing nothing for the transports. During a drain it "
          "stays a drain, which no longer waits for the queue.")),
        ("logoff_orderly", "ORDERLY: finish what is in flight",
         "The drain takes nothing in and starts nothing; queued mail stays in the durable queue."),
        ("logoff_no_wait", "NO_WAIT: send what is ready, then log off",
         "The drain takes nothing in, and starts what was ready; the deferred stay in the durable queue."),
        ("logoff_purge", "PURGE: flush the deferred, then as NO_WAIT",
         "Granted at once only with nothing in the way, for the flush makes every deferred message ready."),
        ("release", "Release: the last reference goes",
         ("Where no logoff is under way it asks for ABORT. During a drain it changes nothing, and after COMPLETE it "
          "is the only call that is still answered.")),
    ),
    counters=(
        ("peers", "The shared store: another process has it open",
         ("With peers every request is granted at once, from every state: the work is the peers'. Peers come and go "
          "in every state but `released`.")),
    ),
    odd=(
        (("blocked.abort_submit.last", "blocked.abort_deferred.last",
          *(f"blocked.{event}.quiet" for event in ENDINGS if event != "outbound_deferred")),
         "`blocked` → `open`",
         ("QUIET is a refusal that waits for nothing: when the last activity has ended, nothing refuses any more, "
          "and nothing was granted either (S15, S56). A message that is deferred is still in the way, so that event "
          "has no row.")),
        (tuple(f"blocked.{event}.last" for event in ENDINGS), "`blocked` → `released` without a new request",
         "A waiting ABORT logs the store off when what was in flight has ended, queued mail or not (S6, S8)."),
        (("blocked.logoff_abort.granted", "blocked.logoff_orderly.granted", "blocked.logoff_no_wait.granted",
          "blocked.release.granted"), "`blocked` → `released` by a request",
         ("Blocked on QUIET by queued mail alone: nothing is in flight, so every request that does not wait for that "
          "mail is granted at once. There is no such row for PURGE, which waits for all of it.")),
        (("draining.logoff_abort.granted", "draining.logoff_orderly.granted"), "`draining` → `released` by a request",
         ("A NO_WAIT or PURGE drain may be waiting for ready mail alone; the last flag wins (S67), and these two do "
          "not wait for the queue. NO_WAIT and PURGE are never granted there: something is always in flight or ready "
          "in their drain.")),
        (("draining.abort_submit.last",), "`draining` → `released` by a withdrawal",
         "The last message that a NO_WAIT or PURGE drain waited for was withdrawn."),
        (("draining.logoff_quiet", "draining.release"), "requests that change nothing",
         "A drain cannot be taken back: QUIET only asks (S15, S16), and Release finds the logoff asked for (S32)."),
        (tuple(f"{state}.{event}.peers" for state in ("open", "blocked", "draining") for event in FLAGS),
         "to `released` with mail in flight",
         ("With peers the call is ignored by the spooler and COMPLETE is returned (S28): the counts are handed over, "
          "and what is in flight in this process is finished by the program that embeds the session.")),
        (("released.release",), "`released` answers `release`",
         "Only Release may follow COMPLETE (S21), as often as there are references."),
    ),
    left_out=(
        ("Refusals have no arrow: an event that no row allows changes nothing. There are no arrows back from "
         "`draining` because there are no such rows."),
        ("Three of the four outputs: `LOGOFF_INBOUND`, `LOGOFF_OUTBOUND` and `LOGOFF_OUTBOUND_QUEUE` follow from the "
         "counts in every state. `LOGOFF_COMPLETE` stands in the state it means."),
        ("What a state promises (its invariant), and the part of a condition that follows from it: a drain always "
         "has something in flight, or ready and free to start; `blocked` always has something in the way."),
        "Handles, the saved flag and the four steps of MAPI's Release: they are above this machine.",
        ("Paths that come back to a state they were in: there is no end of them. `fsm paths` counts the legal "
         "sequences of events by length."),
    ),
    sums=SUMS,
    explorer="explorer.html",
    sentences=SENTENCES,
)


def atlas() -> Atlas:
    """Return every path of the chart, with its witness."""
    return Atlas(LOGOFF, BOUNDS)


def pictures() -> dict[str, str]:
    """Return every file of `diagrams/` and its contents.  DrawingError without the pinned renderer."""
    return files(LOGOFF, GALLERY, atlas())


def main(argv: Sequence[str] | None = None) -> int:
    """Write the gallery to the given folder, by default `diagrams`, and remove files that no longer belong to it."""
    words = sys.argv[1:] if argv is None else argv
    folder = Path(words[0] if words else "diagrams")
    try:
        made = pictures()
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / "README.md"
        ours = page.is_file() and page.read_text(encoding="utf-8").startswith(MARKER)
        for old in sorted(folder.iterdir()) if ours else ():
            if old.suffix in SUFFIXES and old.name not in made:
                old.unlink()
        for name, text in made.items():
            (folder / name).write_bytes(text.encode())
    except (DrawingError, OSError) as error:
        problem = f"cannot write {error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        sys.stderr.write(f"the gallery was not made: {problem}\n")
        return 1
    sys.stdout.write(f"{len(made)} files in {folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
