"""A part whose library is not installed says which extra brings it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fsm.install import install_command

PARTS = [
    ("fsm.analysis.coverage", "networkx", f"walks that take every row need networkx: {install_command('paths')}"),
    ("fsm.store.sql.database", "sqlalchemy", "a store in a database needs SQLAlchemy: pip install 'fsm-logoff[store]'"),
    ("fsm.store.metrics", "prometheus_client", "a store's metrics need prometheus-client: pip install 'fsm-logoff[metrics]'"),
    ("fsm.store.progress", "rich", "a store's display needs rich: pip install 'fsm-logoff[progress]'"),
    ("fsm.contrib.celery", "celery", "fsm.contrib.celery needs Celery: pip install 'fsm-logoff[celery]', or in a checkout '.[celery]'"),
    ("fsm.contrib.django", "django", "fsm.contrib.django needs Django: pip install 'fsm-logoff[django]', or in a checkout '.[django]'"),
    ("fsm.contrib.sqlalchemy", "sqlalchemy", "fsm.contrib.sqlalchemy needs SQLAlchemy: pip install 'fsm-logoff[sqlalchemy]', or in a checkout '.[sqlalchemy]'"),
    ("fsm.contrib.dramatiq", "dramatiq", "fsm.contrib.dramatiq needs dramatiq: pip install 'fsm-logoff[dramatiq]', or in a checkout '.[dramatiq]'"),
    ("fsm.contrib.opentelemetry", "opentelemetry", "fsm.contrib.opentelemetry needs opentelemetry-api: pip install 'fsm-logoff[opentelemetry]', or in a checkout '.[opentelemetry]'"),
    ("fsm.sphinx", "sphinx", "charts in documentation need Sphinx: pip install 'fsm-logoff[sphinx]'"),
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
