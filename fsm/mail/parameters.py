"""What a client asks of delivery status notifications (RFC 3461), kept behind the address that it belongs to.

    a@example.org RET=HDRS ENVID=QQ314159
    b@example.net NOTIFY=FAILURE,DELAY ORCPT=rfc822;b@example.net

Theory.
1. A store keeps a sender and recipients as texts.  An address has blanks in a quoted local part only, so what follows
   it can be told from it; nothing else has to be kept, and a message without parameters is as it always was.
2. Who said nothing is told of failures and of delays.  Once a delay was reported, DELAY is taken out of the wish; so it
   is reported once, also after a restart.
3. A smarthost with DSN gets the parameters and does all that is asked beyond it.  To another one this server reports
   itself that it relayed the message (RFC 3461 5.2.2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["Wishes", "address_of", "addresses", "joined", "refused_of_mail", "refused_of_rcpt", "unencoded", "wishes"]

_KEPT: Final = re.compile(r'((?:"(?:[^"\\]|\\.)*")?[^ "]*)((?: (?:NOTIFY|ORCPT|RET|ENVID)=[!-~]+)+)')
_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_ORCPT: Final = re.compile(r"[A-Za-z0-9-]{1,32};(.+)")
_HEX: Final = re.compile(r"\+([0-9A-F]{2})")
KINDS: Final = frozenset({"SUCCESS", "FAILURE", "DELAY"})
USUAL: Final = frozenset({"FAILURE", "DELAY"})
"""What is reported to a sender who has said nothing."""


class Wishes(NamedTuple):
    """An address and the parameters that belong to it."""

    address: str
    parameters: Mapping[str, str]

    @property
    def notify(self) -> frozenset[str]:
        """The events to report for this recipient: SUCCESS, FAILURE, DELAY."""
        asked = self.parameters.get("NOTIFY")
        return USUAL if asked is None else frozenset(asked.split(",")) & KINDS

    def without_delay(self) -> str:
        """Return the text to keep, once a delay was reported."""
        rest = ",".join(sorted(self.notify - {"DELAY"})) or "NEVER"
        return joined(self.address, {**self.parameters, "NOTIFY": rest})

    @property
    def words(self) -> str:
        """The parameters as they are written behind MAIL or RCPT, with a blank in front of each."""
        return "".join([f" {name}={value}" for name, value in self.parameters.items()])


@lru_cache(maxsize=4096)
def wishes(kept: str) -> Wishes:
    """Return the address and the parameters of a sender or recipient as it is kept."""
    found = _KEPT.fullmatch(kept)
    if found is None:
        return Wishes(kept, {})
    pairs = (word.partition("=") for word in found[2].split())
    return Wishes(found[1], {name: value for name, _, value in pairs})


def address_of(kept: str) -> str:
    """Return the address alone."""
    return wishes(kept).address


def addresses(kept: Sequence[str]) -> str:
    """Return the addresses alone, as one text for people."""
    return ", ".join(map(address_of, kept))


def joined(address: str, parameters: Mapping[str, str]) -> str:
    """Return the text to keep."""
    return address + Wishes(address, parameters).words if parameters else address


def refused_of_mail(name: str, value: str) -> bool | None:
    """Return whether a parameter of MAIL is malformed; None if it is no parameter of DSN."""
    if name == "RET":
        return value.upper() not in ("FULL", "HDRS")
    if name == "ENVID":
        return len(value) > 100 or not _XTEXT.fullmatch(value)
    return None


def refused_of_rcpt(name: str, value: str) -> bool | None:
    """Return whether a parameter of RCPT is malformed; None if it is no parameter of DSN."""
    if name == "NOTIFY":
        asked = value.upper().split(",")
        return asked != ["NEVER"] and not (set(asked) <= KINDS and len(asked) == len(set(asked)))
    if name == "ORCPT":
        found = _ORCPT.fullmatch(value)
        return len(value) > 500 or found is None or not _XTEXT.fullmatch(found[1])
    return None


def unencoded(xtext: str) -> str:
    """Return the text that was encoded (RFC 3461 4)."""
    return _HEX.sub(lambda found: chr(int(found[1], 16)), xtext)
