"""Charts in other languages, and back.

    import fsm
    from fsm.logoff import LOGOFF

    text = fsm.export(LOGOFF, "c")            # or python, javascript, scxml, xstate, promela, smtlib, json

`fsm.export` is this module, and can be called.  `files` gives all files of a format; `read` reads JSON and SCXML.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from fsm.export.errors import ExportError, ReadError
from fsm.export.formats import FORMATS, export, files

__all__ = ["FORMATS", "ExportError", "ReadError", "export", "files"]


class _Export(ModuleType):
    """The module as a function, so that the door `fsm.export` is what it is called."""

    def __call__(self, *arguments: Any, **options: Any) -> str:
        """Return a chart in another language; see `fsm.export.export`."""
        return export(*arguments, **options)


sys.modules[__name__].__class__ = _Export
