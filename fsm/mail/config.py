"""The settings of a mail server, checked before anything is opened.  Each error is a sentence that says what to do.

A port that only this computer reaches (on the loopback, by its resolved address) may be open to all, and so may an
inbound port all of whose mail has named owners; any other port needs both TLS and authentication.  A connection to a
smarthost beyond the loopback uses TLS by default.
"""

from __future__ import annotations

import math
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal

from fsm.logoff.flags import Logoff
from fsm.mail.auth import Users, writable_by_others
from fsm.mail.errors import ConfigError
from fsm.mail.networks import Network
from fsm.mail.owners import Directory, MailboxSettings, problems_of
from fsm.mail.syntax import line
from fsm.store.plan import DEFAULT, Plan, PlanStep

__all__ = ["Address", "Config", "Limits", "Security", "Smarthost"]

WAITING: Final = (Logoff.NO_WAIT, Logoff.PURGE)
"""The steps of a plan that wait until what is ready has been sent."""

Security = Literal["none", "starttls", "tls"]

_HOST: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?")

SINGLE: Final = "default"
"""The name of the only mailbox in the outbox; people call it by the name of the server's store."""
FEWEST_BYTES: Final = 64 * 1024
"""The message size that every server must accept (RFC 5321 4.5.3.1.7)."""
FEWEST_MEMORY: Final = 1024 * 1024
FEWEST_RECIPIENTS: Final = 100
"""The recipients that every server must accept (RFC 5321 4.5.3.1.8)."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address to listen at or to connect to: `host` as it was written, and `ip`, to which it was resolved.

    `ip` is empty for a host to connect to that could not be resolved; it is asked for anew at each connection.
    `descriptor` is that of a socket which listens already (systemd has opened it).
    """

    host: str
    port: int
    ip: str
    descriptor: int | None = None

    @classmethod
    def parse(cls, text: str, what: str, *, listening: bool) -> Address:
        """Parse HOST:PORT or [IPV6]:PORT.  Port 0 is any free one, for listening only.  ConfigError names `what`."""
        example = "127.0.0.1:8025, localhost:8025 or [::1]:8025"
        host, colon, number = text.strip().rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ConfigError(f"{what}: an IPv6 address stands in brackets, such as [::1]:8025, not {text!r}")
        if not colon or not host or not number.isascii() or not number.isdigit():
            raise ConfigError(f"{what} is HOST:PORT, such as {example}, not {text!r}")
        port = int(number) if len(number) <= 5 else 1 << 16
        if port > 65535 or (port == 0 and not listening):
            raise ConfigError(f"{what}: a port is a number from {0 if listening else 1} to 65535, not {number}")
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            if not listening and isinstance(error, socket.gaierror) and _HOST.fullmatch(host):
                return cls(host, port, "")
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"{what}: cannot find the host {host!r} ({reason}); give {example}") from None
        found.sort(key=lambda one: one[0] != socket.AF_INET)  # IPv4 first, where a name has both
        return cls(host, port, str(found[0][4][0]))

    @property
    def loopback(self) -> bool:
        """Whether the address is reached from this computer only."""
        return bool(self.ip) and ip_address(self.ip.partition("%")[0]).is_loopback

    def __str__(self) -> str:
        host = self.ip if self.port == 0 or self.host == self.ip else self.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def _refuse(problems: Sequence[str]) -> None:
    """Raise ConfigError with all the problems in one sentence, if there are any."""
    if problems:
        raise ConfigError("; ".join(problems))


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits for clients.  ConfigError for a number that makes no sense.

    `size` is in bytes of one message; `sessions` at a time on each port; `recipients` of one message; `rate` in
    messages a minute from one address (0: any number); `errors` in a session before it ends, and `commands` without a
    message; `idle` in seconds between commands; `memory` in bytes for all messages that are being taken in.
    """

    size: int = 32 * 1024 * 1024
    sessions: int = 2000
    recipients: int = 1000
    rate: int = 0
    errors: int = 20
    idle: float = 300.0
    commands: int = 200
    memory: int = 256 * 1024 * 1024

    def __post_init__(self) -> None:
        least = {
            "size": FEWEST_BYTES, "recipients": FEWEST_RECIPIENTS, "sessions": 1, "rate": 0, "errors": 1,
            "commands": 10, "memory": FEWEST_MEMORY,
        }  # fmt: skip
        problems = [
            f"the limit {name} is at least {fewest:,}, not {value} (--max-{name})"
            for name, fewest in least.items() if (value := getattr(self, name)) < fewest
        ]  # fmt: skip
        if not (math.isfinite(self.idle) and self.idle >= 1):
            problems.append(f"the limit idle is at least a second, not {self.idle} (--max-idle)")
        _refuse(problems)


@dataclass(frozen=True, slots=True)
class Smarthost:
    """The server that takes outgoing mail.  `timeout` is in seconds; the reply to the final dot may take tenfold.

    `lmtp` speaks LMTP to it.  `as_it_is` sends messages unchanged, also those that need an extension it does not offer;
    otherwise they are converted.  It gets `messages` over one connection and `rate` messages a minute over all of them
    (0: any number).
    """

    address: Address
    security: Security = "none"
    user: str | None = None
    password: str = field(default="", repr=False)
    ca: Path | None = None
    timeout: float = 60.0
    lmtp: bool = False
    as_it_is: bool = False
    messages: int = 0
    rate: int = 0

    def __post_init__(self) -> None:
        problems = []
        if self.user is not None and self.security == "none" and not self.address.loopback:
            problems.append("a password is sent to the smarthost over TLS only: take --smarthost-tls starttls or tls")
        if self.user is not None and (not self.user or not self.password or "\0" in self.user + self.password):
            problems.append("a name and a password for the smarthost are needed, neither of them empty")
        if not (math.isfinite(self.timeout) and self.timeout > 0):
            problems.append(f"the timeout of the smarthost is in seconds, more than 0, not {self.timeout}")
        for name in ("messages", "rate"):
            if getattr(self, name) < 0:
                problems.append(f"--smarthost-{name} is 0 (any number) or more, not {getattr(self, name)}")
        _refuse(problems)

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS settings, or None without TLS.  ConfigError if the authority's certificate cannot be read."""
        if self.security == "none":
            return None
        try:
            return ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        except OSError as error:
            raise ConfigError(f"cannot read the certificate {self.ca}: {error.strerror or error}") from None


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of a server.  ConfigError if they do not fit together.

    `folder` holds the outbox (`outbox.db`) and the inbox.  With `mailboxes`, each of them is a store in that outbox and
    has an inbox of its own; without, there is a single one, for the `owners`: addresses or domains for which the
    inbound port takes mail (none: all).  With `sub_addresses`, such as "+", it is also taken for name+anything@domain.
    `hostname` is the name the server gives.  `connections` to the smarthost are open at a time.  `long_lines` says
    whether lines of more than 998 octets are taken, `bare_lf` whether a bare LF becomes CR LF.  `give_up` is in
    seconds: a message that could not be sent for so long goes back to its sender.  After `delay_warning` seconds the
    sender is told that it is late, and what is put aside for `expire` seconds is deleted (0: never).

    `submissions` is a submission port that begins with TLS; `local` the path of a Unix socket for programs of this
    computer; `http` shows how the server stands.  Clients in `trust` need neither TLS nor a login.  Connections from
    `proxies` begin with the PROXY protocol.  `run_as` is the user and group to become when started as root.
    """

    folder: Path
    inbound: Address | None = None
    submission: Address | None = None
    smarthost: Smarthost | None = None
    plan: Plan = DEFAULT
    lmtp: bool = False
    connections: int = 4
    limits: Limits = field(default_factory=Limits)
    certificate: Path | None = None
    key: Path | None = None
    users_file: Path | None = None
    owners: tuple[str, ...] = ()
    hostname: str = "localhost"
    uncertain: Literal["resend", "hold"] = "resend"
    retry: tuple[float, float, float] = (60.0, 2.0, 3600.0)
    give_up: float = 5 * 86400.0
    name: str = ""
    sub_addresses: str = ""
    long_lines: Literal["refuse", "take"] = "refuse"
    bare_lf: Literal["refuse", "mend"] = "refuse"
    submissions: Address | None = None
    local: Path | None = None
    http: Address | None = None
    trust: tuple[Network, ...] = ()
    proxies: tuple[Network, ...] = ()
    run_as: str = ""
    delay_warning: float = 4 * 3600.0
    expire: float = 0.0
    mailboxes: tuple[MailboxSettings, ...] = ()

    def __post_init__(self) -> None:
        problems: list[str] = []
        if not self.ports and self.local is None and self.smarthost is None:
            problems.append("there is nothing to do: give an inbound port, a submission port or a smarthost")
        for what, port in self.ports.items():
            guarded = self.certificate is not None and self.users_file is not None
            if not (port.loopback or guarded or self.trust or (what == "inbound" and self.public)):
                owners = "the owners of its mail (--owner), or " if what == "inbound" else ""
                problems.append(
                    f"the {what} port {port} can be reached by others than this computer, so it needs {owners}TLS (a"
                    " certificate and its key) and authentication (a users file), or the networks to trust; or take"
                    " 127.0.0.1 or [::1]"
                )
        if self.users_file is not None and self.certificate is None:
            problems.append("passwords are taken over TLS only: a users file needs a certificate and its key, too")
        if self.submissions is not None and self.certificate is None:
            problems.append("--submissions begins with TLS: it needs --certificate")
        if self.http is not None and not self.http.loopback:
            problems.append(f"--http is for this computer only: take 127.0.0.1 or [::1], not {self.http}")
        seen: dict[Address, str] = {}
        for what, port in {**self.ports, **({"HTTP": self.http} if self.http is not None else {})}.items():
            if port.port and (other := seen.setdefault(port, what)) != what:
                problems.append(f"the {other} and the {what} port cannot both be {port}")
        if not 1 <= self.connections <= 1000:
            problems.append(f"connections to the smarthost are 1 to 1000, not {self.connections}")
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Za-z:.]+\]", self.hostname):
            problems.append(f"a server calls itself by a host name, such as mail.example.org, not {self.hostname!r}")
        first, factor, longest = self.retry
        if not (all(map(math.isfinite, self.retry)) and 0 < first <= longest and factor >= 1):
            problems.append("a retry schedule is FIRST seconds, a FACTOR of 1 or more, LONGEST seconds: 60 2 3600")
        if len(self.sub_addresses) > 1 or (self.sub_addresses and not re.match(r"[+=_.~#-]", self.sub_addresses)):
            problems.append(f"sub-addresses are divided by one of + = _ . ~ # -, not by {self.sub_addresses!r}")
        if not self.name.isprintable() or len(self.name) > 100:
            problems.append(f"a store's name is printable, of 100 characters at most, not {self.name[:100]!r}")
        if not self.give_up > 0:
            problems.append(f"a message is tried for some time (--give-up), not for {self.give_up:g} seconds")
        for option, seconds in (("--delay-warning", self.delay_warning), ("--expire", self.expire)):
            if not seconds >= 0:
                problems.append(f"{option} is some time, or 0 for never, not {seconds:g} seconds")
        problems += problems_of(self.mailboxes)
        _refuse(problems)

    @property
    def ports(self) -> dict[str, Address]:
        """The TCP ports for mail, by name."""
        named = {"inbound": self.inbound, "submission": self.submission, "submissions": self.submissions}
        return {name: address for name, address in named.items() if address is not None}

    @property
    def public(self) -> bool:
        """Whether the inbound port takes mail from everybody: all that it takes has a named owner, and stays here.

        A server that receives mail for a domain must not demand TLS (RFC 3207 4), and strangers have no login.
        """
        return all(one.owners for one in self.boxes)

    @property
    def boxes(self) -> tuple[MailboxSettings, ...]:
        """The mailboxes: those of the table, or the single one that is kept as the store's default."""
        return self.mailboxes or (MailboxSettings(SINGLE, self.folder / "inbox", self.owners),)

    @property
    def directory(self) -> Directory:
        """Which mailbox a message belongs to."""
        everything = "" if self.mailboxes else SINGLE
        return Directory(self.boxes, self.hostname, self.sub_addresses, everything)

    @property
    def closing_plan(self) -> Plan:
        """The plan to close by.  Without a smarthost nothing sends what is ready, so it is not waited for (ORDERLY)."""
        if self.smarthost is not None:
            return self.plan
        steps: list[PlanStep] = []
        for step in self.plan.steps:
            act = Logoff.ORDERLY if step.act in WAITING else step.act
            before = steps.pop().seconds if steps and steps[-1].act == act else 0.0  # two equal steps are one
            steps.append(PlanStep(act, before + step.seconds))
        return Plan(tuple(steps))

    @property
    def users(self) -> Users | None:
        """The users of the ports; None when everybody may use them.  Reads the file; UsersError, or ConfigError."""
        users = None if self.users_file is None else Users(self.users_file)
        named = [(user, one.name) for one in self.mailboxes for user in one.users]
        if users is not None and (unknown := [f"{user} (of {name})" for user, name in named if user not in users]):
            raise ConfigError(f"{self.users_file} has no line for these users of mailboxes: {', '.join(unknown)}")
        return users

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The TLS settings of the ports, None without a certificate.  Reads the files; ConfigError."""
        if self.certificate is None:
            if self.key is not None:
                raise ConfigError(f"the key {self.key} needs its certificate")
            return None
        try:
            for file in (self.certificate, self.key):
                if file is not None and (problem := writable_by_others(file)):
                    raise ConfigError(f"the certificate or key {problem}")
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self.certificate, self.key)
        except ssl.SSLError as error:
            reason = error.reason or "it is none"
            where = "" if self.key is not None else "; a key in a file of its own is --key FILE"
            raise ConfigError(f"{self.certificate} is no certificate with its key in PEM ({reason}){where}") from None
        except OSError as error:
            raise ConfigError(f"cannot read the certificate {self.certificate} or its key: {error.strerror}") from None
        return context

    @property
    def store_name(self) -> str:
        """The name of the store: `name`, or the last part of its folder."""
        return self.name or line(self.folder.resolve().name) or "store"
