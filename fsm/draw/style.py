"""The colours of pictures, in light and dark, and the style sheet made of them.

The five marks have the hues of Okabe and Ito, darkened or lightened until they can be read as text on both papers.
Colour-blind readers can tell them apart; the marks also differ in width, dashes, underlining or ground.
"""

from __future__ import annotations

from typing import Final

from fsm.draw.metrics import ASPECT, SIZE

__all__ = ["DARK", "HUES", "LIGHT", "STYLE"]

LIGHT: Final = {
    "paper": "#ffffff", "box": "#f6f8fa", "ink": "#1f2328", "soft": "#59636e", "dimmed": "#929ca6", "edge": "#59636e",
    "faint": "#d5dae0", "selected": "#0060a8", "taken": "#0060a8", "enabled": "#00704e", "current": "#b84a00",
    "glow": "#fff1e0", "tint": "#dcecfb",
}
DARK: Final = {
    "paper": "#0d1117", "box": "#161b22", "ink": "#e6edf3", "soft": "#9ea7b3", "dimmed": "#717a84", "edge": "#9ea7b3",
    "faint": "#343b43", "selected": "#63b8f5", "taken": "#63b8f5", "enabled": "#3fce9f", "current": "#ff9d4d",
    "glow": "#33210f", "tint": "#12283d",
}


HUES: Final = {"selected": "blue", "taken": "blue", "enabled": "green", "current": "orange", "dimmed": "grey"}
"""The colours of the marks in words."""


def _rules(c: dict[str, str]) -> str:
    rules = {
        ".paper": f"fill:{c['paper']}",
        "text": f"fill:{c['ink']};stroke:{c['paper']}",
        ".shared text": f"fill:{c['soft']}",
        ".note": f"fill:{c['soft']}",
        ".box": f"fill:{c['box']};stroke:{c['edge']}",
        ".line": f"stroke:{c['edge']}",
        ".tip": f"fill:{c['edge']};stroke:{c['edge']}",
        ".start>*": f"fill:{c['ink']};stroke:{c['ink']}",
        ".dimmed>.box,.fsm .dimmed>.line": f"stroke:{c['faint']}",
        ".dimmed>.tip": f"fill:{c['faint']};stroke:{c['faint']}",
        ".dimmed>text": f"fill:{c['dimmed']}",
    }
    for mark in ("selected", "taken", "enabled", "current"):
        rules[f".{mark}>.box,.fsm .{mark}>.line"] = f"stroke:{c[mark]}"
        rules[f".{mark}>.tip"] = f"fill:{c[mark]};stroke:{c[mark]}"
        rules[f".{mark}>text"] = f"fill:{c[mark]}"
    rules[".current>.box"] = f"stroke:{c['current']};fill:{c['glow']}"
    return "".join(f".fsm {name}{{{rule}}}" for name, rule in rules.items())


STYLE: Final = (
    ".fsm text{font-family:Arial,Helvetica,'Liberation Sans',Arimo,'Nimbus Sans',Roboto,'Noto Sans',"
    f"'DejaVu Sans Condensed',sans-serif;font-size:{SIZE:g}px;font-size-adjust:{ASPECT};white-space:pre;"
    "text-rendering:geometricPrecision;paint-order:stroke;stroke-width:3px;stroke-linejoin:round}"
    ".fsm .state text{stroke:none!important}.fsm .heading{font-size:16px}.fsm .line{fill:none!important}"
    ".fsm .selected>.box,.fsm .selected>.line,.fsm .taken>.box,.fsm .taken>.line{stroke-width:2}"
    ".fsm .enabled>.line{stroke-width:2;stroke-dasharray:7 3}.fsm .current>.box,.fsm .current>.line{stroke-width:3}"
    ".fsm .taken>text{text-decoration:underline}.fsm .enabled>text{text-decoration:underline dotted}"
    f"{_rules(LIGHT)}@media (prefers-color-scheme:dark){{{_rules(DARK)}}}"
)
"""The style sheet of every SVG.  All rules begin with `.fsm`, so that they affect nothing else on a page."""
