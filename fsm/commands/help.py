"""`fsm help`: what the commands are; `fsm help COMMAND`: what one takes, as `fsm COMMAND --help`."""

from __future__ import annotations

import argparse
from difflib import get_close_matches

from fsm.commands import CommandError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the argument of the command."""
    from fsm.cli import COMMANDS

    parser.add_argument("command", nargs="?", metavar="COMMAND", help=f"one of {', '.join(COMMANDS)}")


def run(args: argparse.Namespace) -> int:
    """Print the help, and return the exit status."""
    from fsm.cli import COMMANDS, make_parser

    name: str | None = args.command
    if name is None:
        make_parser().print_help()
        return 0
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        raise CommandError(f"there is no command {name!r}; {hint}")
    make_parser(name).commands[name].print_help()
    return 0
