"""`fsm stubs`: write the typed session class of a chart, and keep it fresh.

    fsm stubs shop.orders:ORDER -o shop/sessions.py [--check]

The class stands between two marked lines.  With `-o FILE` a new file is written, or in a file that is there what stands
between these lines, so that anything may stand around them: the chart itself, a subclass, a test.  `--check` writes
nothing and ends with exit status 1 when the class is not what it would be.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from re import sub
from types import ModuleType
from typing import Final

from fsm.chart import Chart, Event
from fsm.commands import CommandError, write_output
from fsm.commands.chart_files import find_chart, module_of, output_to_stderr
from fsm.condition import name_of
from fsm.errors import DefinitionError
from fsm.session import TAKEN
from fsm.variable import Boolean, Choice, Variable

__all__ = ["add_arguments", "class_text", "run"]

BEGIN: Final = "# fsm stubs {where}{name}: the command writes what stands from here to the end mark"
END: Final = "# end of fsm stubs {where}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("chart", metavar="CHART", help="module or file.py, with :NAME if it has several charts")
    parser.add_argument("-o", dest="file", metavar="FILE", help="write it there, between its marks if it is there")
    parser.add_argument("--name", metavar="CLASS", help="the name of the class (after the chart's)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 when FILE is not up to date")


def run(args: argparse.Namespace) -> int:
    """Write or check the class, and return the exit status."""
    where, file = args.chart, Path(args.file) if args.file is not None else None
    if args.check and file is None:
        raise CommandError("--check looks at a file; name it with -o FILE")
    if args.name is not None and (not args.name.isidentifier() or iskeyword(args.name)):
        raise CommandError(f"--name is the name of a class, not {args.name!r}")
    old = _text(file) if file is not None else None
    begin, end = (0, 0) if old is None or file is None else _marks(old, where, file)
    inside = file is not None and old is not None and _is_module(where, file)
    chart, name, homes = _found(where, old[:begin] + old[end:] if inside and old is not None else None)
    block = _block(where, chart, args.name, name, dict.fromkeys(homes, "") if inside else homes)
    new = block if old is None else old[:begin] + block + old[end:]
    if args.check:
        if old == new:
            return 0
        lines = ((old or "").splitlines(True), new.splitlines(True))
        print("".join(difflib.unified_diff(*lines, "now", "would be")), end="")
        raise CommandError(f"{file} is not up to date; write it again with: fsm stubs {where} -o {file}", 1)
    if old != new or file is None:
        write_output(new.encode(), args.file)
    else:
        print(f"fsm stubs: {file} is up to date", file=sys.stderr)
    return 0


def _text(file: Path) -> str | None:
    """The file as it is; None when it is not there."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None


def _marks(text: str, where: str, file: Path) -> tuple[int, int]:
    """Where the class of this chart begins and ends in a file.  CommandError when its marks are not there once each."""
    first, last = f"# fsm stubs {where}", END.format(where=where)
    lines = text.splitlines(keepends=True)
    begins = [n for n, line in enumerate(lines) if line.startswith((f"{first}: ", f"{first} --name "))]
    ends = [n for n, line in enumerate(lines) if line.rstrip() == last]
    if len(begins) != 1 or len(ends) != 1 or begins > ends:
        marks = f"{BEGIN.format(where=where, name='')!r} and {last!r}"
        raise CommandError(f"{file} is there and does not say where the class belongs; put these lines there: {marks}")
    return sum(map(len, lines[: begins[0]])), sum(map(len, lines[: ends[0] + 1]))


# ------------------------------------------------------------------------------------------------------ the chart


def _is_module(where: str, file: Path) -> bool:
    """Whether the class is to stand in the file of the chart itself."""
    source = _source(where)
    return source is not None and source.resolve() == file.resolve()


def _source(where: str) -> Path | None:
    if where.lower().endswith(".py") or ".py:" in where:
        return Path(where if where.lower().endswith(".py") else where.rpartition(":")[0])
    sys.path.insert(0, "")
    try:
        spec = find_spec(where.partition(":")[0])
    except (ImportError, ValueError, AttributeError):
        return None
    finally:
        sys.path.remove("")
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def _found(where: str, without: str | None) -> tuple[Chart, str, dict[str, str]]:
    """Return the chart, its name in its module, and for the present name of that the one by which it is imported.

    `without` is the module's text without the class, which may be too old for the chart to be imported.
    """
    if where.lower().endswith((".json", ".scxml")):
        raise CommandError(f"{where} cannot be imported by the class; give a chart in Python")
    wanted = where.rpartition(":")[2] if ":" in where and not where.lower().endswith(".py") else None
    module: ModuleType | None
    if without is None:
        chart, module = find_chart(where), module_of(where)
        assert module is not None
    else:
        module = _run(where, without)
        charts = {name: one for name, one in vars(module).items() if isinstance(one, Chart)}
        if wanted is not None and wanted not in charts:
            raise CommandError(f"{where} is no chart; there is {', '.join(charts) or 'none'}")
        if wanted is None and len({id(one) for one in charts.values()}) != 1:
            raise CommandError(f"{where} has {len(charts)} charts; say which, as {where}:NAME")
        chart = charts[wanted] if wanted is not None else next(iter(charts.values()))
    name = wanted or next(name for name, one in vars(module).items() if one is chart)
    source = _source(where)
    by_file = ".py" in where and source is not None
    imported = source.stem if by_file and source is not None else where.partition(":")[0]
    return chart, name, {module.__name__: imported}


def _run(where: str, text: str) -> ModuleType:
    """Run the chart's file without the class."""
    source = _source(where)
    module = ModuleType(f"chart_file_{source.stem if source is not None else ''}")
    module.__file__ = str(source)
    sys.path[:0] = [str(source.parent) if source is not None else "", ""]
    sys.modules[module.__name__] = module
    try:
        with output_to_stderr():
            exec(compile(text, str(source), "exec"), vars(module))
    except DefinitionError as error:
        raise CommandError(f"{where} is wrong: {error}") from error
    except (Exception, SystemExit) as error:
        raise CommandError(f"cannot import {where!r} without the class: {type(error).__name__}: {error}") from error
    finally:
        del sys.path[:2]
        del sys.modules[module.__name__]
    return module


# ------------------------------------------------------------------------------------------------------ the class


def _block(where: str, chart: Chart, given: str | None, name: str, homes: dict[str, str]) -> str:
    called = given or _class_name(chart, name)
    begin = BEGIN.format(where=where, name=f" --name {given}" if given else "")
    return f"{begin}\n{class_text(chart, called, name, homes)}{END.format(where=where)}\n"


def _class_name(chart: Chart, taken: str) -> str:
    """`StoreLogoff` for the chart store-logoff."""
    words = sub(r"[^A-Za-z0-9]+", " ", chart.name).split()
    name = "".join(word[0].upper() + word[1:] for word in words).lstrip("0123456789") or "Chart"
    return f"{name}Session" if name in (taken, "Session", "Chart", "Step") or iskeyword(name) else name


def class_text(chart: Chart, called: str, name: str, homes: Mapping[str, str]) -> str:
    """Return the source of the session class of a chart that is called `name`, with its imports.

    `homes` has the name of the chart's module and the one to import it by, empty if the class stands in it.
    The class has an annotation for each variable, a trigger with the data of its event for each event, and what a
    listener may define, for type checkers and editors alone.
    """
    methods = _methods(chart)
    variables = [one for one in chart.variables if one.name not in TAKEN and one.name not in methods.values()]
    types = {one.name: _type(one) for one in variables}
    needed = {(module, name) for module in homes.values()}
    for one in variables:
        enums = [type(v) for v in one.values if isinstance(v, Enum)] if isinstance(one, Choice) else []
        needed |= {(homes.get(enum.__module__, enum.__module__), enum.__qualname__) for enum in enums}
    literal = ", Literal" if any("Literal[" in one for one in types.values()) else ""
    lines = [f"from typing import TYPE_CHECKING{literal}", ""]
    lines += [f"from {module} import {one}" for module, one in sorted(needed) if module]
    lines += ["from fsm import Session, trigger", "", "if TYPE_CHECKING:", "    from fsm import Step", "", ""]
    described = _docstring(chart.doc or f"A session of {chart.name}.")
    lines += [f"class {called}(Session, chart={name}):", f"    {described}", ""]
    slots = ", ".join(f'"_{one}"' for one in chart.names)
    lines += [f"    __slots__ = ({slots}{',' if len(chart.names) == 1 else ''})", *([""] if variables else [])]
    lines += [line for one in variables for line in (f"    {one.name}: {types[one.name]}", *_doc(one.doc))]
    lines += [""]
    for event in chart.events:
        lines += [*_trigger(event, methods[event.name]), ""]
    lines += ["    if TYPE_CHECKING:  # what a listener may define: a subclass, or any object given to `listen`"]
    lines += [f"        def {one}(self, step: Step) -> None: ..." for one in _moments(chart, set(methods.values()))]
    return "\n".join(lines) + "\n\n"


def _methods(chart: Chart) -> dict[str, str]:
    """The name of each event's trigger: its own, unless that is no Python name or belongs to every session."""
    found: dict[str, str] = {}
    names = {event.name for event in chart.events}
    for event in chart.events:
        name = sub(r"\W", "_", event.name)
        name = f"_{name}" if name[:1].isdigit() else name
        name = (name.strip("_") and (f"on_{name.strip('_')}" if name.startswith("_") else name)) or "event"
        while iskeyword(name) or name in TAKEN or name in found.values() or (name != event.name and name in names):
            name += "_event"
        found[event.name] = name
    return found


def _trigger(event: Event, method: str) -> Iterator[str]:
    data = [f"{one.name}: {one.annotation}{'' if one.required else f' = {_value(one.default)}'}" for one in event.data]
    yield "    @trigger" if method == event.name else f"    @trigger(event={_value(event.name)})"
    yield f"    def {method}({', '.join(['self', *(['*'] if data else []), *data])}) -> None:"
    described = [f"{one.name}: {one.doc}" for one in event.data if one.doc]
    text = event.doc or event.name
    yield f"        {_docstring('; '.join([text, *described]))}"


def _moments(chart: Chart, triggers: set[str]) -> Iterator[str]:
    """The names of all listener methods."""
    names = ["before", "after", "on_step", "on_transition"]
    names += [f"{moment}_{event}" for event in chart.events for moment in ("before", "after")]
    names += [f"{moment}_{state}" for state in chart.states for moment in ("on_exit", "on_enter")]
    yield from (name for name in dict.fromkeys(names) if name.isidentifier() and name not in triggers)


def _type(variable: Variable) -> str:
    """The type of a variable as it is written in Python."""
    if not isinstance(variable, Choice):
        return "int"
    if isinstance(variable, Boolean):
        return "bool"
    enums = dict.fromkeys(type(value).__qualname__ for value in variable.values if isinstance(value, Enum))
    texts = [_value(name_of(one)) for one in variable.values if isinstance(one, str) and not isinstance(one, Enum)]
    parts = [*enums, *([f"Literal[{', '.join(texts)}]"] if texts else [])]
    return " | ".join([*parts, *(["None"] if None in variable.values else [])])


def _docstring(text: str) -> str:
    """A text as a docstring on one line, whatever stands in it."""
    plain = " ".join(text.split())
    if plain.isprintable() and "\\" not in plain and '"""' not in plain and not plain.endswith('"'):
        return f'"""{plain}"""'
    return repr(plain)


def _value(value: object) -> str:
    """A value as Python has it, a string with the quotes of the rest."""
    return json.dumps(value) if isinstance(value, str) and value.isascii() and value.isprintable() else repr(value)


def _doc(text: str) -> list[str]:
    return [f"    {_docstring(text)}"] if text else []
