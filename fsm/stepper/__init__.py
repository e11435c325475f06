"""Walks through a chart: step by step, on the terminal or as text, with a shortest path to a goal."""

from __future__ import annotations

from fsm.stepper.diagram import text_diagram
from fsm.stepper.shortest_path import ShortestPath, find_shortest_path
from fsm.stepper.text import printable
from fsm.stepper.walk import Moment, Stepper

__all__ = ["Moment", "ShortestPath", "Stepper", "find_shortest_path", "printable", "text_diagram"]
