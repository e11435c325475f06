"""Transitions' own tests, run against our Machine in its place."""
