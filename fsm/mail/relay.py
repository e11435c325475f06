"""Delivery to the smarthost: messages are taken from the stores and sent over a few connections that are kept.

Theory.
1. Each recipient has an answer or none (`smtp/client_dialogue.py`).  4yz means later, 5yz never, and recipients may
   differ.  Without an answer nothing was delivered, unless the final dot was written: then it is uncertain.
2. Some refusals speak of something else than the message.  552 to RCPT may mean too many recipients (RFC 5321
   4.5.3.1.10), and the rest is sent in another transaction.  530 and its kin ask for a login or TLS that is not
   configured: the operator's business, so the message waits.
3. A kept connection may have been closed for idleness, or may have had as many messages as the server takes.  When its
   next envelope shows that, it was no attempt: the transaction begins again on a new connection, once.
4. A failure is first reported to the sender and then recorded.  If it cannot be reported now, it is deferred.
5. `give_up` ends whatever goes on too long, also a message that may have arrived each time: its sender is told so.
   After `delay_warning` the sender is told once that the message is late.
6. A smarthost that counts gets so many messages over one connection, and so many a minute over all of them.
7. The connections are shared by all mailboxes, and what was taken gets one in the order of taking: the mailbox that has
   much to send cannot keep the others waiting.  Of each mailbox one message is always asked for, or as many as are
   ready; a connection has a task, its worker, as long as there is something to send.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from fsm.mail import replies
from fsm.mail.config import Config, Smarthost
from fsm.mail.dsn import Failure, Kind, Notifier
from fsm.mail.envelope import envelope_of
from fsm.mail.errors import LinkLost
from fsm.mail.link import Link
from fsm.mail.logs import tell
from fsm.mail.mailboxes import Mailbox
from fsm.mail.parameters import address_of, addresses, wishes
from fsm.mail.smtp.client_dialogue import Answer, Transaction
from fsm.mail.syntax import line
from fsm.store.aio import AsyncOutgoing
from fsm.store.errors import Stopped
from fsm.store.in_flight import Item
from fsm.store.log import about
from fsm.store.message import Message

__all__ = ["Connection", "Pace", "Relay"]

log: Final = logging.getLogger("fsm.mail")
CLAIMS_PER_CONNECTION: Final = 3
"""Messages claimed at a time for each connection: one waits, one is sent, and the outcome of one is recorded."""

NOT_CONFIGURED: Final = frozenset({530, 534, 535, 538})
"""The smarthost wants a login, another login, or TLS (RFC 3207 4, RFC 4954 6)."""
TOO_MANY: Final = re.compile(r"(?:452|552)[ -][45]\.5\.3\b")
"""Too many recipients for one transaction (RFC 3463 3.6)."""
_STATUS: Final = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}\b")
STAGES: Final = {
    "greeting": "connected", "ehlo": "EHLO", "helo": "HELO", "starttls": "STARTTLS", "handshake": "TLS", "auth": "AUTH",
    "mail": "MAIL FROM", "data": "DATA", "content": "sending the message", "dot": "waiting for the answer",
}  # fmt: skip
"""What is shown of a message that waits for the smarthost, by the state of the dialogue."""


class Relay:
    """The connections that deliver what is ready in the stores of the mailboxes it was told to `serve`."""

    def __init__(self, config: Config, smarthost: Smarthost, context: ssl.SSLContext | None) -> None:
        self._provider, self._hosts = f"smtp:{smarthost.address}", (config.hostname, smarthost.address.host)
        self._pace = Pace(smarthost.rate, asyncio.get_running_loop().time)
        self._connections = [Connection(smarthost, context, config) for _ in range(config.connections)]
        self._free = [*self._connections]
        # With "hold", a message that is taken and not yet sent would be held as uncertain after a crash.
        each = CLAIMS_PER_CONNECTION if config.uncertain == "resend" else 1
        self._most = config.connections * each
        self._line: deque[tuple[_Served, AsyncOutgoing]] = deque()
        self._places: dict[Callable[[], object], None] = {}
        """The places in the lines of the stores; calling one gives it up."""
        self._cancelled = False
        self.workers: dict[asyncio.Task[None], None] = {}

    def serve(self, mailbox: Mailbox) -> None:
        """Deliver what is ready in this mailbox, from now on until its store is released."""
        self._ask(_Served(mailbox))

    def reload(self, config: Config, smarthost: Smarthost, context: ssl.SSLContext | None) -> None:
        """Deliver by these settings from the next message on."""
        self._pace.rate, self._hosts = smarthost.rate, (config.hostname, smarthost.address.host)
        for connection in self._connections:
            connection.reload(config, smarthost, context)

    def cancel(self) -> None:
        """Cancel the workers.  What they are sending becomes uncertain or deferred, and nothing more is taken."""
        self._cancelled = True
        for give_up in self._places:
            give_up()
        while self._line:
            served, item = self._line.popleft()
            served.mailbox.store.give_back(item)
        for worker in self.workers:
            worker.cancel()

    async def finished(self) -> None:
        """Wait for the workers, which end when the stores are released, and close the connections."""
        while self.workers:
            await asyncio.wait(list(self.workers))
        await asyncio.gather(*(connection.quit() for connection in self._connections))

    def _ask(self, served: _Served) -> None:
        """Ask for as many messages of a mailbox as are ready, one at least, and no more than can be sent soon."""
        session = served.mailbox.store.session
        while served.asked + served.taken < self._most and served.asked < max(1, session.ready):
            self._take(served)

    def _take(self, served: _Served) -> None:
        def taken(item: AsyncOutgoing | None) -> None:
            del self._places[place]
            served.asked -= 1
            if item is None:
                return  # the store is released
            if self._cancelled:
                served.mailbox.store.give_back(item)
                return
            served.taken += 1
            self._line.append((served, item))
            self._ask(served)
            if self._free:
                self._begin(self._free.pop())
            else:
                item.progress("waiting for a connection")

        served.asked += 1
        place = served.mailbox.store.take(taken, provider=self._provider)
        self._places[place] = None

    def _begin(self, connection: Connection) -> None:
        worker = asyncio.get_running_loop().create_task(self._work(connection))
        self.workers[worker] = None
        worker.add_done_callback(lambda done: self.workers.pop(done, None))

    async def _work(self, connection: Connection) -> None:
        try:
            while self._line:
                served, item = self._line.popleft()
                await self._deliver(served.mailbox, item, connection)
                served.taken -= 1
                if not self._cancelled:
                    self._ask(served)
        finally:
            self._free.append(connection)

    async def _deliver(self, box: Mailbox, item: AsyncOutgoing, connection: Connection) -> None:
        try:
            async with item:
                item.check()  # it may have been stopped while it waited for the connection
                while (seconds := self._pace.wait()) > 0:
                    item.progress(f"waiting, for no more than {self._pace.rate} messages are sent a minute")
                    await asyncio.sleep(seconds)
                await connection.deliver(item, Notifier(box.store.name, box.inbox, *self._hosts))
        except (LinkLost, Stopped) as error:
            log.warning("message %s was not delivered: %s", item.id, error, extra=about(box.store.name, item.id))
            tell("not delivered", box.store.name, item.id, reason=str(error))
        except Exception:  # it decides the message's outcome
            log.exception("message %s was not delivered", item.id, extra=about(box.store.name, item.id))


@dataclass(slots=True)
class _Served:
    """A mailbox: how many messages were asked for, and how many were taken and are not sent yet."""

    mailbox: Mailbox
    asked: int = 0
    taken: int = 0


class Pace:
    """So many messages a minute (0: any number), evenly.  `now` returns seconds that never go back."""

    def __init__(self, rate: int, now: Callable[[], float]) -> None:
        self.rate, self._now, self._next = rate, now, 0.0

    def wait(self) -> float:
        """Take the next turn and return 0, or return the seconds until there may be one."""
        now = self._now()
        if self.rate and now < self._next:
            return self._next - now
        self._next = max(self._next, now) + 60 / self.rate if self.rate else 0.0
        return 0.0


@dataclass(slots=True)
class _Results:
    """What became of the recipients.  `committed` is whether the final dot may have been sent to those unknown."""

    sent: list[str] = field(default_factory=list)
    deferred: list[Failure] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    committed: bool = False
    problem: str = ""
    dsn: bool = False
    """Whether the smarthost notifies senders itself."""

    def add(self, recipients: Sequence[str], transaction: Transaction) -> None:
        """Sort the recipients by their answers."""
        self.committed = transaction.committed
        for recipient, answer in zip(recipients, transaction.answers, strict=True):
            if answer is None:
                self.unknown.append(recipient)
            elif answer.code < 400:
                self.sent.append(recipient)
            elif answer.code < 500 or _is_for_later(answer, transaction):
                self.deferred.append(Failure(recipient, str(answer)))
            else:
                self.failed.append(Failure(recipient, str(answer)))


def _is_for_later(answer: Answer, transaction: Transaction) -> bool:
    """Whether a 5yz speaks of something else than this message."""
    if answer.code in NOT_CONFIGURED:
        return True
    if answer.code != 552 or answer.to != "rcpt":
        return False
    others = any(other is None or other.to != "rcpt" for other in transaction.answers)
    return TOO_MANY.match(str(answer)) is not None or (others and not _STATUS.match(answer.text))


class Connection:
    """A connection to the smarthost, opened when it is needed and kept.  For one message at a time.

    A message that could not be sent for `give_up` seconds has failed permanently.
    """

    def __init__(self, smarthost: Smarthost, context: ssl.SSLContext | None, config: Config) -> None:
        self.smarthost, self._context, self._config = smarthost, context, config
        self._notifier: Notifier
        self._link: Link | None = None
        self._outdated = False

    def reload(self, config: Config, smarthost: Smarthost, context: ssl.SSLContext | None) -> None:
        """Use these settings from the next message on, over a new connection if they are for connections."""
        self._outdated = smarthost != self.smarthost or config.hostname != self._config.hostname
        self.smarthost, self._context, self._config = smarthost, context, config

    async def deliver(self, item: Item, notifier: Notifier) -> None:
        """Send the item's message.  Its outcome is decided (`fail`, `defer`), or it was sent, or LinkLost is raised.

        `notifier` tells its sender of permanent failures.

        After LinkLost, or when it is cancelled, the connection is closed; the next message opens it again.
        """
        message, self._notifier = item.message, notifier
        assert message is not None
        if not message.recipients:
            item.fail(replies.NO_RECIPIENTS)
            return
        results = _Results()
        try:
            await self._transact(item, message, results)
        except LinkLost as error:
            if error.refusal is None and not self._expired(message) and not self._late(message):
                raise
            results.deferred = [Failure(one, str(error)) for one in message.recipients]
        except BaseException:
            self.abort("sending was stopped")
            raise
        if results.unknown and not results.sent:
            held = results.committed and self._config.uncertain == "hold"
            if held or not self._expired(message):
                raise LinkLost(results.problem)
        results.deferred += [Failure(one, results.problem) for one in results.unknown]
        await self._conclude(item, message, results)

    def abort(self, reason: str = "it is not needed any more") -> None:
        """Close the connection now, without QUIT.  Nothing happens when it is closed."""
        if self._link is not None:
            self._link.abort(reason)
            self._link = None

    async def quit(self) -> None:
        """Close the connection with QUIT, in two seconds at most."""
        if self._link is not None:
            await self._link.quit()
            self._link = None

    # ---------------------------------------------------------------------------------------------- conversation

    async def _transact(self, item: Item, message: Message, results: _Results) -> None:
        """Send the message, and note what became of the recipients.  LinkLost if there is no connection."""
        while True:
            link = self._link if self._usable else await self._open(item)
            assert link is not None
            kept = link.begun > 0
            envelope = envelope_of(message, link.dialogue.offers, as_it_is=self.smarthost.as_it_is)
            if envelope.problem is not None:
                results.failed = [Failure(one, envelope.problem) for one in message.recipients]
                return
            transaction = Transaction(envelope.mail, envelope.recipients)
            await link.send(
                transaction, envelope.content,
                lambda state: item.progress(STAGES.get(state, state.upper())), item.past_no_return,
            )  # fmt: skip
            again = kept and _is_worn_out(link, transaction)
            if again or link.dialogue.closed:
                self.abort()
            if not again:
                break
        results.add(message.recipients, transaction)
        results.problem, results.dsn = link.dialogue.problem, "dsn" in link.dialogue.offers
        for answer in transaction.answers:
            if answer is not None and answer.code in NOT_CONFIGURED:
                _complain(self.smarthost, str(answer))

    @property
    def _usable(self) -> bool:
        """Whether the connection can take another message."""
        link, most = self._link, self.smarthost.messages
        return link is not None and link.usable and not self._outdated and not 0 < most <= link.begun

    async def _open(self, item: Item) -> Link:
        """Open the connection in place of the one there was."""
        item.progress(f"connecting to {self.smarthost.address}")
        await self.quit()
        self._outdated = False
        self._link = Link(self.smarthost, self._context, self._config.hostname)
        try:
            await self._link.open()
        except LinkLost as error:
            self.abort()
            if error.refusal is not None and error.refusal.code in NOT_CONFIGURED:
                _complain(self.smarthost, str(error))
            raise
        return self._link

    # --------------------------------------------------------------------------------------------------- outcome

    async def _conclude(self, item: Item, message: Message, results: _Results) -> None:
        """Decide the outcome of the item: sent, failed, or deferred for those recipients that are to be tried again."""
        if results.sent:
            tell("sent", self._notifier.store, message.id, recipients=addresses(results.sent),
                 octets=len(message.content), smarthost=str(self.smarthost.address),
                 attempts=message.attempts)  # fmt: skip
            if not results.dsn:
                await self._report(message, [Failure(one, replies.RELAYED) for one in results.sent], "relayed")
        if results.deferred and self._expired(message):
            perhaps = bool((results.unknown and results.committed) or message.uncertain)
            text, days = replies.EXPIRED_UNCERTAIN if perhaps else replies.EXPIRED, self._config.give_up / 86400
            results.failed += [
                Failure(one.recipient, text.format(days=days, reason=one.reason)) for one in results.deferred
            ]
            results.deferred = []
        reported = False
        if results.failed:
            item.progress("reporting a failure")
            tentative = results.deferred + results.failed  # should this task be cancelled now, they are tried again
            item.defer(_summary(tentative), recipients=[one.recipient for one in tentative])
            try:
                reported = await self._notifier.notify(message, results.failed)
            except Exception as error:
                log.warning(
                    "message %s is tried again: cannot report its failure now: %s", message.id, error,
                    extra=about(self._notifier.store, message.id),
                )  # fmt: skip
                return
            self._tell("bounced" if reported else "failed", message, results.failed)
        if results.deferred:
            self._tell("deferred", message, results.deferred)
            if self._late(message) and await self._report(message, results.deferred, "delayed"):
                told = ((wishes(one.recipient).without_delay(), one.reason) for one in results.deferred)
                results.deferred = [Failure(recipient, reason) for recipient, reason in told]
            rest = results.sent and all(TOO_MANY.match(one.reason) for one in results.deferred)
            item.defer(
                _summary(results.deferred), after=0.0 if rest else None,
                recipients=[one.recipient for one in results.deferred],
            )  # fmt: skip
        elif results.failed:
            recipients = [one.recipient for one in results.failed]
            item.fail(_summary(results.failed), reported=reported, recipients=recipients)

    def _expired(self, message: Message) -> bool:
        return time.time() - message.submitted > self._config.give_up

    def _late(self, message: Message) -> bool:
        """Return whether the sender is to be told that the message is late, and was not yet."""
        age, most = time.time() - message.submitted, self._config.delay_warning
        asked = any("DELAY" in wishes(recipient).notify for recipient in message.recipients)
        return 0 < most < age and asked and bool(address_of(message.sender))

    async def _report(self, message: Message, recipients: Sequence[Failure], kind: Kind) -> bool:
        """Tell the sender of a delay, or of what a smarthost without DSN has taken; return whether it is told."""
        try:
            return await self._notifier.notify(message, recipients, kind)
        except Exception as error:
            log.warning(
                "message %s: cannot report that it was %s: %s", message.id, kind, error,
                extra=about(self._notifier.store, message.id),
            )  # fmt: skip
            return False

    def _tell(self, event: str, message: Message, failures: Sequence[Failure]) -> None:
        recipients, reason = addresses([failure.recipient for failure in failures]), _summary(failures)
        tell(event, self._notifier.store, message.id, recipients=recipients, reason=reason, attempts=message.attempts)


def _is_worn_out(link: Link, transaction: Transaction) -> bool:
    """Whether a kept connection takes no more messages: it was lost before the content, or MAIL was put off."""
    if transaction.started:
        return False
    put_off = any(one is not None and one.to == "mail" and one.code < 500 for one in transaction.answers)
    return link.dialogue.closed or put_off


_complained: Final[dict[tuple[str, str], None]] = {}


def _complain(smarthost: Smarthost, answer: str) -> None:
    """Say once what the operator has to change."""
    cause = str(smarthost.address), answer
    if cause not in _complained and len(_complained) < 100:
        _complained[cause] = None
        log.error(
            "nothing can be sent: the smarthost %s wants a login or TLS that is not configured: %s; see"
            " --smarthost-user and --smarthost-tls; the mail waits", *cause,
        )  # fmt: skip


def _summary(failures: Sequence[Failure]) -> str:
    return line("; ".join(dict.fromkeys(failure.reason for failure in failures)), 900)
