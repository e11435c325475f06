"""The `fsm` command.  Only the module of the command that is run is imported.

A command reports a mistake by raising CommandError: one sentence on standard error and exit status 2, or 1 if a check
failed.  Any other exception is reported in one sentence as well, or as a traceback if FSM_DEBUG is set in the
environment.  A reader that closes the pipe ends the command quietly, as it does for `cat`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Final, NoReturn

from fsm._version import __version__
from fsm.commands import CommandError

COMMANDS: Final = {
    "check": "examine a machine's properties: what is proved, what was looked at, and a trace where one fails",
    "draw": "draw a machine, or a flag, path or trace in it: SVG, DOT, Mermaid, a table, PNG, PDF",
    "explore": "make a page to step through a machine in the browser, or serve it and follow a journal",
    "export": "write a machine in another language: C, Python, JavaScript, SCXML, XState, Promela, SMT-LIB, JSON",
    "import": "write a machine as Python source, from JSON, SCXML or a Machine of transitions",
    "migrate": "move stored snapshots or a journal from an older table to the present one, or check that all can be",
    "paths": "list every path to a final state, each with an executed witness or the reason why it has none",
    "queue": "list the messages of a mail store; show, retry, hold, resume or withdraw them by id or domain",
    "replay": "answer a stream of events, one JSON line each",
    "serve": "serve real mail: take it in, store it, send it, and log off without losing any",
    "sessions": "list durable sessions, show one and what it may do, fire an event, move all to a changed chart",
    "stores": "list the running stores, their state and what is in their way; ask one to log off",
    "tour": "see real mail logged off in mid-traffic in each way, with every message accounted for",
    "step": "walk through a machine on the terminal, or print a walk",
    "stubs": "write the typed session class of a machine for editors and type checkers, and keep it fresh",
    "completion": "write the completion of these commands for bash, zsh or fish",
    "help": "say what the commands are, or what one of them takes",
}
"""Modules of `fsm.commands` (`import_` for `import`, which Python keeps for itself), each with its summary."""


class Parser(argparse.ArgumentParser):
    """The parser of `fsm`, and of each of its `commands`."""

    commands: Mapping[str, Parser]

    def error(self, message: str) -> NoReturn:
        """Exit with one sentence."""
        self.exit(2, f"{self.prog}: {message}; {self.prog} --help tells what there is\n")

    def actions(self) -> tuple[argparse.Action, ...]:
        """Return every argument, for what is written from them; argparse has no public name for them."""
        return tuple(self._actions)


def make_parser(*wanted: str) -> Parser:
    """Return the parser.  Only the commands that are wanted have their arguments, and are imported."""
    parser = Parser(prog="fsm", description="Explicit finite-state machines, and the store logoff.")
    parser.add_argument("--version", action="version", version=f"fsm {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name in wanted:
            module = import_module(f"fsm.commands.{name}{'_' * iskeyword(name)}")
            module.add_arguments(command)
            command.set_defaults(run=module.run, refuse=command.error)
    parser.commands = commands.choices
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    try:
        return _main(argv)
    except KeyboardInterrupt:  # while modules were imported, or the arguments read
        return 128 + 2


def _main(argv: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    wanted = next((word for word in words if not word.startswith("-")), None)
    parser = make_parser(*([wanted] if wanted is not None else []))
    if not words:
        parser.print_help(sys.stderr)
        return 2
    args, others = parser.parse_known_args(words)
    if others:
        args.refuse(f"unrecognized arguments: {' '.join(others)}")
    for name, mode in (("stdin", "r"), ("stdout", "w")):
        if getattr(sys, name) is None:  # the parent process has closed it
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - it stays open to the end
    try:
        status: int = args.run(args)
        sys.stdout.flush()
    except CommandError as error:
        _flush()
        print(f"fsm {wanted}: {error}", file=sys.stderr)
        return error.status
    except BrokenPipeError:
        _discard_output()
        return 128 + 13
    except OSError as error:
        _discard_output()
        print(f"fsm {wanted}: cannot write the output: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        _flush()
        return 128 + 2
    except Exception as error:
        if "FSM_DEBUG" in os.environ:
            raise
        _flush()
        reason = " ".join(str(error).split()) or "it gives no reason"
        line = f"fsm {wanted}: {type(error).__name__}: {reason} (FSM_DEBUG=1 shows where)"
        print(line.encode("ascii", "backslashreplace").decode(), file=sys.stderr)
        return 1
    return status


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _discard_output()


def _discard_output() -> None:
    """Discard further output, so that Python does not try to write it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
