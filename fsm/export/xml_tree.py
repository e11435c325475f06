"""XML read safely: a tree of elements with their lines, and nothing that a document could make a reader do.

A document type is refused, and with it every entity, internal or external: nothing is expanded, nothing is fetched.
"""

from __future__ import annotations

from typing import Final
from xml.parsers import expat

from fsm.export.errors import ReadError

__all__ = ["Element", "parse"]

DEEPEST: Final = 100
"""Levels of elements; a state is one level."""


class Element:
    """An element: its name without the namespace, its attributes, what is in it, and its line."""

    def __init__(self, namespace: str, name: str, attributes: dict[str, str], line: int) -> None:
        self.namespace, self.name, self.attributes, self.line = namespace, name, attributes, line
        self.children: list[Element] = []
        self.text = ""

    def get(self, name: str) -> str | None:
        """An attribute; None if it is not there."""
        return self.attributes.get(name)

    def all(self, *names: str) -> list[Element]:
        """The children of these names."""
        return [child for child in self.children if child.name in names]

    def walk(self) -> list[Element]:
        """This element and all in it, in the order of the document."""
        return [self, *(one for child in self.children for one in child.walk())]


def parse(text: str) -> tuple[Element, list[str]]:
    """Return the root of a document, and its comments.  ReadError, with the line, for one that is not read."""
    parser = expat.ParserCreate(namespace_separator=" ")
    comments: list[str] = []
    top = Element("", "", {}, 0)
    open_ones = [top]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(open_ones) > DEEPEST:
            raise ReadError(_line(parser), f"more than {DEEPEST} elements stand in each other")
        namespace, _, plain = name.rpartition(" ")
        found = Element(namespace, plain, attributes, parser.CurrentLineNumber)
        open_ones[-1].children.append(found)
        open_ones.append(found)

    def doctype(*_: object) -> None:
        raise ReadError(_line(parser), "a document type is not read, and entities are not expanded; take it out")

    def characters(data: str) -> None:
        open_ones[-1].text += data

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: open_ones.pop()
    parser.CharacterDataHandler = characters
    parser.CommentHandler = comments.append
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text.encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError as error:
        problem = expat.errors.messages[error.code]
        raise ReadError(f"line {error.lineno}, column {error.offset + 1}", f"not XML: {problem}") from None
    return top.children[0], comments


def _line(parser: expat.XMLParserType) -> str:
    return f"line {parser.CurrentLineNumber}"
