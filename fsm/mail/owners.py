"""Whose mail it is: the mailboxes of a server as they are configured, and which of them a message belongs to.

Theory.
1. An inbound message goes to the mailboxes that own its recipients: the one that names the address, or the address
   without its sub-address, or else the domain, or else the one that owns nothing in particular (there is one at most).
2. A message to be sent belongs to the mailbox of whoever has logged in.  From a client without a login, which only
   this computer and trusted networks are, it belongs to the mailbox that owns its sender, by the same rules.
3. Mail for the postmaster is always taken (RFC 5321 4.5.1).  Where nobody owns that address, the first mailbox with an
   owner in its domain has it; for the server's own name, and without a domain, the first mailbox.
4. A server without a table of mailboxes has a single one, to which everything belongs that it takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Directory", "MailboxSettings", "problems_of"]

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,99}")
_OWNER: Final = re.compile(r"(?:[^@\s]+@)?[^@\s]+")


@dataclass(frozen=True, slots=True)
class MailboxSettings:
    """A mailbox: the `name` of its store, the Maildir `inbox`, and whose it is.

    `owners` are addresses and domains (none: all that belong to no other mailbox), `users` the logins of its owner
    (none: the mailbox's name).
    """

    name: str
    inbox: Path
    owners: tuple[str, ...] = ()
    users: tuple[str, ...] = ()

    @property
    def logins(self) -> tuple[str, ...]:
        """The names by which its owner logs in."""
        return self.users or (self.name,)


def problems_of(mailboxes: Sequence[MailboxSettings]) -> list[str]:
    """Return what is wrong with a table of mailboxes, a sentence for each offender."""
    found = [
        f"a mailbox is named by letters, digits and _ . @ + -, 100 at most, not {one.name[:100]!r}"
        for one in mailboxes if not _NAME.fullmatch(one.name)
    ]  # fmt: skip
    found += [
        f"the mailbox {one.name}: an owner is an address or a domain, not {owner!r:.60}"
        for one in mailboxes for owner in one.owners if not _OWNER.fullmatch(owner)
    ]  # fmt: skip
    keys: dict[str, Callable[[MailboxSettings], Iterable[object]]] = {
        "is owned by": lambda one: map(str.lower, one.owners), "logs in for": lambda one: one.logins,
        "is the inbox of": lambda one: (one.inbox,),
    }  # fmt: skip
    for what, of in keys.items():
        first: dict[object, str] = {}
        for one in mailboxes:
            for key in of(one):
                if first.setdefault(key, one.name) != one.name:
                    found.append(f"{key} {what} one mailbox, not both {first[key]} and {one.name}")
    if len(rest := [one.name for one in mailboxes if not one.owners]) > 1:
        found.append(f"one mailbox may be without owners, and gets what is left over, not all of {', '.join(rest)}")
    return found


class Directory:
    """Finds mailboxes, by name.  `everything` is the one that all mail to be sent belongs to, if there is only one."""

    def __init__(
        self, mailboxes: Iterable[MailboxSettings], hostname: str = "", sub_addresses: str = "", everything: str = ""
    ) -> None:
        self._hostname, self._divider, self._everything = hostname.lower(), sub_addresses, everything
        self._owners: dict[str, str] = {}
        self._users: dict[str, str] = {}
        self._postmasters: dict[str, str] = {}
        """By domain, the first mailbox that has an owner in it."""
        self._first = self._rest = ""
        for one in mailboxes:
            self._first = self._first or one.name
            self._users.update(dict.fromkeys(one.logins, one.name))
            if not one.owners:
                self._rest = one.name
            for owner in map(str.lower, one.owners):
                self._owners[owner] = one.name
                self._postmasters.setdefault(owner.rpartition("@")[2], one.name)

    def of_recipient(self, address: str) -> str | None:
        """Return the mailbox that mail for this address goes to, or None."""
        address = address.lower()
        local, _, domain = address.rpartition("@")
        if (found := self._owner(address, local, domain)) is not None:
            return found
        if address == "postmaster" or (local == "postmaster" and domain == self._hostname):
            return self._owners.get(f"postmaster@{self._hostname}") or self._rest or self._first
        if local == "postmaster" and domain in self._postmasters:
            return self._postmasters[domain]
        return self._rest or None

    def of_sender(self, user: str, address: str) -> str | None:
        """Return the mailbox that sends mail of this sender, for a client that has logged in as `user` or not ("")."""
        if self._everything:
            return self._everything
        address = address.lower()
        local, _, domain = address.rpartition("@")
        found = self._users.get(user) if user else self._owner(address, local, domain)
        return found or self._rest or None

    def _owner(self, address: str, local: str, domain: str) -> str | None:
        if (found := self._owners.get(address)) is None and domain:
            if self._divider and (name := local.partition(self._divider)[0]):
                found = self._owners.get(f"{name}@{domain}")
            found = found or self._owners.get(domain)
        return found
