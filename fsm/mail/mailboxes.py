"""The open mailboxes of a server: each a store with its own session, and an inbox; all stores in one outbox.

Theory.
1. A server without a table of mailboxes has a store of its own; with one, the stores are those of a spooler, which
   commits for all of them and closes them with one budget (`whole`).  Nothing else in the server asks which it is.
2. What happens to one store is its own affair.  Once it is asked to log off, mail for it is put off (451), and the
   others go on.  Only when none takes anything new, clients are told 421.
3. A mailbox that leaves the table gets no mail from then on.  It is closed when nothing is in it; what is in its outbox
   is sent before that, and what is held waits for a person.  Its inbox is left as it is.
4. A mailbox whose store was released is opened again when the configuration is read anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from fsm.logoff.flags import Logoff
from fsm.logoff.session import StoreSession
from fsm.mail import replies
from fsm.mail.errors import MaildirError
from fsm.mail.maildir import Maildir
from fsm.mail.owners import MailboxSettings
from fsm.store.aio import AsyncSpooler, AsyncStore
from fsm.store.errors import StorageError, StoreClosing
from fsm.store.log import about
from fsm.store.outcome import Progress
from fsm.store.retry import Retry
from fsm.store.sql import Database
from fsm.verdict import Refused

if TYPE_CHECKING:
    from fsm.mail.config import Config

__all__ = ["Mailbox", "Mailboxes"]

log: Final = logging.getLogger("fsm.mail")
_accepting: Final = attrgetter("accepting")


@dataclass(eq=False, slots=True)
class Mailbox:
    """An open mailbox.  `leaving` while it is not in the table any more: the task that closes it once it is empty.

    `failed` is whether the last message could not be stored in its inbox.
    """

    settings: MailboxSettings
    store: AsyncStore
    inbox: Maildir
    leaving: asyncio.Task[None] | None = None
    failed: bool = False
    _session: StoreSession = field(init=False)

    def __post_init__(self) -> None:
        self._session = self.store.session  # every command of every client asks it

    @property
    def accepting(self) -> bool:
        """Whether it takes new mail."""
        return self.leaving is None and self._session.accepting

    @property
    def refusal(self) -> str | None:
        """The reply to a recipient while its inbox is in trouble, so that others still get the message; or None."""
        problem = self.inbox.problem() if self.failed else None
        self.failed = problem is not None
        return problem.smtp if problem is not None else None


class Mailboxes:
    """The mailboxes of a server; iterate over it for those that are open.  `executor` has threads to wait for the disk.

    `opened` is called with each mailbox once it is open.  CannotServe, StorageError or MaildirError if one cannot be.
    """

    def __init__(self, config: Config, executor: Executor, opened: Callable[[Mailbox], object]) -> None:
        self._executor, self._opened = executor, opened
        self._open: dict[str, Mailbox] = {}
        self._directory = config.directory
        self._change = asyncio.Lock()
        first, factor, longest = config.retry
        self._uncertain, self._retry = config.uncertain, Retry(first, factor, longest)
        self._database = database = Database(config.folder / "outbox.db")
        self.whole: AsyncStore | AsyncSpooler
        """What is closed at the end: the only store, or the spooler of all."""
        if config.mailboxes:
            self.whole = AsyncSpooler(database)
        else:
            self.whole = AsyncStore(database, name=config.store_name, uncertain=self._uncertain, retry=self._retry)

    def __iter__(self) -> Iterator[Mailbox]:
        return iter(list(self._open.values()))

    def __len__(self) -> int:
        return len(self._open)

    async def open(self, config: Config) -> None:
        """Open all, and log which stores of the outbox have mail and are not among them."""
        await self._open_all(config.boxes)
        for name, count in (await asyncio.get_running_loop().run_in_executor(self._executor, self._left)).items():
            log.warning(
                "the outbox has %d messages of a store that is not in the configuration, %s: nobody sends them; name a"
                " mailbox so, or see `fsm queue --store %s/%s`", count, name, config.folder, name, extra=about(name),
            )  # fmt: skip

    def _left(self) -> dict[str, int]:
        names = [name for name in self._database.stores() if name not in self._open]
        return {name: count for name in names if (count := len(self._database.messages(name)))}

    async def gone(self) -> None:
        """Let all stores go, and close the database."""
        leaving = [one.leaving for one in self if one.leaving is not None]
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        await self.whole.gone()

    # ------------------------------------------------------------------------------------------------------ finding

    def accepting(self) -> bool:
        """Return whether any mailbox takes new mail."""
        return any(map(_accepting, self._open.values()))

    def named(self, name: str) -> Mailbox | None:
        """Return the open mailbox whose store people call by this name."""
        return next((one for one in self._open.values() if one.store.name == name), None)

    def of_recipient(self, address: str) -> Mailbox | str:
        """Return the mailbox that mail for this address goes to, or the reply that refuses it."""
        name = self._directory.of_recipient(address)
        return replies.NOT_OURS if name is None else self._taking(name)

    def of_sender(self, user: str, address: str) -> Mailbox | str:
        """Return the mailbox that sends mail of this sender, who has logged in as `user` or not (""), or a refusal."""
        name = self._directory.of_sender(user, address)
        if name is None:
            return replies.NO_MAILBOX_OF_USER if user else replies.NO_MAILBOX_OF_SENDER
        return self._taking(name)

    def _taking(self, name: str) -> Mailbox | str:
        found = self._open.get(name)
        return found if found is not None and found.accepting else self.refusal

    @property
    def refusal(self) -> str:
        """The reply to mail for a mailbox that takes nothing new: 421 if none does."""
        return replies.MAILBOX_CLOSING if self.accepting() else replies.STORE_CLOSING

    # ------------------------------------------------------------------------------------------- opening, changing

    async def change(self, config: Config) -> None:
        """Open, change and close mailboxes until they are those of this configuration, and log what was done.

        One that cannot be opened is left out, and one that is not empty goes on until it is.
        """
        async with self._change:
            wanted = {one.name: one for one in config.boxes}
            for name, settings in wanted.items():
                if not self.whole.in_service:
                    return
                try:
                    await self._keep(self._open.get(name), settings)
                except (MaildirError, StorageError, StoreClosing) as error:
                    log.error("the mailbox %s cannot be opened: %s", name, error, extra=about(name))
            self._directory = config.directory
            for name, one in list(self._open.items()):
                if name not in wanted and one.leaving is None:
                    self._leave(one)

    async def _open_all(self, wanted: Sequence[MailboxSettings]) -> None:
        """Open these mailboxes."""
        loop = asyncio.get_running_loop()
        inboxes = await loop.run_in_executor(
            self._executor, lambda: [Maildir(one.inbox, self._executor) for one in wanted]
        )
        if isinstance(self.whole, AsyncStore):
            stores = [await self.whole.opened()]
        else:
            stores = await self.whole.open_many(
                [one.name for one in wanted], uncertain=self._uncertain, retry=self._retry
            )
        for settings, store, inbox in zip(wanted, stores, inboxes, strict=True):
            self._opened(self._open.setdefault(settings.name, Mailbox(settings, store, inbox)))

    async def _keep(self, one: Mailbox | None, wanted: MailboxSettings) -> None:
        """Have this mailbox open with these settings; `one` is how it is there now."""
        if one is not None and one.leaving is not None:
            if one.store.accepting:
                one.leaving.cancel()
                one.leaving = None
            else:
                await one.leaving  # it was empty
                one = None
        if one is not None and one.store.session.complete and not one.store.blockers():
            await one.store.gone()
            del self._open[wanted.name]
            one = None
        if one is None:
            await self._open_all([wanted])
            log.warning("the mailbox %s was opened", wanted.name, extra=about(wanted.name))
            return
        if not one.store.in_service:
            log.warning("the mailbox %s is still closing; read the configuration again once it is released",
                        wanted.name, extra=about(wanted.name))  # fmt: skip
        if wanted.inbox != one.settings.inbox:
            one.inbox = await asyncio.get_running_loop().run_in_executor(
                self._executor, lambda: Maildir(wanted.inbox, self._executor)
            )
        one.settings = wanted

    def _leave(self, one: Mailbox) -> None:
        if _content(now := one.store.progress_now()):
            log.warning(
                "the mailbox %s is not in the configuration any more, and not empty (%s): it takes no new mail, and is"
                " closed once it is empty; `fsm queue --store %s` shows what is in it", one.store.name, now,
                one.store.name, extra=about(one.store.name),
            )  # fmt: skip
        one.leaving = asyncio.get_running_loop().create_task(self._close_when_empty(one))

    async def _close_when_empty(self, one: Mailbox) -> None:
        async for now in one.store.progress():
            if not _content(now):
                break
        with suppress(Refused, StorageError):
            await one.store.logoff(Logoff.NO_WAIT)
        async for _ in one.store.progress():
            pass  # until it is released
        await one.store.gone()
        if self._open.get(one.settings.name) is one:
            del self._open[one.settings.name]
        log.warning("the mailbox %s was closed; its inbox is left as it is: %s", one.store.name, one.inbox.folder,
                    extra=about(one.store.name))  # fmt: skip


def _content(now: Progress) -> int:
    """Return how many messages are in a store or on the way."""
    return now.inbound + now.outbound + now.ready + now.deferred + now.held
