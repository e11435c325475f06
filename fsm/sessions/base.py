"""What the two faces of durable sessions share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, Generic, TypeVar

from fsm.chart import Chart
from fsm.journal.encoder import ENCODE
from fsm.journal.reader import header
from fsm.session import Session
from fsm.sessions.core import SessionsCore
from fsm.sessions.journal import journal_lines
from fsm.sessions.place import restored
from fsm.sessions.request import Move
from fsm.snapshot import Migrates
from fsm.store.process import until_exit
from fsm.store.sql import Database

__all__ = ["YEAR", "BaseSessions"]

S = TypeVar("S", bound=Session)
YEAR: Final = 365 * 86_400.0
TOGETHER: Final = 256
"""Sessions that are moved together."""


class BaseSessions(Generic[S]):
    """The sessions of a class, by key, in a database, which is opened here.

    `migrations` (`fsm.migration`) move sessions of older charts when they are loaded.  Messages go to the store that
    the `Database` names (`Database(..., store="outbox")`).  `keep` is for how many seconds answers are kept: so long an
    event id is applied once, and the history reaches back.  Waiting for a session that another transaction has locked
    takes at most `patience` seconds.  `clock` gives the time in seconds since 1970, by which events fall due.

    Raise StorageError if the database cannot be opened, contains another program's tables, or is of a newer version.
    """

    def __init__(
        self, database: Database, cls: type[S], *, migrations: Iterable[Migrates] = (), keep: float = YEAR,
        patience: float = 5.0, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        if not (isinstance(cls, type) and issubclass(cls, Session) and hasattr(cls, "chart")):
            raise TypeError(f"sessions are of a class with a chart, class Order(Session, chart=ORDER), not {cls!r}")
        header(cls.chart)  # a chart that can have no journal has no history
        self._core: SessionsCore[S] = SessionsCore(database, cls, migrations, keep, patience, clock)
        until_exit(self, f"the sessions in {database}", lambda sessions: sessions._core.close())

    @property
    def chart(self) -> Chart:
        """The chart of the sessions."""
        return self._core.chart

    def _get(self, key: str) -> S | None:
        stored = self._core.reader.stored(self.chart.name, key)
        return None if stored is None else restored(self._core.kind.cls, key, stored, self._core.kind.migrations)

    def _migrate(self) -> int:
        keys = self._core.reader.sessions(self.chart.name, other_than=self.chart.fingerprint)
        count, waiting = 0, [self._core.ask(Move(one.key)) for one in islice(keys, TOGETHER)]
        while waiting:
            for one in waiting:
                one.result()
            count += len(waiting)
            waiting = [self._core.ask(Move(one.key)) for one in islice(keys, TOGETHER)]
        return count

    def _journal(self, key: str) -> Iterator[bytes]:
        stored = self._core.reader.stored(self.chart.name, key)
        if stored is not None:
            history = self._core.reader.history(self.chart.name, key)
            for line in journal_lines(self.chart, key, history, stored, self._core.kind.migrations):
                yield ENCODE(line).encode() + b"\n"
