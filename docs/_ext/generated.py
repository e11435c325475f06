"""What our own pages show that is made when they are built: the commands, the sentences, the gallery, the doors."""

import argparse
import ast
import inspect
import logging
import re
from importlib import import_module
from keyword import iskeyword
from pathlib import Path

from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]


class Made(SphinxDirective):
    """A directive whose content is written as reStructuredText by `lines()`."""

    def run(self):
        for file in [__file__, *self.depends()]:
            self.env.note_dependency(str(file))
        return self.parse_text_to_nodes("\n".join(self.lines()), allow_section_headings=True)

    def depends(self):
        return []


def underlined(text, mark="-"):
    return [text, mark * len(text), ""]


class Commands(Made):
    """`fsm-commands`: every command with its arguments, from its parser."""

    def lines(self):
        from fsm.cli import COMMANDS

        for name, summary in sorted(COMMANDS.items()):
            module = import_module(f"fsm.commands.{name}{'_' * iskeyword(name)}")
            parser = argparse.ArgumentParser(prog=f"fsm {name}", add_help=False)
            module.add_arguments(parser)
            yield from [f".. _fsm-{name}:", "", *underlined(f"fsm {name}"), f"{plain(summary[0].upper() + summary[1:])}.", ""]
            yield from actions(parser)

    def depends(self):
        return sorted((ROOT / "fsm" / "commands").glob("*.py"))


def actions(parser):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from [f"``{inner.prog}``", f"   {plain(inner.description or '')}", ""]
                yield from (f"   {line}" if line else "" for line in actions(inner))
            continue
        if action.help == argparse.SUPPRESS:
            continue
        value = action.metavar or ("" if action.nargs == 0 else "|".join(map(str, action.choices)) if action.choices else action.dest.upper())
        value = " ".join(value) if isinstance(value, tuple) else value
        names = action.option_strings or [value]
        term = ", ".join(f"{name} {value}".strip() if action.option_strings else name for name in names)
        text = (action.help or "") % {**vars(action), "prog": parser.prog}
        more = [" May be repeated."] if isinstance(action, argparse._AppendAction) and "repeated" not in text else []
        yield from [f"``{term}``", f"   {plain(text)}{''.join(more)}", ""]


def plain(text):
    return re.sub(r"([*`|\\]|(?<=\w)_(?!\w))", r"\\\1", text.replace("\n", " "))


class Sentences(Made):
    """`logoff-sentences`: every sentence of the source, with the rows that cite it and the test that holds it."""

    option_spec = {"pages": directives.unchanged}
    PAGES = (("IMAPISupport::StoreLogoffTransports", 1, 37), ("IMsgStore::StoreLogoff", 38, 68), ("Shutting Down a Message Store Provider", 69, 86))

    def lines(self):
        from fsm.logoff import LOGOFF
        from fsm.logoff.citations import SENTENCES
        from fsm.logoff.gallery import atlas
        from tests.logoff.test_citations import DOCUMENTATION, TESTS

        rows = {}
        for row in LOGOFF.rows:
            for number in row.cites:
                rows.setdefault(number, []).append(row.id)
        uses = atlas().uses
        for title, first, last in self.PAGES:
            yield from underlined(title)
            for number in (f"S{n}" for n in range(first, last + 1)):
                yield from [f".. _{number.lower()}:", "", f"**{number}**. {plain(SENTENCES[number])}.", ""]
                found = rows.get(number, [])
                if found:
                    shown = " ".join(f":fsm:row:`{one}`" for one in found[:6])
                    more = f" and {len(found) - 6} more" if len(found) > 6 else ""
                    seen = next((uses[one].trace for one in found if uses[one].trace), ())
                    yield from [f"   Rows: {shown}{more}" + (f". Seen in :fsm:trace:`{','.join(seen)}`" if seen else ""), ""]
                if number in TESTS:
                    yield from ["   Test: ``tests/logoff/{}.py::{}``".format(*TESTS[number].split(".")), ""]
                if number in DOCUMENTATION:
                    yield from ["   It describes, and asks for nothing.", ""]

    def depends(self):
        return [ROOT / "fsm" / "logoff" / "citations.py", ROOT / "fsm" / "logoff" / "chart.py", ROOT / "tests" / "logoff" / "test_citations.py"]


class Gallery(Made):
    """`logoff-gallery`: the pictures of each request, with their texts, from `fsm.logoff.gallery`."""

    def lines(self):
        from fsm.logoff.gallery import GALLERY

        for kind, entries in (("flag", GALLERY.events), ("counter", GALLERY.counters)):
            for name, title, text in entries:
                yield from [*underlined(title), cited(text), ""]
                yield from [".. fsm-chart:: fsm.logoff:LOGOFF", f"   :{kind}: {name}", "   :brief:", f"   :alt: {title}", ""]
                yield from ["   Picked out is every way on which this leads to the end.", ""]
        yield from underlined("Why each odd arc is there")
        for rows, name, why in GALLERY.odd:
            links = " ".join(f":fsm:row:`{row}`" for row in rows)
            yield from [cited(name), f"   {cited(why)}", "", f"   {links}", ""]
        yield from underlined("What was left out")
        for text in GALLERY.left_out:
            yield from [f"* {cited(text)}", ""]

    def depends(self):
        return [ROOT / "fsm" / "logoff" / "gallery.py"]


def cited(text):
    """Markdown's words in reStructuredText, with a link for every sentence that is named."""
    text = re.sub(r"`([^`]+)`", r"``\1``", text)
    return re.sub(r"\bS(\d{1,2})\b", r":ref:`S\1 <s\1>`", text)


class LogLines(Made):
    """`log-lines`: every call of a logger, from the source, by its level."""

    LEVELS = {"error": "Errors", "warning": "Warnings", "info": "Information", "debug": "Details"}

    def lines(self):
        found = {level: set() for level in self.LEVELS}
        for file in sorted((ROOT / "fsm").rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("log.") and node.args:
                    level = {"exception": "error"}.get(ast.unparse(node.func)[4:], ast.unparse(node.func)[4:])
                    words = "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "…"
                        for one in node.args[:1] for part in (one.values if isinstance(one, ast.JoinedStr) else [one])
                    )
                    if level in found and re.search(r"[a-z]{3}", words):  # not what has no words of its own
                        found[level].add((str(file.parent.relative_to(ROOT)).replace("/", "."), words))
        for level, title in self.LEVELS.items():
            yield from underlined(title)
            yield from (f"* ``{words}`` ({place})" for place, words in sorted(found[level]))
            yield ""


class Metrics(Made):
    """`store-metrics`: what a store tells Prometheus."""

    def lines(self):
        from fsm.store import Store
        from fsm.store.metrics import StoreCollector

        logging.getLogger("fsm.store").setLevel(logging.WARNING)
        with Store(name="outbox") as store:
            found = list(StoreCollector(store).collect())
        for metric in found:
            labels = sorted({label for sample in metric.samples for label in sample.labels} | {"store"})
            suffix = "_total" if metric.type == "counter" else ""
            yield from [f"``{metric.name}{suffix}`` ({metric.type}; {', '.join(labels)})", f"   {plain(metric.documentation)}.", ""]


class Books(Made):
    """`embedding-books`: the table of the embedded programs, without its links to folders."""

    def lines(self):
        text = (ROOT / "examples" / "embedding" / "README.md").read_text(encoding="utf-8")
        table = text.partition("<!-- books -->")[2].partition("<!-- /books -->")[0]
        return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", table).strip().splitlines()

    def depends(self):
        return [ROOT / "examples" / "embedding" / "README.md"]


class Doors(Made):
    """`fsm-doors`: what a page of the reference describes: the names that these modules promise."""

    has_content = True

    def lines(self):
        for line in self.content:
            name, *chosen = line.split()
            module = import_module(name.removesuffix(":"))
            names = chosen or getattr(module, "__all__", None)
            assert names, f"{name} promises nothing"
            if chosen:
                yield from self.described(module.__name__, module, names)
                continue
            yield from [f".. _door-{name}:", "", *underlined(name)]
            yield from [f".. automodule:: {name}", "   :no-members:", ""]
            shown = [one for one in names if not one.startswith("__") and not inspect.ismodule(getattr(module, one))]
            shown = [one for one in shown if self.FIRST.get(id(getattr(module, one)), f"{name}.{one}") == f"{name}.{one}"]
            yield from [", ".join(f":py:obj:`{one} <{name}.{one}>`" for one in shown), ""]
            yield from self.described(name, module, names)

    FIRST = {}
    """Which door describes a class that several of them have."""

    def described(self, name, module, names):
        for one in names:
            value = getattr(module, one)
            first = self.FIRST.setdefault(id(value), f"{name}.{one}") if inspect.isclass(value) else f"{name}.{one}"
            if first != f"{name}.{one}":
                yield from [f"``{one}`` is :py:obj:`{first}`.", ""]
            elif not inspect.ismodule(value) and not one.startswith("__"):
                yield from [f".. {kind(value)}:: {name}.{one}", *(["   :members:", "   :inherited-members: " + BASES] if inherits(value) else ["   :members:", "   :exclude-members: cache_ok"] if inspect.isclass(value) else []), ""]


BASES = "object, Machine, Exception, BaseException, tuple, str, int, Enum, IntEnum, IntFlag, Flag, Mapping, Protocol, NamedTuple, MachineError, Collector, Generic, ValueError"


def inherits(value):
    return inspect.isclass(value) and any(one.__module__.startswith("fsm.") for one in value.__mro__[1:])


def kind(value):
    if inspect.isclass(value):
        return "autoexception" if issubclass(value, BaseException) else "autoclass"
    return "autofunction" if callable(value) and hasattr(value, "__code__") else "autodata"


def setup(app):
    for name, one in (("fsm-commands", Commands), ("logoff-sentences", Sentences), ("logoff-gallery", Gallery), ("fsm-doors", Doors), ("log-lines", LogLines), ("store-metrics", Metrics), ("embedding-books", Books)):
        app.add_directive(name, one)
    return {"parallel_read_safe": True}
