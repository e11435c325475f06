"""`fsm completion`: a script with which bash, zsh or fish completes the commands, their options and what these take.

    eval "$(fsm completion bash)"                                    in ~/.bashrc
    fsm completion zsh > ~/.zfunc/_fsm                               a folder of $fpath, before compinit
    fsm completion fish > ~/.config/fish/completions/fsm.fish

The script is written from the parsers of all commands, and starts no program when it is used.  An option takes one of
its choices, a file if its metavar says so, or anything.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from shlex import quote
from typing import Final, NamedTuple

from fsm.commands import write_output

__all__ = ["SHELLS", "add_arguments", "run"]

FILES: Final = ("FILE", "FOLDER", "CHART", "OLD", "NEW")
"""Metavars of what may be a file."""


class _Argument(NamedTuple):
    """An option, or without names a positional argument: `takes` nothing (None), files, or one of `words`, if any."""

    names: tuple[str, ...]
    doc: str
    metavar: str
    takes: bool
    files: bool
    words: tuple[str, ...]
    again: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the argument of the command."""
    parser.add_argument("shell", choices=tuple(SHELLS), help="the shell")


def run(args: argparse.Namespace) -> int:
    """Print the script, and return the exit status."""
    from fsm.cli import COMMANDS, make_parser

    found = make_parser(*COMMANDS)
    told = {name: [_argument(one, command) for one in command.actions()] for name, command in found.commands.items()}
    told["help"] = [one if one.names else one._replace(words=tuple(COMMANDS)) for one in told["help"]]
    write_output(SHELLS[args.shell](COMMANDS, told).encode(), None)
    return 0


def _argument(action: argparse.Action, parser: argparse.ArgumentParser) -> _Argument:
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    braced = tuple(metavar[1:-1].split(",")) if metavar.startswith("{") else ()
    words = tuple(map(str, action.choices)) if action.choices is not None else braced
    doc = (action.help or "") % {**vars(action), "prog": parser.prog}
    files = (metavar or action.dest).upper() in FILES
    again = action.nargs in ("*", "+") or isinstance(action.default, list) or "may be repeated" in doc
    return _Argument(tuple(action.option_strings), doc, "value" if braced else metavar or action.dest,
                     action.nargs != 0, files, words, again)  # fmt: skip


def _options(arguments: Iterable[_Argument]) -> list[_Argument]:
    return [one for one in arguments if one.names]


def _positional(arguments: Iterable[_Argument]) -> tuple[bool, tuple[str, ...]]:
    """Return whether files are taken without an option, and which words."""
    some = [one for one in arguments if not one.names]
    return any(one.files for one in some), tuple(word for one in some for word in one.words)


# ------------------------------------------------------------------------------------------------------------ bash

BASH: Final = """\
# completion of fsm for bash: eval "$(fsm completion bash)"
_fsm() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words= files= IFS=$' \\t\\n'
    if [ "$word" = = ]; then word=; elif [ "$before" = = ]; then before=${{COMP_WORDS[COMP_CWORD-2]}}; fi
    if [ "$COMP_CWORD" = 1 ]; then words={commands}; else
    case ${{COMP_WORDS[1]}}:$before in
{cases}
    esac; fi
    [ -n "$words" ] && COMPREPLY=($(compgen -W "$words" -- "$word"))
    if [ -n "$files" ]; then
        IFS=$'\\n'
        COMPREPLY+=($(compgen -f -- "$word"))
        compopt -o filenames 2> /dev/null
    fi
}}
complete -F _fsm fsm
"""


def _bash(commands: Iterable[str], told: dict[str, list[_Argument]]) -> str:
    cases = []
    for name, arguments in told.items():
        for one in _options(arguments):
            if one.takes:
                act = "files=1" if one.files else f"words={quote(' '.join(one.words))}" if one.words else ":"
                cases.append(f"    {'|'.join(f'{name}:{option}' for option in one.names)}) {act};;")
        files, words = _positional(arguments)
        options = f"words={quote(' '.join(option for one in _options(arguments) for option in one.names))}"
        given = f"words={quote(' '.join(words))} files={'1' if files else ''}"
        act = f"case $word in -*) {options};; *) {given};; esac" if files or words else options
        cases.append(f"    {name}:*) {act};;")
    return BASH.format(commands=quote(" ".join([*commands, "--help", "--version"])), cases="\n".join(cases))


# ------------------------------------------------------------------------------------------------------------- zsh

ZSH: Final = """\
#compdef fsm
# completion of fsm for zsh: fsm completion zsh > a folder of $fpath, as _fsm
_fsm() {{
    local -a commands=({commands})
    if (( CURRENT == 2 )); then _describe 'command' commands; return; fi
    local command=$words[2]
    shift words; (( CURRENT-- ))
    case $command in
{cases}
    esac
}}
if [ "$funcstack[1]" = _fsm ]; then _fsm "$@"; else compdef _fsm fsm; fi
"""


def _zsh(commands: dict[str, str], told: dict[str, list[_Argument]]) -> str:
    def escaped(text: str) -> str:
        return "".join(f"\\{c}" if c in "[]:\\" else c for c in text)

    def action(one: _Argument) -> str:
        return "_files" if one.files else f"({' '.join(one.words)})" if one.words else " "

    cases = []
    for name, arguments in told.items():
        specs = []
        for one in _options(arguments):
            head = "" if len(one.names) == 1 else f"({' '.join(one.names)})"
            value = f":{escaped(one.metavar)}:{action(one)}" if one.takes else ""
            for option in one.names:
                equals = "=" if one.takes and option.startswith("--") else ""
                specs.append(quote(f"{'*' if one.again else head}{option}{equals}[{escaped(one.doc)}]{value}"))
        specs += [
            quote(f"{'*' if one.again else ''}:{escaped(one.metavar)}:{action(one)}")
            for one in arguments
            if not one.names
        ]
        cases.append(f"    {name}) _arguments {' '.join(specs)};;")
    described = " ".join(quote(f"{name}:{escaped(doc)}") for name, doc in commands.items())
    return ZSH.format(commands=described, cases="\n".join(cases))


# ------------------------------------------------------------------------------------------------------------ fish


def _fish(commands: dict[str, str], told: dict[str, list[_Argument]]) -> str:
    def escaped(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    lines = [
        "# completion of fsm for fish: fsm completion fish > ~/.config/fish/completions/fsm.fish",
        "complete -c fsm -f",
    ]
    for name, doc in commands.items():
        lines.append(f"complete -c fsm -n __fish_use_subcommand -a {name} -d {escaped(doc)}")
    lines.append("complete -c fsm -n __fish_use_subcommand -l help -l version")
    for name, arguments in told.items():
        here = f"complete -c fsm -n '__fish_seen_subcommand_from {name}'"
        files, words = _positional(arguments)
        lines += [f"{here} -F"] * files + [f"{here} -a {escaped(' '.join(words))}"] * bool(words)
        for one in _options(arguments):
            names = " ".join(f"-l {o[2:]}" if o.startswith("--") else f"-s {o[1:]}" for o in one.names)
            value = " -r -F" if one.files else f" -x -a {escaped(' '.join(one.words))}" if one.words else " -x"
            lines.append(f"{here} {names}{value if one.takes else ''} -d {escaped(one.doc)}")
    return "\n".join(lines) + "\n"


SHELLS: Final = {"bash": _bash, "zsh": _zsh, "fish": _fish}
