"""`fsm serve`: a small real message store, between an inbound port, a submission port and a smarthost.

It prints one line `ready ...` when it is ready; the log is on standard error.  The first SIGTERM or SIGINT starts the
plan, and each further one begins its next step (`fsm.store.signals`); so does any other signal that would end a
program.  SIGHUP reads the certificate and the users anew.  At the end it prints the outcome, one sentence.  The exit
status is 0 if the store was released, and 75 (try again later) if the plan ended before, whether or not somebody reads
what is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import logging
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fsm.commands import CommandError, number, whole

if TYPE_CHECKING:
    from fsm.mail.config import Config, Security
    from fsm.mail.logs import BackgroundHandler

__all__ = ["add_arguments", "run"]

TEMPFAIL: Final = 75
"""EX_TEMPFAIL of sysexits.h: mail programs use it for what will be done later."""
SWITCH: Final = 0.0005
"""The interval of `sys.setswitchinterval`: the event loop must not wait 5 ms, the default, for the store's thread.
Measured with one client: a fifth more messages a second."""


ENDING: Final = ("SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR")
"""Signals that would end a program, and here count as SIGTERM."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fsm serve`."""
    parser.add_argument("--store", metavar="FOLDER", help="where the outbox (outbox.db) and the inbox (a Maildir) are")
    parser.add_argument("--inbound", metavar="HOST:PORT", help="take mail for the owner here, into the inbox")
    parser.add_argument("--submission", metavar="HOST:PORT", help="take mail to be sent here")
    parser.add_argument("--smarthost", metavar="HOST:PORT", help="deliver what is to be sent to this server")
    parser.add_argument("--plan", help='how to close (default "NO_WAIT 20s -> ORDERLY 5s -> cancel 3s")')
    parser.add_argument("--lmtp", action="store_true", help="speak LMTP on the inbound port, not SMTP")
    parser.add_argument("--owner", action="append", default=[], metavar="ADDRESS|DOMAIN",
                        help="take inbound mail for these only (default: for all)")  # fmt: skip
    parser.add_argument("--sub-addresses", default="", metavar="CHARACTER",
                        help="with +, take mail for NAME+ANYTHING@DOMAIN where NAME@DOMAIN is an owner")  # fmt: skip
    parser.add_argument("--connections", type=whole, default=4, help="to the smarthost (default 4)")
    parser.add_argument("--hostname", metavar="NAME", help="what the server calls itself (default: its computer)")
    parser.add_argument("--name", default="", help="what `fsm stores` calls it (default: its folder)")
    parser.add_argument("--uncertain", choices=["resend", "hold"], default="resend",
                        help="what becomes of mail that may have arrived (default resend)")  # fmt: skip
    parser.add_argument("--retry", nargs=3, type=number, default=[60.0, 2.0, 3600.0],
                        metavar=("FIRST", "FACTOR", "LONGEST"),
                        help="when mail is tried again: after FIRST seconds, then FACTOR times that each time, "
                        "LONGEST at most (default 60 2 3600)")  # fmt: skip
    parser.add_argument("--give-up", type=number, default=5.0, metavar="DAYS", help="then mail goes back (default 5)")
    limits = parser.add_argument_group("limits")
    limits.add_argument("--max-size", type=whole, metavar="BYTES", help="of a message (default 33554432)")
    limits.add_argument("--max-sessions", type=whole, metavar="N", help="at a time on each port (default 2000)")
    limits.add_argument("--max-recipients", type=whole, metavar="N", help="of a message (default 1000)")
    limits.add_argument("--max-rate", type=whole, metavar="N", help="messages a minute from one address (default: any)")
    limits.add_argument("--max-errors", type=whole, metavar="N", help="in one session (default 20)")
    limits.add_argument("--max-commands", type=whole, metavar="N", help="without a message (default 200)")
    limits.add_argument("--max-idle", type=number, metavar="SECONDS", help="between two commands (default 300)")
    limits.add_argument("--max-memory", type=whole, metavar="BYTES",
                        help="for all messages that are coming in (default 268435456)")  # fmt: skip
    limits.add_argument("--long-lines", choices=["refuse", "take"], default="refuse",
                        help="messages with lines of more than 998 bytes (default refuse)")  # fmt: skip
    limits.add_argument("--bare-lf", choices=["refuse", "mend"], default="refuse",
                        help="messages with line ends without CR (default refuse)")  # fmt: skip
    secure = parser.add_argument_group("security (both are needed on a port that other computers reach)")
    secure.add_argument("--certificate", metavar="FILE", help="of the ports, in PEM")
    secure.add_argument("--key", metavar="FILE", help="its key, when it is not in the same file")
    secure.add_argument("--users", metavar="FILE", help="who may use the ports: lines of --new-user")
    secure.add_argument("--new-user", metavar="NAME", help="ask for a password, print a line for that file")
    way_out = parser.add_argument_group("the way to the smarthost")
    way_out.add_argument("--smarthost-tls", choices=["none", "starttls", "tls"],
                         help="default: none on the loopback, starttls elsewhere")  # fmt: skip
    way_out.add_argument("--smarthost-ca", metavar="FILE", help="its authority (default: the system's)")
    way_out.add_argument("--smarthost-user", metavar="NAME", help="log in there")
    way_out.add_argument("--smarthost-password", metavar="FILE", help="a file with the password")
    way_out.add_argument("--smarthost-timeout", type=number, metavar="SECONDS", help="for an answer (default 60)")
    way_out.add_argument("--smarthost-lmtp", action="store_true", help="speak LMTP to it, not SMTP")
    way_out.add_argument("--smarthost-as-it-is", action="store_true",
                         help="send it 8-bit and UTF-8 mail unchanged, also when it does not offer that")  # fmt: skip
    parser.add_argument("--log", choices=["text", "json"], default="text", help="the form of the log (default text)")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="log more: each message; twice: even more")


def run(args: argparse.Namespace) -> int:
    """Serve, and return the exit status."""
    if args.new_user is not None:
        return _new_user(args.new_user)
    if find_spec("sqlalchemy") is None:
        raise CommandError("serving mail needs sqlalchemy; install it with: pip install 'fsm-logoff[mail]'")
    from fsm.mail.errors import ConfigError

    try:
        config = _config(args)
    except ConfigError as error:
        raise CommandError(str(error)) from None
    handler = _log_to_stderr(args.verbose, args.log)
    sys.setswitchinterval(SWITCH)
    try:
        return asyncio.run(_serve(config, handler))
    finally:
        handler.finish()


async def _serve(config: Config, handler: BackgroundHandler) -> int:
    from fsm.mail.errors import CannotServe, ConfigError
    from fsm.mail.server import MailServer
    from fsm.store.signals import on_signals

    try:
        async with MailServer(config) as server:
            there = [f"{name}={address}" for name, address in server.addresses.items()]
            if config.smarthost is not None:
                there.append(f"smarthost={config.smarthost.address}")
            loop = asyncio.get_running_loop()
            with on_signals(server.store, config.closing_plan, say=handler.say):
                loop.add_signal_handler(signal.SIGHUP, server.reload)
                for name in ENDING:
                    loop.add_signal_handler(getattr(signal, name), os.kill, os.getpid(), signal.SIGTERM)
                if config.smarthost is None and config.submission is not None:
                    handler.say("fsm serve: there is no smarthost: what is submitted stays in the outbox")
                _print(" ".join(["ready", *there, f"store={config.folder}"]))
                outcome = await server.served()
            for one in ("SIGTERM", "SIGINT", "SIGHUP", *ENDING):
                loop.remove_signal_handler(getattr(signal, one))
                signal.signal(getattr(signal, one), signal.SIG_IGN)  # it ends anyway, with the status of the outcome
            _print(str(outcome))
    except CannotServe as error:
        raise CommandError(str(error), 1) from None
    except ConfigError as error:
        raise CommandError(str(error)) from None
    return 0 if outcome else TEMPFAIL


def _print(text: str) -> None:
    """Print a line, if somebody reads it."""
    try:
        print(text, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would try again at exit


def _config(args: argparse.Namespace) -> Config:
    import socket

    from fsm.mail.config import Address, Config, Limits, Smarthost
    from fsm.mail.errors import ConfigError
    from fsm.store.plan import DEFAULT, Plan

    if not args.store:
        raise ConfigError("a store needs a folder: --store FOLDER")
    try:
        plan = Plan.parse(args.plan) if args.plan is not None else DEFAULT
    except ValueError as error:
        raise ConfigError(f"--plan: {error}") from None

    def address(option: str, *, listening: bool = True) -> Address | None:
        text = getattr(args, option)
        return None if text is None else Address.parse(text, f"--{option}", listening=listening)

    way_out = [name for name in ("tls", "ca", "user", "password", "timeout", "lmtp", "as_it_is")
               if getattr(args, f"smarthost_{name}") not in (None, False)]  # fmt: skip
    if way_out and args.smarthost is None:
        raise ConfigError(f"--smarthost-{way_out[0].replace('_', '-')} needs --smarthost HOST:PORT")
    if args.inbound is None and (args.lmtp or args.owner):
        raise ConfigError(f"--{'lmtp' if args.lmtp else 'owner'} needs --inbound HOST:PORT")
    names = ("size", "sessions", "recipients", "rate", "errors", "commands", "idle", "memory")
    limits = {name: value for name in names
              if (value := getattr(args, f"max_{name}")) is not None}  # fmt: skip
    there, smarthost = address("smarthost", listening=False), None
    if there is not None:
        security: Security = args.smarthost_tls or ("none" if there.loopback else "starttls")
        password = _password(args.smarthost_password)
        ca = _path(args.smarthost_ca)
        timeout = {} if args.smarthost_timeout is None else {"timeout": args.smarthost_timeout}
        smarthost = Smarthost(
            there, security, args.smarthost_user, password, ca, **timeout, lmtp=args.smarthost_lmtp,
            as_it_is=args.smarthost_as_it_is,
        )  # fmt: skip
    return Config(
        folder=Path(args.store),
        inbound=address("inbound"),
        submission=address("submission"),
        smarthost=smarthost,
        plan=plan,
        lmtp=args.lmtp,
        connections=args.connections,
        limits=Limits(**limits),
        certificate=_path(args.certificate),
        key=_path(args.key),
        users_file=_path(args.users),
        owners=tuple(args.owner),
        hostname=args.hostname or _usable(socket.gethostname()),
        uncertain=args.uncertain,
        retry=tuple(args.retry),
        give_up=args.give_up * 86400,
        name=args.name,
        sub_addresses=args.sub_addresses,
        long_lines=args.long_lines,
        bare_lf=args.bare_lf,
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


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


def _new_user(name: str) -> int:
    from fsm.mail.auth import new_entry

    terminal = sys.stdin.isatty()
    password = getpass.getpass(f"Password for {name}: ") if terminal else sys.stdin.readline().rstrip("\r\n")
    try:
        print(new_entry(name, password))
    except ValueError as error:
        raise CommandError(str(error)) from None
    return 0


def _log_to_stderr(verbose: int, form: str) -> BackgroundHandler:
    from fsm.mail.logs import BackgroundHandler, JsonLines, Sparing

    handler = BackgroundHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonLines() if form == "json" else text)
    handler.addFilter(Sparing())
    logging.basicConfig(level=(logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)], handlers=[handler])
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    return handler
