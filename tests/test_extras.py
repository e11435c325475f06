"""A part whose library is not installed says which extra brings it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fsm.install import install_command

PARTS = [
    ("fsm.analysis.coverage", "networkx", f"walks that take every row need networkx: {install_command('paths')}"),
    ("fsm.store.sql.database", "sqlalchemy", f"a store in a database needs SQLAlchemy: {install_command('store')}"),
    ("fsm.store.metrics", "prometheus_client", f"a store's metrics need prometheus-client: {install_command('metrics')}"),
    ("fsm.store.progress", "rich", f"a store's display needs rich: {install_command('progress')}"),
    ("fsm.contrib.celery", "celery", f"fsm.contrib.celery needs Celery: {install_command('celery')}"),
    ("fsm.contrib.django", "django", f"fsm.contrib.django needs Django: {install_command('django')}"),
    ("fsm.contrib.sqlalchemy", "sqlalchemy", f"fsm.contrib.sqlalchemy needs SQLAlchemy: {install_command('sqlalchemy')}"),
    ("fsm.contrib.dramatiq", "dramatiq", f"fsm.contrib.dramatiq needs dramatiq: {install_command('dramatiq')}"),
    ("fsm.contrib.opentelemetry", "opentelemetry", f"fsm.contrib.opentelemetry needs opentelemetry-api: {install_command('opentelemetry')}"),
    ("fsm.sphinx", "sphinx", f"charts in documentation need Sphinx: {install_command('sphinx')}"),
    ("fsm.testing.strategies", "hypothesis", f"events at random need Hypothesis: {install_command('testing')}"),
]


@pytest.mark.parametrize(("part", "library", "expected"), PARTS, ids=[part for part, *_ in PARTS])
def test_a_library_that_is_missing_is_named_with_the_extra_that_brings_it(part: str, library: str, expected: str) -> None:
    script = f"""
import sys
sys.modules[{library!r}] = None
try:
    import {part}
except ModuleNotFoundError as error:
    print(error.name, error, error.__cause__ or error.__suppress_context__, sep="|")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    name, sentence, quiet = done.stdout.strip().split("|")
    assert (name.partition(".")[0], sentence, quiet) == (library, expected, "True")
