"""Docstrings as reStructuredText: `names` become code, and so do indented lines; and where their types lead.

Ours are written to be read as they are, in a terminal or an editor.
"""

import re
from importlib import import_module

from docutils import nodes
from sphinx.util.nodes import make_refnode

ITEM = re.compile(r"(\d+\.|[-*]) ")


def converted(lines):
    """Return the lines of a docstring with their code and their lists marked."""
    found, code, inside = [], False, False
    for line in lines:
        indented, blank = line.startswith("    "), not found or not found[-1].strip()
        if indented and not code and blank and not inside:
            found += ["::", ""]
            code = True
        elif code and line.strip() and not indented:
            code = False
        if ITEM.match(line):
            if not blank and not inside:
                found.append("")
            inside = True
        elif line.strip() and not line.startswith(" "):
            if inside and not blank:
                found.append("")
            inside = False
        found.append(line if code else _marked(line))
    return found


def _marked(line):
    """Return a line of prose: what stands in backquotes is code, and nothing else is markup."""
    parts = re.split(r"(`[^`]+`)", line)
    return "".join(f"`{part}`" if place % 2 else _plain(part) for place, part in enumerate(parts))


def _plain(text):
    lead = "* " if text.startswith("* ") else ""
    return lead + re.sub(r"([*|])|(?<=\w)(_)(?!\w)", r"\\\1\2", text.removeprefix(lead))


def process(app, what, name, obj, options, lines):
    of_type = what == "data" and lines and type(obj).__module__ == "builtins" and lines[0] in str(type(obj).__doc__)
    if of_type or (lines and lines[0].startswith("Alias for field number")):  # what a tuple is, not what this one is
        lines.clear()
    lines[:] = converted(obj.__doc__.splitlines() if what == "module" and obj.__doc__ else lines)


def where(app, env, node, content):
    """Resolve the type of a signature, which names the file it is defined in, to the door that describes it."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith("fsm."):
        return None
    if not re.fullmatch(r"[\w.]+", target):
        return nodes.inline("", "", content)  # a type written out, no name
    module, _, name = target.rpartition(".")
    for full, entry in env.get_domain("py").objects.items():
        if full.rpartition(".")[2] == name and entry.objtype in ("class", "exception", "data"):
            return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, full)
    try:
        known = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        known = None
    return None if known is None else nodes.inline("", "", content)  # it is there, and no page describes it


def setup(app):
    app.connect("autodoc-process-docstring", process)
    app.connect("missing-reference", where)
    return {"parallel_read_safe": True}
