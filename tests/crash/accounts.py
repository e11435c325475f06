"""The reconciliation of what the clients know, what the sink and the inbox have, and what the database says.

Theory.
1. A message that was answered 250 was submitted in the journal, and from there it is in one place: sent, reported to its
   sender, or in the database (ready, deferred, held, failed).  An inbound one is in the Maildir, once.
2. What was refused, or whose final dot was never sent, is nowhere.  What a client is unsure of is somewhere or nowhere, and
   at most once for each attempt.
3. A sending that has a beginning in the journal and no ending there was cut by a kill: it is uncertain, like those that the
   journal says are.  A message arrives as often as it was sent, and at most once more for each uncertain sending.
4. The database's own count of attempts and of uncertain ones is that of its journal, and the journal can be replayed.
"""

from __future__ import annotations

import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from fsm.journal import replay
from fsm.logoff.chart import LOGOFF
from fsm.mail.demo.sink import Delivered
from fsm.store.sql import read_journal
from fsm.store.sql.connect import engine_for, url_for
from fsm.store.sql.schema import CONTENTS, MESSAGES, PROCESSES
from tests.crash.clients import Attempt, AttemptLog

CERTAIN = ("outbound_sent", "outbound_deferred", "outbound_failed")
PATH = re.compile(rb"^Return-Path: <([^>]*)>", re.MULTILINE)


@dataclass
class Sending:
    """What the journal says about one message that was submitted."""

    begun: int = 0
    sent: int = 0
    failed: int = 0
    uncertain: int = 0
    last: str = ""


@dataclass
class Account:
    """The findings.  `problems` are sentences; `counts` are the numbers of messages."""

    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def unless(self, holds: bool, problem: str) -> None:
        if not holds:
            self.problems.append(problem)

    def __str__(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in self.counts.items())


def reconcile(folder: Path, log: AttemptLog, delivered: Sequence[Delivered], *, whole: bool = True) -> Account:
    """Return the account of a store whose servers have all ended.

    Without a `whole` journal (its beginning was deleted, as older than a day) it counts what arrived and what is kept.
    """
    account = Account()
    journal = list(read_journal(folder / "outbox.db"))
    sendings, rows = sendings_in(journal), rows_in(folder / "outbox.db", account)
    if journal:  # none yet, when the first run was killed before it could do anything
        account.unless((found := replay(LOGOFF, io.BytesIO(b"".join(journal)))) is None, f"the journal diverges: {found}")
    inbox, reports = messages_in(folder / "inbox")
    copies = Counter(one.sender for one in delivered)
    if whole:
        _submissions(account, log, sendings, rows, reports, copies)
    else:
        account.counts["delivered"] = copies.total()
        for one in log.of("accepted", "submission"):
            account.unless(bool(copies[one.sender]) or one.id in rows, f"{one.id} of {one.sender} was answered 250, and is nowhere")
    _inbound(account, log, inbox)
    _whole(account, log, delivered)
    return account


def sendings_in(journal: Sequence[bytes]) -> dict[str, Sending]:
    """Return what happened to each message that was submitted here (not taken over), by its id."""
    sendings: dict[str, Sending] = defaultdict(Sending)
    open_now: Counter[tuple[str, str]] = Counter()
    submitted = set()
    for line in journal:
        entry = json.loads(line)
        event, id, session = entry.get("event"), entry.get("message", ""), entry.get("session", "")
        if event == "submit" and "why" not in entry:
            submitted.add(id)
        if event == "outbound_begin":
            sendings[id].begun += 1
            open_now[session, id] += 1
        if event in CERTAIN:
            sendings[id].sent += event == "outbound_sent"
            sendings[id].failed += event == "outbound_failed"
            sendings[id].uncertain += entry.get("uncertain", 0)
            sendings[id].begun -= entry.get("refund", 0)
            sendings[id].last = event
            open_now[session, id] -= 1
    for (_, id), count in open_now.items():
        sendings[id].uncertain += count
    return {id: sendings[id] for id in sorted(submitted | {*sendings})}


def rows_in(path: Path, account: Account) -> dict[str, Any]:
    """Return the rows of the messages by id; report what must not be there when all servers have ended."""
    engine = engine_for(url_for(path), 5.0, reading=True)
    try:
        with closing(engine.connect()) as connection:
            rows = {row.id: row for row in connection.execute(sa.select(MESSAGES))}
            contents = {*connection.scalars(sa.select(CONTENTS.c.id))}
            processes = connection.scalars(sa.select(PROCESSES.c.number)).all()
    finally:
        engine.dispose()
    account.unless(not processes, f"these still hold the store: {processes}")
    account.unless(contents == {*rows}, f"messages and contents differ: {contents ^ {*rows}}")
    stuck = [row.id for row in rows.values() if row.state in ("claimed", "uncertain") or row.process is not None]
    account.unless(not stuck, f"these belong to no running process: {stuck}")
    for row in rows.values():
        account.counts[row.state] += 1
    return rows


def messages_in(inbox: Path) -> tuple[Counter[str], Counter[str]]:
    """Return how often each sender's message is in the inbox, and how often the report about each id."""
    found: Counter[str] = Counter()
    reports: Counter[str] = Counter()
    for file in [*(inbox / "new").iterdir(), *(inbox / "cur").iterdir()] if inbox.exists() else []:
        if file.name.startswith("report-"):
            reports[file.name.split("-")[1]] += 1
        else:
            path = PATH.match(file.read_bytes())
            found[path[1].decode() if path else f"nobody ({file})"] += 1
    return found, reports


def _submissions(
    account: Account, log: AttemptLog, sendings: dict[str, Sending], rows: dict[str, Any], reports: Counter[str], copies: Counter[str]
) -> None:
    accepted = {one.id: one for one in log.of("accepted", "submission")}
    unsure = {one.sender: one for one in log.of("unsure", "submission")}
    senders = {json.loads(row.sender): id for id, row in rows.items()}
    account.counts.update(accepted=len(accepted), unsure=len(unsure), delivered=copies.total())
    for id, sending in sendings.items():
        kept, reported = id in rows, reports[id]
        account.unless(
            sending.sent + kept == 1 or (not sending.sent and not kept and reported == 1 and sending.last == "outbound_failed"),
            f"{id} is not in one place: sent {sending.sent}, kept {kept}, reported {reported}: {sending}",
        )
        if reported and (sending.sent or kept):  # it was reported, and that was not recorded
            account.unless(sending.uncertain > 0, f"{id} was reported, and is not failed: {sending}")
        account.counts["uncertain"] += sending.uncertain
        account.counts["reported"] += reported
        if kept:
            row = rows[id]
            account.unless(row.uncertain == sending.uncertain, f"{id} counts {row.uncertain} uncertain, its journal {sending.uncertain}")
            account.unless(row.attempts == sending.begun, f"{id} counts {row.attempts} attempts, its journal {sending.begun}")
        if one := accepted.get(id):
            most = sending.sent + sending.uncertain
            account.unless(
                sending.sent <= copies[one.sender] <= most, f"{id} was sent {sending.sent} times and arrived {copies[one.sender]}: {sending}"
            )
            account.counts["twice"] += max(0, copies[one.sender] - 1)
    for id, one in accepted.items():
        account.unless(id in sendings, f"{id} of {one.sender} was answered 250, and was never submitted")
    theirs = {id: sending for id, sending in sendings.items() if id not in accepted}  # of those a client is unsure of
    account.unless(len(theirs) <= len(unsure), f"more was submitted than sent: {[*theirs]}")
    sent, most = sum(one.sent for one in theirs.values()), sum(one.sent + one.uncertain for one in theirs.values())
    there = sum(copies[sender] for sender in unsure)
    account.unless(sent <= there <= most, f"{there} arrived of {sent} to {most} that were sent without their client's knowing")
    for one in [*log.of("refused", "submission"), *log.of("unsent", "submission")]:
        account.unless(not copies[one.sender] and one.sender not in senders, f"{one.sender} was {one.came_to}, and is there all the same")


def _inbound(account: Account, log: AttemptLog, inbox: Counter[str]) -> None:
    account.counts["received"] = inbox.total()
    least = {"accepted": 1, "unsure": 0, "refused": 0, "unsent": 0}
    most = {"accepted": 1, "unsure": 1, "refused": 0, "unsent": 0}
    known = {one.sender: one for one in log.attempts if one.way == "inbound" and one.came_to}
    for sender, one in known.items():
        count = inbox[sender]
        account.unless(least[one.came_to] <= count <= most[one.came_to], f"{sender} was {one.came_to}, and is in the inbox {count} times")
    account.unless({*inbox} <= {*known}, f"nobody sent {sorted({*inbox} - {*known})}")


def _whole(account: Account, log: AttemptLog, delivered: Sequence[Delivered]) -> None:
    known: dict[str, Attempt] = {one.sender: one for one in log.attempts}
    for one in delivered:
        attempt = known.get(one.sender)
        account.unless(
            attempt is not None and one.content.endswith(attempt.sample.arrives) and {*one.recipients} <= {*attempt.sample.recipients},
            f"what {one.sender} sent has arrived as something else",
        )
