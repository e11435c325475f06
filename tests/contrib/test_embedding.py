"""The embedding examples lose nothing: each is started as its users start it, killed under load, and started again.

`python -m tests.contrib.test_embedding` (part of `make examples`) runs them beside the same programs without fsm, and
writes the table of examples/embedding/README.md.
"""

from __future__ import annotations

import os
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contrib.embedding import (
    EMBEDDING,
    EXAMPLES,
    GRACE,
    VARIANTS,
    Books,
    Example,
    books,
    rabbitmq_server,
    redis_server,
)

README = EMBEDDING / "README.md"
ONLY_TABLE = re.compile(r"(?<=<!-- books -->\n).*(?=<!-- /books -->)", re.DOTALL)
LONGEST = 40
"""Lines of a program."""
BROKERS = {"celery": "redis", "dramatiq": "redis", "aio-pika": "rabbitmq"}
RUN = [one for one in EXAMPLES + VARIANTS if BROKERS.get(one.folder) != "rabbitmq" or "FSM_SOAK" in os.environ]
"""RabbitMQ takes six seconds of CPU to start, so `make soak` has it, and `make examples`."""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rabbitmq_server(tmp_path_factory.mktemp("rabbitmq")) as url:
        yield url


@pytest.mark.parametrize("example", RUN, ids=lambda example: example.what)
def test_nothing_is_lost_and_nothing_comes_twice(example: Example, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    broker = BROKERS.get(example.folder)
    url = request.getfixturevalue(broker) if broker is not None else ""
    found = books(example, "program", tmp_path, url, twice=example in EXAMPLES)
    assert (found.lost, found.twice, found.status) == (0, 0, example.status), (tmp_path / "log").read_text()
    log = (tmp_path / "log").read_text()
    assert example.says in log
    assert "Bad file descriptor" not in log  # a ladder that has handed its signal over still wrote to its socket
    if example in EXAMPLES:
        assert row(example, "with", found).rpartition(f"{found.seconds:.1f}")[0] in README.read_text()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.folder)
def test_a_program_is_short(example: Example) -> None:
    parts = [file for file in (EMBEDDING / example.folder).glob("*.py") if file.stem != "without"]
    assert sum(len(file.read_text().splitlines()) for file in parts) <= LONGEST
    assert (EMBEDDING / example.folder / "without.py").exists()


# ------------------------------------------------------------------------------------------------------- the table

HEAD = """\
| | | accepted | delivered | twice | lost | in its broker | status | seconds to exit |
|---|---|---|---|---|---|---|---|---|
"""


def row(example: Example, which: str, found: Books) -> str:
    """A row of the table; how long it took comes last."""
    name = f"[{example.what}]({example.folder})" if which == "with" else ""
    status = f"SIG{signal.Signals(-found.status).name[3:]}" if isinstance(found.status, int) and found.status < 0 else found.status
    cells = [name, f"{which} fsm", found.accepted, found.delivered, found.twice, found.lost, found.kept, status]
    return f"| {' | '.join(map(str, cells))} | {found.seconds:.1f} |\n"


def table() -> str:
    rows = [HEAD]
    with redis_server(Path(tempfile.mkdtemp())) as redis, rabbitmq_server(Path(tempfile.mkdtemp())) as rabbitmq:
        urls = {"redis": redis, "rabbitmq": rabbitmq}
        for example in EXAMPLES:
            url = urls.get(BROKERS.get(example.folder, ""), "")
            for which, program, idle in (("with", "program", 60.0), ("without", "without", 5.0)):
                folder = Path(tempfile.mkdtemp())
                found = books(example, program, folder, url, grace=GRACE, idle=idle)
                print(row(example, which, found), end="", flush=True)
                rows.append(row(example, which, found))
    return "".join(rows)


if __name__ == "__main__":
    README.write_text(ONLY_TABLE.sub(lambda _: table(), README.read_text()))
