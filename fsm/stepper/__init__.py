"""Walks through a chart."""
