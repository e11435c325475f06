"""Files that a page names, such as `tests/crash/test_kill.py::test_a_round`, lead to pages with their source.

`test_content.py::test_what_is_sent_is_what_arrives`, without a folder, is one of `tests/mail`.
"""

import re
from pathlib import Path

from docutils import nodes

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"((?:tests|examples|fsm|bench)/[\w./-]+\.\w+|test_\w+\.py)(?:::(\w+))?")
DEFINED = re.compile(r'<span class="nf">(\w+)</span>')
LANGUAGES = {".py": "python", ".c": "c", ".json": "json", ".toml": "toml", ".md": "markdown"}


def page_of(file):
    return f"sources/{file.relative_to(ROOT)}"


def link(app, doctree, page):
    """Make links of the literals that name a file."""
    for node in list(doctree.findall(nodes.literal)):
        named = NAMED.fullmatch(node.astext())
        if named is None or app.builder.format != "html" or isinstance(node.parent, nodes.reference):
            continue
        file = ROOT / ("" if "/" in named[1] else "tests/mail") / named[1]
        if file.is_file():
            app.named_files.add(file)
            to = app.builder.get_relative_uri(page, page_of(file)) + (f"#{named[2]}" if named[2] else "")
            node.replace_self(nodes.reference("", "", node.deepcopy(), internal=True, refuri=to, classes=["source"]))


def pages(app):
    """Yield the page of each file that was named: its source, where each function can be linked to."""
    for file in sorted(app.named_files):
        highlighted = app.builder.highlighter.highlight_block(file.read_text(encoding="utf-8"), LANGUAGES.get(file.suffix, "text"))
        for name in dict.fromkeys(DEFINED.findall(highlighted)):
            highlighted = highlighted.replace(f'<span class="nf">{name}</span>', f'<span class="nf" id="{name}">{name}</span>', 1)
        title = str(file.relative_to(ROOT))
        yield page_of(file), {"title": title, "body": f"<h1>{title}</h1>\n{highlighted}", "parents": []}, "page.html"


def setup(app):
    app.named_files = set()
    app.connect("doctree-resolved", link)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True}
