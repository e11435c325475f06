"""The documentation: `make docs` builds it, with warnings as errors."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

import django  # noqa: E402
from django.conf import settings  # noqa: E402

from fsm import __version__  # noqa: E402

settings.configure(INSTALLED_APPS=[])  # the model of fsm.contrib.django wants some
django.setup()

project = "fsm"
author = "the authors of fsm-logoff"
copyright = "the authors of fsm-logoff"
version = release = __version__
PUBLIC = ""  # the address of the published site, when it has one; nothing else has to know it

extensions = ["sphinx.ext.autodoc", "myst_parser", "fsm.sphinx", "docstrings", "generated", "sources"]
exclude_patterns = ["_build", "_ext"]
default_role = "code"
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!fsm\.).*")]  # names of Python and of other packages, which no page here describes
suppress_warnings = ["config.cache"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_display_short_literal_types = True
maximum_signature_line_length = 90
add_module_names = False
toc_object_entries = False  # each page would copy all of them: a fifth of the time
highlight_language = "text"
smartquotes = False

html_theme = "furo"
html_title = f"fsm {release}"
html_baseurl = PUBLIC
html_static_path = ["_static"]
html_css_files = ["more.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
