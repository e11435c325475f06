"""The options of `fsm serve`, which may stand on the command line or in a TOML file, and the settings made of them.

    store = "/var/lib/fsm"
    submission = "127.0.0.1:8025"
    smarthost = "mail.example.org:587"
    owner = ["me@example.org", "example.net"]
    max-size = 10_000_000
    lmtp = true

    [mailboxes.anna]                    # in place of owner: many mailboxes
    owner = ["anna@example.org"]
    user = ["anna"]

Theory.
1. A key of the file is the name of an option without its dashes.  A command line goes before the file, for each option
   as a whole.  Paths in the file are relative to its folder.
2. The table of mailboxes stands in a file only.  An inbox that is not named is a folder in that of the store.
3. Whatever is wrong is named, all of it at once: unknown keys, values of a wrong type, and settings that do not fit.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from fsm.commands import number, whole

if TYPE_CHECKING:
    from fsm.mail.config import Address, Config, Smarthost

__all__ = ["MAILBOX", "OPTIONS", "Tables", "Values", "add_options", "config_of", "merged", "read_file"]

T = TypeVar("T")
Kind = Literal["text", "path", "whole", "number", "flag", "texts", "numbers"]
Value = str | int | float | bool | list[str] | list[float] | None
Values = dict[str, Value]
Tables = dict[str, Values]
"""The options of each mailbox, by its name."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option.  `metavar` has a word for each of its values."""

    name: str
    help: str
    metavar: str = ""
    kind: Kind = "text"
    default: Value = None
    choices: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its name as a Python name."""
        return self.name.replace("-", "_")


GENERAL: Final = (
    Option("store", "where the outbox (outbox.db) and the inbox (a Maildir) are", "FOLDER", "path"),
    Option("inbound", "take mail for the owner here, into the inbox", "HOST:PORT"),
    Option("submission", "take mail to be sent here", "HOST:PORT"),
    Option("submissions", "the same, with TLS from the first octet (port 465)", "HOST:PORT"),
    Option("local", "a Unix socket for mail to be sent, from programs of this computer", "PATH", "path"),
    Option("smarthost", "deliver what is to be sent to this server", "HOST:PORT"),
    Option("http", "show how the server stands, and answer probes and Prometheus, here", "HOST:PORT"),
    Option("plan", 'how to close (default "NO_WAIT 20s -> ORDERLY 5s -> cancel 3s")', "PLAN"),
    Option("lmtp", "speak LMTP on the inbound port, not SMTP", kind="flag"),
    Option("owner", "take inbound mail for these only (default: for all)", "ADDRESS|DOMAIN", "texts"),
    Option("sub-addresses", "with +, take mail for NAME+ANYTHING@DOMAIN where NAME@DOMAIN is an owner", "CHARACTER",
           default=""),
    Option("connections", "to the smarthost (default 4)", "N", "whole", 4),
    Option("hostname", "what the server calls itself (default: its computer)", "NAME"),
    Option("name", "what `fsm stores` calls it (default: its folder)", "NAME", default=""),
    Option("uncertain", "what becomes of mail that may have arrived (default resend)", default="resend",
           choices=("resend", "hold")),
    Option("retry", "when mail is tried again: after FIRST seconds, then FACTOR times that each time, LONGEST at most "
           "(default 60 2 3600)", "FIRST FACTOR LONGEST", "numbers", [60.0, 2.0, 3600.0]),
    Option("give-up", "then mail goes back (default 5)", "DAYS", "number", 5.0),
    Option("delay-warning", "then a sender is told that mail is late (default 4; 0: never)", "HOURS", "number", 4.0),
    Option("expire", "delete what was put aside after so long (default 0: never)", "DAYS", "number", 0.0),
)  # fmt: skip
LIMITS: Final = (
    Option("max-size", "of a message (default 33554432)", "BYTES", "whole"),
    Option("max-sessions", "at a time on each port (default 2000)", "N", "whole"),
    Option("max-recipients", "of a message (default 1000)", "N", "whole"),
    Option("max-rate", "messages a minute from one address (default: any)", "N", "whole"),
    Option("max-errors", "in one session (default 20)", "N", "whole"),
    Option("max-commands", "without a message (default 200)", "N", "whole"),
    Option("max-idle", "between two commands (default 300)", "SECONDS", "number"),
    Option("max-memory", "for all messages that are coming in (default 268435456)", "BYTES", "whole"),
    Option("long-lines", "messages with lines of more than 998 bytes (default refuse)", default="refuse",
           choices=("refuse", "take")),
    Option("bare-lf", "messages with line ends without CR (default refuse)", default="refuse",
           choices=("refuse", "mend")),
)  # fmt: skip
SECURITY: Final = (
    Option("certificate", "of the ports, in PEM", "FILE", "path"),
    Option("key", "its key, when it is not in the same file", "FILE", "path"),
    Option("users", "who may use the ports: lines of --new-user", "FILE", "path"),
    Option("trust", "clients that need neither TLS nor a login", "NETWORK", "texts"),
    Option("proxy", "clients whose connections begin with the PROXY protocol", "NETWORK", "texts"),
    Option("run-as", "who to become when started as root, once the ports are bound", "USER[:GROUP]", default=""),
)
WAY_OUT: Final = (
    Option("smarthost-tls", "default: none on the loopback, starttls elsewhere", choices=("none", "starttls", "tls")),
    Option("smarthost-ca", "its authority (default: the system's)", "FILE", "path"),
    Option("smarthost-user", "log in there", "NAME"),
    Option("smarthost-password", "a file with the password", "FILE", "path"),
    Option("smarthost-timeout", "for an answer (default 60)", "SECONDS", "number"),
    Option("smarthost-lmtp", "speak LMTP to it, not SMTP", kind="flag"),
    Option("smarthost-as-it-is", "send it 8-bit and UTF-8 mail unchanged, also when it does not offer that",
           kind="flag"),
    Option("smarthost-messages", "over one connection (default: any number)", "N", "whole"),
    Option("smarthost-rate", "messages a minute (default: any number)", "N", "whole"),
)  # fmt: skip
LOG: Final = (
    Option("log", "the form of the log (default text)", default="text", choices=("text", "json")),
    Option("verbose", "log more: 1 each message; 2 even more", "N", "whole", 0),
)
GROUPS: Final = {
    "": GENERAL,
    "limits": LIMITS,
    "security (a submission port that others reach needs TLS and users, or networks to trust; an inbound port needs"
    " the owners of its mail, or the same)": SECURITY,
    "the way to the smarthost": WAY_OUT,
}
MAILBOX: Final = (
    Option("owner", "whose mail it takes (one mailbox may be without: it gets what is left over)", "ADDRESS|DOMAIN",
           "texts"),
    Option("user", "who sends by it after a login (default: its name)", "NAME", "texts"),
    Option("inbox", "its Maildir (default: the folder mailboxes/NAME in that of the store)", "FOLDER", "path"),
)
"""What may stand in the table of a mailbox."""
OPTIONS: Final = {option.name: option for group in (*GROUPS.values(), LOG) for option in group}
"""All options that may stand in a file, by name."""

READ: Final[Mapping[Kind, Callable[[str], object]]] = {
    "text": str, "path": str, "whole": whole, "number": number, "texts": str, "numbers": number,
}  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to the command line.  Those that are not given are None."""
    for title, options in GROUPS.items():
        group = parser.add_argument_group(title) if title else parser
        for option in options:
            if option.kind == "flag":
                group.add_argument(f"--{option.name}", action="store_const", const=True, help=option.help)
                continue
            words = option.metavar.split()
            more: dict[str, object] = {"metavar": words[0] if len(words) == 1 else tuple(words)} if words else {}
            more |= {"choices": list(option.choices)} if option.choices else {}
            more |= {"nargs": len(words)} if option.kind == "numbers" else {}
            more |= {"action": "append"} if option.kind == "texts" else {}
            group.add_argument(f"--{option.name}", type=READ[option.kind], help=option.help, **more)  # type: ignore[arg-type]
    parser.add_argument("--log", choices=["text", "json"], help="the form of the log (default text)")
    parser.add_argument("-v", "--verbose", action="count", help="log more: each message; twice: even more")


def merged(args: argparse.Namespace) -> tuple[Values, Tables]:
    """Return the value of each option, of the command line, the file it names, or the default; and the mailboxes."""
    file, mailboxes = read_file(Path(args.config)) if args.config is not None else (Values(), Tables())
    given = ((option, getattr(args, option.key)) for option in OPTIONS.values())
    return {
        option.key: value if value is not None else file.get(option.key, option.default) for option, value in given
    }, mailboxes


def read_file(path: Path) -> tuple[Values, Tables]:
    """Return the options in a TOML file, by their Python names, and those of its mailboxes.

    ConfigError names all that is wrong with it.
    """
    from fsm.mail.errors import ConfigError

    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read the configuration {path}: {reason}") from None
    problems: list[str] = []
    tables = found.pop("mailboxes", None)
    values, mailboxes = _read(path.parent, found, OPTIONS, "", problems), Tables()
    if isinstance(tables, dict) and tables and all(isinstance(table, dict) for table in tables.values()):
        options = {option.name: option for option in MAILBOX}
        for name, table in tables.items():
            mailboxes[name] = _read(path.parent, table, options, f"mailboxes.{name}: ", problems)
    elif tables is not None:
        problems.append("mailboxes is a table of tables, such as [mailboxes.anna] and owner = 'anna@example.org'")
    if problems:
        raise ConfigError(f"{path}: {'; '.join(problems)}")
    return values, mailboxes


def _read(
    folder: Path, found: Mapping[str, object], options: Mapping[str, Option], where: str, problems: list[str]
) -> Values:
    """Return the values of these options, by their Python names, and add what is wrong to the `problems`."""
    values = Values()
    for name, value in found.items():
        option = options.get(name)
        if option is None:
            near = get_close_matches(name, options, 1)
            problems.append(f"{where}{name!r} is no option{f'; is {near[0]!r} meant?' if near else ''}")
        elif (wanted := _wrong(option, value)) is not None:
            problems.append(f"{where}{name} is {wanted}, not {value!r:.60}")
        elif option.kind == "path":
            values[option.key] = str(folder / str(value))
        elif option.kind == "texts":
            values[option.key] = [value] if isinstance(value, str) else value  # type: ignore[assignment]
        else:
            values[option.key] = value  # type: ignore[assignment]
    return values


def _wrong(option: Option, value: object) -> str | None:
    """Return what the option takes, if it does not take this value."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    is_number = is_whole or isinstance(value, float)
    if option.choices:
        return None if value in option.choices else f"one of {', '.join(map(repr, option.choices))}"
    if option.kind == "flag":
        return None if isinstance(value, bool) else "true or false"
    if option.kind == "whole":
        return None if is_whole else "a whole number"
    if option.kind == "number":
        return None if is_number else "a number"
    if option.kind == "numbers":
        words = option.metavar.split()
        proper = isinstance(value, list) and len(value) == len(words) and all(
            isinstance(one, (int, float)) and not isinstance(one, bool) for one in value
        )  # fmt: skip
        return None if proper else f"a list of numbers [{', '.join(words)}]"
    if option.kind == "texts" and isinstance(value, list):
        return None if all(isinstance(one, str) for one in value) else "a list of texts"
    return None if isinstance(value, str) else f"a text ({option.metavar})"


# ------------------------------------------------------------------------------------------------------- settings


def config_of(values: Values, mailboxes: Tables) -> Config:
    """Return the settings.  ConfigError names all that is wrong with them, as far as it can be seen."""
    import socket

    from fsm.mail.config import Address, Config, Limits
    from fsm.mail.errors import ConfigError
    from fsm.mail.networks import Network, parsed_networks
    from fsm.mail.owners import MailboxSettings
    from fsm.store.plan import DEFAULT, Plan

    problems: list[str] = []

    def tried(make: Callable[[], T], without: T) -> T:
        try:
            return make()
        except ConfigError as error:
            problems.append(str(error))
        except ValueError as error:
            problems.append(f"--plan: {error}")
        return without

    get = _Getter(values)
    if not get.text("store"):
        problems.append("a store needs a folder: --store FOLDER")
    plan = get.text("plan")
    # in place of an address that is wrong, so that what else is wrong is seen, too
    somewhere: Address | None = Address("127.0.0.1", 0, "127.0.0.1")
    listening = {name: tried(lambda name=name: _address(name, get.text(name)), somewhere)  # type: ignore[misc]
                 for name in ("inbound", "submission", "submissions", "http")}  # fmt: skip
    smarthost: Smarthost | None = None
    way_out = [option.name for option in WAY_OUT if values[option.key] not in (None, False)]
    there = get.text("smarthost")
    if there is None and way_out:
        problems.append(f"--{way_out[0]} needs --smarthost HOST:PORT")
    elif there is not None:
        smarthost = tried(lambda: _smarthost(there, get), None)
    if get.text("inbound") is None and (values["lmtp"] or values["owner"]):
        problems.append(f"--{'lmtp' if values['lmtp'] else 'owner'} needs --inbound HOST:PORT")
    problems += [
        f"{option} is that of a single mailbox; with [mailboxes], each has its own"
        for option in ("owner", "name") if mailboxes and values[option]
    ]  # fmt: skip
    folder = Path(get.text("store") or "")
    tables = {name: _Getter({option.key: None for option in MAILBOX} | table) for name, table in mailboxes.items()}
    boxes = tuple(
        MailboxSettings(
            name, one.path("inbox") or folder / "mailboxes" / name, one.texts("owner"), one.texts("user")
        )
        for name, one in tables.items()
    )
    limits = {name: value for name in ("size", "sessions", "recipients", "rate", "errors", "commands", "idle", "memory")
              if (value := values[f"max_{name}"]) is not None}  # fmt: skip
    first, factor, longest = get.numbers("retry")
    nowhere: tuple[Network, ...] = ()
    settings: dict[str, object] = {
        "folder": folder,
        **listening,
        "smarthost": smarthost,
        "plan": tried(lambda: Plan.parse(plan), DEFAULT) if plan is not None else DEFAULT,
        "lmtp": bool(values["lmtp"]),
        "connections": values["connections"],
        "limits": tried(lambda: Limits(**limits), Limits()),  # type: ignore[arg-type]
        "certificate": get.path("certificate"),
        "key": get.path("key"),
        "users_file": get.path("users"),
        "owners": get.texts("owner"),
        "hostname": get.text("hostname") or _usable(socket.gethostname()),
        "uncertain": values["uncertain"],
        "retry": (first, factor, longest),
        "give_up": get.number("give_up") * 86400,
        "delay_warning": get.number("delay_warning") * 3600,
        "expire": get.number("expire") * 86400,
        "name": values["name"],
        "sub_addresses": values["sub_addresses"],
        "long_lines": values["long_lines"],
        "bare_lf": values["bare_lf"],
        "local": get.path("local"),
        "trust": tried(lambda: parsed_networks(get.texts("trust"), "--trust"), nowhere),
        "proxies": tried(lambda: parsed_networks(get.texts("proxy"), "--proxy"), nowhere),
        "run_as": values["run_as"],
        "mailboxes": boxes,
    }
    config = tried(lambda: Config(**settings), None)  # type: ignore[arg-type]
    if config is None or problems:
        raise ConfigError("; ".join(problems))
    return config


@dataclass(frozen=True, slots=True)
class _Getter:
    """The values, with their types."""

    values: Values

    def text(self, key: str) -> str | None:
        value = self.values[key]
        assert value is None or isinstance(value, str)
        return value

    def path(self, key: str) -> Path | None:
        text = self.text(key)
        return None if text is None else Path(text)

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values[key]
        return tuple(map(str, value)) if isinstance(value, list) else ()

    def number(self, key: str) -> float:
        value = self.values[key]
        assert isinstance(value, (int, float))
        return float(value)

    def numbers(self, key: str) -> tuple[float, ...]:
        value = self.values[key]
        assert isinstance(value, list)
        return tuple(map(float, value))


def _address(name: str, text: str | None) -> Address | None:
    from fsm.mail.config import Address
    from fsm.mail.systemd import handed_over

    if text is None:
        return None
    if text == "systemd" or text.startswith("systemd:"):
        return handed_over(text.partition(":")[2] or name)
    return Address.parse(text, f"--{name}", listening=True)


def _smarthost(text: str, get: _Getter) -> Smarthost:
    from fsm.mail.config import Address, Smarthost

    there, values = Address.parse(text, "--smarthost", listening=False), get.values
    security = get.text("smarthost_tls") or ("none" if there.loopback else "starttls")
    more = {name: values[f"smarthost_{name}"] for name in ("timeout", "messages", "rate")}
    return Smarthost(
        there, security, get.text("smarthost_user"),  # type: ignore[arg-type]
        _password(get.text("smarthost_password")), get.path("smarthost_ca"),
        lmtp=bool(values["smarthost_lmtp"]), as_it_is=bool(values["smarthost_as_it_is"]),
        **{name: value for name, value in more.items() if value is not None},  # type: ignore[arg-type]
    )  # fmt: skip


def _usable(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "-" for c in name).strip("-.") or "localhost"


def _password(file: str | None) -> str:
    from fsm.mail.auth import writable_by_others
    from fsm.mail.errors import ConfigError

    try:
        if file is not None and (problem := writable_by_others(file)):
            raise ConfigError(f"the password file {problem}")
        return "" if file is None else Path(file).read_text("utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the password in {file}: {getattr(error, 'strerror', None) or error}") from None
