"""Questions about a whole chart: its configuration graph, its paths, what holds in it, and walks that take every row.

Names are loaded when they are asked for; `cover` needs networkx (extra `paths`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsm.analysis.bounds import BoundError
    from fsm.analysis.coverage import Cover, Walk, cover
    from fsm.analysis.paths import Atlas, Path, PathsError
    from fsm.analysis.properties import (
        Always,
        Changes,
        EachConfiguration,
        EachStep,
        Falls,
        Property,
        PropertyError,
        Situation,
        StepView,
    )
    from fsm.analysis.reachability import Edge, ExploreError, Explorer, Graph
    from fsm.analysis.report import Finding, Report, check
    from fsm.analysis.sequences import count_sequences
    from fsm.analysis.trace import TraceError, parse_trace

_HOME = {
    "Always": "properties", "Atlas": "paths", "BoundError": "bounds", "Changes": "properties", "Cover": "coverage",
    "EachConfiguration": "properties", "EachStep": "properties", "Edge": "reachability", "ExploreError": "reachability",
    "Explorer": "reachability", "Falls": "properties", "Finding": "report", "Graph": "reachability", "Path": "paths",
    "PathsError": "paths", "Property": "properties", "PropertyError": "properties", "Report": "report",
    "Situation": "properties", "StepView": "properties", "TraceError": "trace", "Walk": "coverage", "check": "report",
    "count_sequences": "sequences", "cover": "coverage", "parse_trace": "trace",
}  # fmt: skip

__all__ = [
    "Always", "Atlas", "BoundError", "Changes", "Cover", "EachConfiguration", "EachStep", "Edge", "ExploreError",
    "Explorer", "Falls", "Finding", "Graph", "Path", "PathsError", "Property", "PropertyError", "Report", "Situation",
    "StepView", "TraceError", "Walk", "check", "count_sequences", "cover", "parse_trace",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
