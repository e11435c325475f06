"""A Sphinx extension: charts, their paths and their explorer in documentation, and links to states, events and rows.

    extensions = ["fsm.sphinx"]                     # conf.py; the extra `sphinx` installs what it needs

    .. fsm-chart:: shop.orders:ORDER                # a picture; :brief:, :flag:, :path:, :trace:, :counter:, or :table:
    .. fsm-paths:: shop.orders:ORDER                # every path to the end; :flag:, :state:, :row:, :length:
    .. fsm-explorer:: shop.orders:ORDER             # the page to step through, in a frame; :trace:, :height:

    :fsm:row:`pay`  :fsm:state:`paid`  :fsm:event:`order/pay`      # to a table on any page (`:table:`)
    :fsm:trace:`pay,ship`                                          # to the explorer, where these events have happened

Theory.
1. A chart is given as on the command line: `module:NAME`, or a file in Python, JSON or SCXML.  A page that shows it is
   built again when that file changes.
2. `:table:` is the place where rows are defined: a row's link leads to its line, a state's and an event's link to the
   first line that has them.  A name that several charts have is written with the chart's: `order/pay`.
3. Pictures and explorers are written beside the site's other images, and every link to them is relative, so the site
   works from a folder as from any server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fsm._version import __version__
from fsm.draw.rendering import RENDERERS

try:
    import sphinx  # noqa: F401 - is it installed?
except ModuleNotFoundError as missing:
    from fsm.install import install_command

    problem = f"charts in documentation need Sphinx: {install_command('sphinx')}"
    raise ModuleNotFoundError(problem, name=missing.name) from None

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["setup"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives and roles; Sphinx calls this."""
    from fsm.sphinx.directives import ChartDirective, ExplorerDirective, PathsDirective
    from fsm.sphinx.domain import ChartDomain
    from fsm.sphinx.nodes import add_nodes

    app.add_config_value("fsm_renderer", "auto", "env", types=frozenset({str}))
    app.add_domain(ChartDomain)
    add_nodes(app)
    app.add_directive("fsm-chart", ChartDirective)
    app.add_directive("fsm-explorer", ExplorerDirective)
    app.add_directive("fsm-paths", PathsDirective)
    app.connect("config-inited", _check)
    return {"version": __version__, "parallel_read_safe": True, "parallel_write_safe": True, "env_version": 1}


def _check(app: Sphinx, config: Any) -> None:
    from sphinx.errors import ConfigError

    if config.fsm_renderer not in RENDERERS:
        raise ConfigError(f"fsm_renderer is {config.fsm_renderer!r}; choose one of {', '.join(RENDERERS)}")
