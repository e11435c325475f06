"""Sessions in SQLAlchemy's ORM: a column that holds one, saved when it has moved, with its steps after the commit.

    class Order(Base):
        id: Mapped[int] = mapped_column(primary_key=True)
        version: Mapped[int] = mapped_column()
        flow: Mapped[OrderFlow] = mapped_column(SessionType(OrderFlow, migrations=[FROM_LAST_YEAR]))
        __mapper_args__ = {"version_id_col": version}          # SQLAlchemy's optimistic lock

    order = Order()                                    # with a new session
    order.flow.pay(amount=5)                           # a trigger: True, or Refused
    db.commit()                                        # StaleDataError if somebody else has saved the row since
    select(Order).where(Order.flow["state"].as_string() == "paid")

    on_commit(db, lambda instance, name, steps: ...)   # of a Session or a sessionmaker: after each commit

    move_sessions(connection, Order.__table__.c.flow, FROM_LAST_YEAR)          # in a migration of Alembic

Theory.
1. The column holds a snapshot as JSON.  A step marks the instance as changed, so that the next flush writes it.
2. What has happened to a session since it was read is told after the commit; a rollback forgets it.
3. A snapshot of an older chart is moved when it is read, by the column's `migrations`; `move_sessions` moves all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from fsm.contrib.requirements import check_version, without

try:
    import sqlalchemy.orm
    from sqlalchemy import JSON, Column, Connection, TypeDecorator, event, select, type_coerce, update
    from sqlalchemy.orm import Mapper, QueryContext, UOWTransaction
    from sqlalchemy.orm.attributes import flag_modified
except ModuleNotFoundError as missing:
    raise without("sqlalchemy", "SQLAlchemy", missing) from None

from fsm.contrib.steps import Taken
from fsm.errors import SnapshotError
from fsm.session import Session, Step

if TYPE_CHECKING:
    from fsm.snapshot import Migrates

__all__ = ["SessionType", "Taken", "move_sessions", "on_commit"]

check_version("sqlalchemy", "SQLAlchemy", 2, 0)

KEY: Final = "fsm.contrib.sqlalchemy"
"""In the `info` of an instance: the trackers of its sessions; in that of a database session: the steps so far."""


Told: TypeAlias = Callable[[Any, str, tuple[Taken, ...]], object]
"""Gets the instance, the attribute's name, and the steps."""


class SessionType(TypeDecorator[Session]):
    """A column of sessions of this class.  A new instance has a new session unless it was given one.

    Values are sessions, and snapshots where rows are written without the ORM.  SnapshotError when a row is read whose
    snapshot is damaged, or of another chart.
    """

    impl = JSON
    cache_ok = True

    def __init__(self, session: type[Session], migrations: Iterable[Migrates] = ()) -> None:
        super().__init__()
        self.session, self.migrations = session, tuple(migrations)

    def process_bind_param(self, value: Session | Mapping[str, object] | None, dialect: object) -> Any:
        """Return the snapshot of a session.  TypeError for anything else."""
        if isinstance(value, self.session):
            return value.snapshot()
        if value is None or isinstance(value, Mapping):
            return value
        kind = self.session.__name__
        raise TypeError(
            f"the column holds sessions of {kind}, not {value!r}: fire a trigger, or begin in a state with "
            f"{kind}.at(...)"
        )

    def process_result_value(self, value: Any, dialect: object) -> Session | None:
        """Return the session of a row."""
        return None if value is None else self.session.restore(value, self.migrations)

    def coerce_compared_value(self, op: Any, value: object) -> Any:
        """Let parts of a snapshot be compared as those of JSON are."""
        return self.impl_instance.coerce_compared_value(op, value)


# ------------------------------------------------------------------------------------------------ following the steps


class _Tracker:
    """Listens to the session of one attribute of one instance, which it keeps as long as the session is kept."""

    def __init__(self, instance: Any, name: str) -> None:
        self._instance, self._name = instance, name
        self.steps: list[Taken] = []

    def on_step(self, step: Step) -> None:
        """Mark the instance as changed, unless it has another session by now."""
        if sqlalchemy.inspect(self._instance).dict.get(self._name) is step.session:
            self.steps.append(Taken.of(step))
            flag_modified(self._instance, self._name)


def _track(instance: Any, name: str, session: object) -> None:
    if isinstance(session, Session):
        sqlalchemy.inspect(instance).info.setdefault(KEY, {})[name] = session.listen(_Tracker(instance, name))


@event.listens_for(Mapper, "after_mapper_constructed")
def _mapped(mapper: Mapper[Any], class_: type) -> None:
    """Follow the sessions of a class's columns, and of those of its subclasses."""
    kinds = {name: column.type for name, column in mapper.columns.items() if isinstance(column.type, SessionType)}
    if not mapper.inherits and kinds:
        for name, kind in kinds.items():
            _follow(class_, name, kind.session)
        event.listen(class_, "after_insert", _flushed, propagate=True)
        event.listen(class_, "after_update", _flushed, propagate=True)


def _follow(class_: type, name: str, new: type[Session]) -> None:
    def begins(instance: object, args: object, given: dict[str, object]) -> None:
        given.setdefault(name, new())

    def loaded(instance: Any, context: QueryContext) -> None:
        _track(instance, name, sqlalchemy.inspect(instance).dict.get(name))

    def refreshed(instance: Any, context: QueryContext | UOWTransaction, names: Iterable[str] | None) -> None:
        if names is None or name in names:
            _track(instance, name, sqlalchemy.inspect(instance).dict.get(name))

    def assigned(instance: Any, value: object, before: object, initiator: object) -> None:
        if value is not before:
            _track(instance, name, value)

    event.listen(class_, "init", begins, propagate=True)
    event.listen(class_, "load", loaded, propagate=True)
    event.listen(class_, "refresh", refreshed, propagate=True)
    event.listen(getattr(class_, name), "set", assigned, propagate=True)


@dataclass(frozen=True, slots=True)
class _Flushed:
    within: object
    instance: Any
    name: str
    steps: tuple[Taken, ...]


def _flushed(mapper: object, connection: object, instance: Any) -> None:
    """Keep the steps that were written until it is known whether they stay."""
    db = sqlalchemy.orm.object_session(instance)
    for name, tracker in sqlalchemy.inspect(instance).info.get(KEY, {}).items():
        steps, tracker.steps = tuple(tracker.steps), []
        if steps and db is not None:
            within = db.get_nested_transaction() or db.get_transaction()
            db.info.setdefault(KEY, []).append(_Flushed(within, instance, name, steps))


@event.listens_for(sqlalchemy.orm.Session, "after_soft_rollback")
def _rolled_back(db: sqlalchemy.orm.Session, previous: object) -> None:
    """Forget what was written in a transaction that is undone."""
    if KEY in db.info:
        db.info[KEY] = [one for one in db.info[KEY] if one.within is not previous]


@event.listens_for(sqlalchemy.orm.Session, "after_transaction_end")
def _over(db: sqlalchemy.orm.Session, ended: Any) -> None:
    if ended.parent is None:
        db.info.pop(KEY, None)


def on_commit(target: Any, callback: Told) -> None:
    """Call this after each commit, once for each session that has moved, in the order of the flushes.

    `target` is a database session, a sessionmaker, or a class of sessions; of those for asyncio, the `sync_session` or
    its class.  The callback cannot use the database session; its errors reach the caller of `commit`.
    """

    def committed(db: sqlalchemy.orm.Session) -> None:
        if not db.in_nested_transaction():
            for one in db.info.get(KEY, ()):
                callback(one.instance, one.name, one.steps)

    event.listen(target, "after_commit", committed)


# ------------------------------------------------------------------------------------------------------ migrations


def move_sessions(connection: Connection, column: Column[Any], *migrations: Migrates) -> int:
    """Move every session stored in this column of a table, in the connection's transaction; return how many were moved.

    A row that is at none of the old charts is left alone; so it may run twice.  SnapshotError if one cannot be moved.
    """
    table, stored, moved = column.table, type_coerce(column, JSON), 0
    keys = list(table.primary_key.columns)
    for one in migrations:
        rows = connection.execute(select(stored, *keys).where(stored["fingerprint"].as_string() == one.old)).all()
        for snapshot, *key in rows:
            try:
                new = one.migrated(snapshot)
            except SnapshotError as error:
                raise SnapshotError(str(column), f"the row {key}: {error}", one.new, one.old) from error
            here = [wanted == value for wanted, value in zip(keys, key, strict=True)]
            connection.execute(update(table).where(*here).values({column.name: new}))
        moved += len(rows)
    return moved
