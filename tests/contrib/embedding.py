"""The embedding examples under load: started as their users start them, killed, started again; and the books.

The other side answers `ANSWERED` messages and then, as servers do, stops answering.  What a program has accepted by then
is in its queue, and two messages are under way.  It is told to end (SIGKILL follows after `GRACE` seconds).  Then the
other side answers again, the program is started again, and what arrives is counted.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from select import select
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Condition, Thread

from fsm.store import Database, Store
from tests.readme import ROOT

EMBEDDING = ROOT / "examples" / "embedding"
BIN = Path(sys.executable).parent
MESSAGES = [str(number) for number in range(20)]
ANSWERED = 4
GRACE = 12
"""Seconds that a program has to end, as an orchestrator gives it; the plans of the examples take 6 at most."""
LIMIT = 90
"""Seconds after which a wait for something that must happen is given up."""


class Remote(ThreadingTCPServer):
    """The other side."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self) -> None:
        self.delivered: list[str] = []
        self.waiting = 0
        self.answers: int | None = ANSWERED
        self.changed = Condition()
        super().__init__(("127.0.0.1", 0), _Connection)
        Thread(target=self.serve_forever, daemon=True).start()

    def wait(self, what: Callable[[], bool], limit: float = LIMIT) -> bool:
        with self.changed:
            return self.changed.wait_for(what, limit)

    def one_more(self, limit: float) -> bool:
        arrived = len(self.delivered)
        return self.wait(lambda: len(self.delivered) > arrived, limit)

    def answer_again(self) -> None:
        with self.changed:
            self.answers = None
            self.changed.notify_all()


class _Connection(StreamRequestHandler):
    server: Remote

    def handle(self) -> None:
        if not (content := self.rfile.readline().decode().strip()):
            return
        remote = self.server
        with remote.changed:
            remote.waiting += 1
            remote.changed.notify_all()
            while remote.answers is not None and len(remote.delivered) >= remote.answers:
                remote.changed.wait(0.05)
                if self.gone():
                    break
            remote.waiting -= 1
            if not self.gone():
                remote.delivered.append(content)
                self.wfile.write(b"ok\n")
            remote.changed.notify_all()

    def gone(self) -> bool:
        return bool(select([self.connection], [], [], 0)[0]) and not self.connection.recv(1)


# ------------------------------------------------------------------------------------------------------- the loads

Load = Callable[["Run"], int]


def over_http(run: Run) -> int:
    """Messages that were answered with 200."""
    return sum(post(run.port, message.encode()) == 200 for message in MESSAGES)


def post(port: int, content: bytes) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/mail", content, timeout=LIMIT) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def over_tcp(run: Run) -> int:
    with socket.create_connection(("127.0.0.1", run.port)) as connection, connection.makefile("rw") as file:
        return sum(said(file.write, file.flush, file.readline, message) for message in MESSAGES)


def over_grpc(run: Run) -> int:
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{run.port}") as channel:
        submit = channel.unary_unary("/Mail/Submit")
        return sum(bool(submit(message.encode(), timeout=LIMIT, wait_for_ready=True)) for message in MESSAGES)


def over_stdin(run: Run) -> int:
    assert run.process.stdin is not None
    assert run.process.stdout is not None
    stdin, stdout = run.process.stdin, run.process.stdout
    return sum(said(stdin.write, stdin.flush, stdout.readline, message) for message in MESSAGES)


def said(write: Callable[[str], object], flush: Callable[[], object], answer: Callable[[], str], message: str) -> bool:
    write(f"{message}\n")
    flush()
    return answer() == "ok\n"


def in_a_file(run: Run) -> int:
    return len(MESSAGES)  # it was there before


def to_celery(run: Run) -> int:
    import celery

    with celery.Celery(broker=run.broker) as app:
        for message in MESSAGES:
            app.send_task("send", [message])
    return len(MESSAGES)


def to_dramatiq(run: Run) -> int:
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=run.broker)
    for message in MESSAGES:
        broker.enqueue(dramatiq.Message("default", "send", (message,), {}, {}))
    broker.close()
    return len(MESSAGES)


def to_rabbitmq(run: Run) -> int:
    import aio_pika

    async def publish() -> None:
        async with await aio_pika.connect(run.broker) as connection:
            channel = await connection.channel()
            await channel.declare_queue("orders", durable=True)
            for message in MESSAGES:
                await channel.default_exchange.publish(aio_pika.Message(message.encode(), delivery_mode=2), "orders")

    asyncio.run(publish())
    return len(MESSAGES)


# ------------------------------------------------------------------------------------------------------ the examples


@dataclass(frozen=True)
class Example:
    """How its users start it, and how it gets its messages; `PROGRAM` and `PORT` are filled in."""

    folder: str
    what: str
    command: str
    load: Load
    ends_by: signal.Signals = signal.SIGTERM
    status: int = 0
    """What it exits with when it was told to end."""
    ends_by_itself: bool = False
    says: str = ""
    """What it has to say in its log."""
    conf: str = ""
    """What stands first in gunicorn.conf.py."""


HTTP = "gunicorn --bind 127.0.0.1:PORT"
EXAMPLES = [
    Example("fastapi", "FastAPI under uvicorn", "uvicorn --port PORT PROGRAM:app", over_http, status=-signal.SIGTERM),
    Example("flask-gunicorn", "Flask under gunicorn, two processes", f"{HTTP} --workers 2 PROGRAM:app", over_http),
    Example("django", "Django under gunicorn, threads", f"{HTTP} --threads 4 PROGRAM:application", over_http),
    Example("celery", "Celery, prefork, Redis", "celery -A PROGRAM worker --concurrency 2 -l INFO", to_celery,
        says="tasks are in flight in the stores of the child processes"),
    Example("dramatiq", "dramatiq, Redis", "dramatiq PROGRAM --processes 1 --threads 2", to_dramatiq),
    Example("aio-pika", "aio-pika, RabbitMQ", "python PROGRAM.py", to_rabbitmq),
    Example("threads", "a pool of threads", "python PROGRAM.py", over_stdin),
    Example("asyncio", "a consumer in asyncio", "python PROGRAM.py", over_tcp),
    Example("grpc", "gRPC in asyncio", "python PROGRAM.py PORT", over_grpc),
    Example("batch", "a batch job, Ctrl-C", "python PROGRAM.py orders.txt", in_a_file, signal.SIGINT, 130, True),
]
VARIANTS = [
    replace(EXAMPLES[1], what="gevent, preloaded", command=f"{HTTP} --worker-class gevent --preload PROGRAM:app",
        conf="from gevent import monkey\nmonkey.patch_all()\n"),
    replace(EXAMPLES[3], what="Celery, threads", command="celery -A PROGRAM worker --pool threads --concurrency 2", says=""),
    replace(EXAMPLES[3], what="Celery, solo", command="celery -A PROGRAM worker --pool solo", says=""),
]
"""Other ways to start them."""


@dataclass
class Run:
    """One start of an example."""

    process: subprocess.Popen[str]
    port: int
    broker: str


@dataclass(frozen=True)
class Books:
    """What came out.  `kept` is what the broker still has, for later; `seconds` is the time to exit."""

    accepted: int
    delivered: int
    twice: int
    status: int | str
    seconds: float
    kept: int = 0

    @property
    def lost(self) -> int:
        """What is delivered and kept, too, is not lost twice."""
        return max(0, self.accepted - self.delivered - self.kept)


@contextmanager
def started(example: Example, program: str, folder: Path, remote: Remote, broker: str) -> Iterator[Run]:
    """Start it as its users do, and wait until it is there."""
    port = free_port()
    command = example.command.replace("PROGRAM", program).replace("PORT", str(port)).split()
    environment = {
        **os.environ, "REMOTE": str(remote.server_address[1]), "PORT": str(port), "REDIS": broker,
        "RABBITMQ": broker,
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "PYTHONWARNINGS": "ignore",
    }
    with (folder / "log").open("a") as log, subprocess.Popen(
        [str(BIN / command[0]), *command[1:]], cwd=folder, env=environment, text=True, stderr=log,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE if example.load is over_stdin else log, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            if example.load in (over_http, over_tcp):
                until(lambda: listens(port), process, folder)
            yield Run(process, port, broker)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def until(what: Callable[[], bool], process: subprocess.Popen[bytes] | subprocess.Popen[str], folder: Path | None = None) -> None:
    limit = time.monotonic() + LIMIT
    while not what():
        assert process.poll() is None, folder and (folder / "log").read_text()
        assert time.monotonic() < limit
        time.sleep(0.02)


def told_to_end(run: Run, by: signal.Signals, grace: float = LIMIT) -> tuple[int | str, float]:
    """Tell it to end, kill it after the grace period; return the status and the seconds it took."""
    began = time.monotonic()
    run.process.send_signal(by)
    try:
        status: int | str = run.process.wait(grace)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait()
        status = "killed"
    return status, time.monotonic() - began


def books(
    example: Example, program: str, folder: Path, broker: str, *, grace: float = LIMIT, idle: float = LIMIT, twice: bool = True
) -> Books:
    """Run an example in an empty folder, once or twice, and count."""
    for file in [*(EMBEDDING / example.folder).iterdir(), EMBEDDING / "remote.py"]:
        if file.is_file() and not (file.name == "gunicorn.conf.py" and program == "without"):
            shutil.copy(file, folder)
    if (conf := folder / "gunicorn.conf.py").exists():
        conf.write_text(example.conf + conf.read_text())
    (folder / "orders.txt").write_text("\n".join(MESSAGES))
    with Remote() as remote:
        with started(example, program, folder, remote, broker) as run:
            accepted = example.load(run)
            assert remote.wait(lambda: len(remote.delivered) == ANSWERED and remote.waiting > 0), (folder / "log").read_text()
            status, seconds = told_to_end(run, example.ends_by, grace)
        if not twice:
            return Books(accepted, len(remote.delivered), 0, status, seconds, kept(broker) if broker else queued(folder))
        remote.wait(lambda: remote.waiting == 0)
        remote.answer_again()
        with started(example, program, folder, remote, broker) as run:
            while len(set(remote.delivered)) < accepted and remote.one_more(idle):
                pass
            if example.ends_by_itself:
                run.process.wait(LIMIT)
            else:
                told_to_end(run, example.ends_by, grace)
        counts = Counter(remote.delivered)
        remote.shutdown()
    return Books(accepted, len(counts), sum(counts.values()) - len(counts), status, seconds, kept(broker) if broker else 0)


def queued(folder: Path) -> int:
    """The messages in the store's queue."""
    with Store(Database(folder / "mail.db")) as store:
        return len(store.messages())


def kept(url: str) -> int:
    """What is left in the broker, and is forgotten there: the messages that Celery, dramatiq or a consumer would still get."""
    if url.startswith("amqp:"):
        return asyncio.run(_kept_in_rabbitmq(url))
    import redis

    with redis.Redis.from_url(url) as client:
        left = client.llen("celery") + client.hlen("unacked") + client.hlen("dramatiq:default.msgs")
        client.flushall()
    return int(left)


async def _kept_in_rabbitmq(url: str) -> int:
    import aio_pika

    async with await aio_pika.connect(url) as connection:
        queue = await (await connection.channel()).declare_queue("orders", durable=True)
        await queue.delete(if_unused=False, if_empty=False)
        return queue.declaration_result.message_count or 0


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Debian's Redis, in memory."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with served(command, port):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def rabbitmq_server(folder: Path) -> Iterator[str]:
    """Debian's RabbitMQ, without plugins: it takes six seconds of CPU until it is there."""
    server = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # what is on the path becomes another user
    assert server.exists(), "RabbitMQ is not installed: apt-get install rabbitmq-server"
    port, names = free_port(), free_port()
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "ERL_EPMD_PORT": str(names), "RABBITMQ_NODENAME": "fsm@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_NODE_PORT": str(port), "RABBITMQ_DIST_PORT": str(free_port()),
        **{f"RABBITMQ_{name}": str(folder / name.lower()) for name in ("MNESIA_BASE", "LOG_BASE", "ENABLED_PLUGINS_FILE")},
    }  # fmt: skip
    with served(["epmd", "-port", str(names)], names), served([str(server)], port, environment):
        yield f"amqp://guest:guest@127.0.0.1:{port}/"


@contextmanager
def served(command: list[str], port: int, environment: dict[str, str] | None = None) -> Iterator[None]:
    """Run a server until the block is left; the block begins when it listens."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            until(lambda: listens(port), process)
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
