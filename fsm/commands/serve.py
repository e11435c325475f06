"""`fsm serve`: a small real message store, between an inbound port, a submission port and a smarthost.

It prints one line `ready ...` when it is ready; the log is on standard error.  The first SIGTERM or SIGINT starts the
plan, and each further one begins its next step (`fsm.store.signals`); so does any other signal that would end a
program.  SIGHUP reads the certificate, the users and the configuration file anew, with its mailboxes, and the form of
the log.  At the end it prints the outcome,
one sentence.  The exit status is 0 if the store was released, and 75 (try again later) if the plan ended before,
whether or not somebody reads what is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import getpass
import logging
import os
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from fsm.commands import CommandError
from fsm.commands.serve_options import Tables, Values, add_options, config_of, merged
from fsm.install import install_command

if TYPE_CHECKING:
    from fsm.mail.config import Config
    from fsm.mail.logs import BackgroundHandler
    from fsm.store.aio import AsyncSpooler, AsyncStore
    from fsm.store.outcome import Outcome, SpoolerOutcome
    from fsm.store.plan import Plan
    from fsm.store.signals import AsyncLadder

__all__ = ["add_arguments", "run"]

TEMPFAIL: Final = 75
"""EX_TEMPFAIL of sysexits.h: mail programs use it for what will be done later."""
SWITCH: Final = 0.0005
"""The interval of `sys.setswitchinterval`: the event loop must not wait 5 ms, the default, for the store's thread.
Measured with one client: a fifth more messages a second."""

YOUNG: Final = 10_000
"""New objects between two runs of Python's garbage collector; the default is 700, and a few messages make so many."""

ENDING: Final = ("SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR")
"""Signals that would end a program, and here count as SIGTERM."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fsm serve`."""
    parser.add_argument("--config", metavar="FILE", help="read options from a TOML file: their names, without dashes")
    add_options(parser)
    parser.add_argument("--new-user", metavar="NAME", help="ask for a password, print a line for the file of --users")


def run(args: argparse.Namespace) -> int:
    """Serve, and return the exit status."""
    if args.new_user is not None:
        return _new_user(args.new_user)
    if find_spec("sqlalchemy") is None:
        raise CommandError(f"serving mail needs sqlalchemy; install it with: {install_command('mail')}")
    from fsm.mail.errors import ConfigError

    try:
        values, mailboxes = merged(args)
        config = config_of(values, mailboxes)
    except ConfigError as error:
        raise CommandError(str(error)) from None
    handler = _log_to_stderr(values)
    sys.setswitchinterval(SWITCH)
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(config, handler, lambda: merged(args)))
    finally:
        handler.finish()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes an event loop: uvloop, where it is installed, serves mail with less CPU time."""
    if find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


async def _serve(config: Config, handler: BackgroundHandler, reread: Callable[[], tuple[Values, Tables]]) -> int:
    from fsm.mail.errors import CannotServe, ConfigError
    from fsm.mail.server import MailServer
    from fsm.mail.systemd import Supervised

    values = Values()

    def anew() -> Config:
        nonlocal values
        values, mailboxes = reread()
        return config_of(values, mailboxes)

    def reload() -> None:
        before = server.config
        server.reload()
        if server.config is not before:  # nothing is wrong with it
            _form_log(handler, values)

    try:
        async with MailServer(config, anew) as server, Supervised(server.whole) as supervised:
            there = [f"{name}={address}" for name, address in server.addresses.items()]
            if config.smarthost is not None:
                there.append(f"smarthost={config.smarthost.address}")
            loop = asyncio.get_running_loop()
            with _on_signals(server.whole, config.closing_plan, handler.say):
                loop.add_signal_handler(signal.SIGHUP, supervised.reload, reload)
                for name in ENDING:
                    loop.add_signal_handler(getattr(signal, name), os.kill, os.getpid(), signal.SIGTERM)
                if config.smarthost is None and config.submission is not None:
                    handler.say("fsm serve: there is no smarthost: what is submitted stays in the outbox")
                _print(" ".join(["ready", *there, f"store={config.folder}"]))
                supervised.ready()
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


def _on_signals(
    whole: AsyncStore | AsyncSpooler, plan: Plan, say: Callable[[str], object]
) -> AsyncLadder[Outcome] | AsyncLadder[SpoolerOutcome]:  # fmt: skip
    from fsm.store.aio import AsyncStore
    from fsm.store.signals import on_signals

    if isinstance(whole, AsyncStore):
        return on_signals(whole, plan, say=say)
    return on_signals(whole, plan, say=say)


def _print(text: str) -> None:
    """Print a line, if somebody reads it."""
    try:
        print(text, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would try again at exit


def _new_user(name: str) -> int:
    from fsm.mail.auth import new_entry

    terminal = sys.stdin.isatty()
    password = getpass.getpass(f"Password for {name}: ") if terminal else sys.stdin.readline().rstrip("\r\n")
    try:
        print(new_entry(name, password))
    except ValueError as error:
        raise CommandError(str(error)) from None
    return 0


def _log_to_stderr(values: Values) -> BackgroundHandler:
    from fsm.mail.logs import BackgroundHandler, Sparing

    handler = BackgroundHandler()
    handler.addFilter(Sparing())
    logging.basicConfig(handlers=[handler])
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    _form_log(handler, values)
    return handler


def _form_log(handler: BackgroundHandler, values: Values) -> None:
    """Log in this form, and as much, from now on."""
    from fsm.mail.logs import JsonLines

    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonLines() if values["log"] == "json" else text)
    verbose = min(int(str(values["verbose"])), 2)
    logging.getLogger().setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[verbose])
