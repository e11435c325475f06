"""Sessions in SQLAlchemy's ORM: a real database, two who fire at the same time, commits and rollbacks, migrations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy.orm
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from fsm import Chart, Counter, Event, Number, Refused, Session, State, row, trigger
from fsm.contrib.sqlalchemy import SessionType, Taken, move_sessions, on_commit
from fsm.errors import SnapshotError
from fsm.migration import Migration, move

TOTAL, AMOUNT = Counter("total"), Number("amount")
FLOW = Chart(
    "order", states=["cart", "paid", State("shipped", final=True)], variables=[TOTAL],
    events=[Event("pay", data=(AMOUNT,)), "ship", "drop"],
    rows=[
        row("pay", "cart", "pay", guard=AMOUNT > 0, effects=[TOTAL.becomes(TOTAL + AMOUNT)], target="paid"),
        row("ship", "paid", "ship", target="shipped"), row("drop", "paid", "drop", target="cart", effects=[TOTAL.becomes(0)]),
    ],
)  # fmt: skip
OLD = Chart(
    "order", states=["new", State("paid", final=True)], variables=[TOTAL], events=["pay"], rows=[row("pay", "new", "pay", target="paid")],
)  # fmt: skip
FROM_OLD = Migration(OLD, FLOW, moves=[move("new", "cart"), move("paid")])


class OrderFlow(Session, chart=FLOW):
    total: int

    @trigger
    def pay(self, *, amount: int) -> None: ...

    @trigger
    def ship(self) -> None: ...

    @trigger
    def drop(self) -> None: ...


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column()
    name: Mapped[str] = mapped_column(default="a")
    flow: Mapped[OrderFlow] = mapped_column(SessionType(OrderFlow, migrations=[FROM_OLD]))
    __mapper_args__ = {"version_id_col": version}


@pytest.fixture
def new(tmp_path: Path) -> Iterator[sqlalchemy.orm.sessionmaker[sqlalchemy.orm.Session]]:
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    Base.metadata.create_all(engine)
    yield sqlalchemy.orm.sessionmaker(engine)
    engine.dispose()


Maker = Any


def put(new: Maker) -> int:
    with new.begin() as db:
        db.add(order := Order())
        db.flush()
        return order.id


def state(new: Maker, id: int) -> str:
    with new() as db:
        return str(db.get(Order, id).flow.state)


def test_a_session_is_stored_found_by_its_state_and_read_again(new: Maker) -> None:
    with new() as db:
        db.add(order := Order())
        order.flow.pay(amount=5)
        db.commit()
        order.flow.ship()  # read again after the commit, and followed again
        db.commit()
        assert order.version == 2
        db.commit()
    with new() as db:
        found = db.scalars(select(Order).where(Order.flow["state"].as_string() == "shipped")).one()
        assert (found.flow.state, found.flow.total, found.version) == ("shipped", 5, 2)
        with pytest.raises(Refused):
            found.flow.ship()
        assert not db.dirty


def test_two_who_fire_at_the_same_time_cannot_both_win(new: Maker) -> None:
    id = put(new)
    with new() as one, new() as other:
        one.get(Order, id).flow.pay(amount=1)
        other.get(Order, id).flow.pay(amount=2)
        one.commit()
        with pytest.raises(StaleDataError):
            other.commit()
    with new() as db:
        assert db.get(Order, id).flow.total == 1


def test_steps_are_told_after_the_commit_and_forgotten_by_a_rollback(new: Maker) -> None:
    told: list[tuple[int, str, list[str]]] = []

    def tell(order: Order, name: str, steps: tuple[Taken, ...]) -> None:
        told.append((order.flow.total, name, [f"{one.event}{dict(one.data)}: {one.source} > {one.target}" for one in steps]))

    with new(expire_on_commit=False) as db:
        on_commit(db, tell)
        db.add(order := Order())
        order.flow.pay(amount=2)
        db.flush()
        order.flow.drop()
        with db.begin_nested():
            order.name = "b"
        assert told == []
        db.commit()
        assert told == [(0, "flow", ["pay{'amount': 2}: cart > paid"]), (0, "flow", ["drop{}: paid > cart"])]
        order.flow.pay(amount=3)
        db.flush()
        db.rollback()
        assert order.flow.state == "cart"
        nested = db.begin_nested()
        order.flow.pay(amount=4)
        nested.rollback()
        assert order.flow.state == "cart"
        db.commit()
        assert len(told) == 2


def test_a_session_that_was_replaced_changes_nothing(new: Maker) -> None:
    id = put(new)
    with new() as db:
        order = db.get(Order, id)
        before = order.flow
        order.flow = OrderFlow.at("paid", total=7)
        before.pay(amount=1)
        order.flow.ship()
        db.commit()
    assert state(new, id) == "shipped"


def test_anything_but_a_session_of_the_class_is_refused(new: Maker) -> None:
    with new() as db:
        db.add(Order(flow="paid"))
        with pytest.raises(sqlalchemy.exc.StatementError, match="the column holds sessions of OrderFlow, not 'paid': fire"):
            db.flush()


def store(new: Maker, snapshot: dict[str, object]) -> int:
    id = put(new)
    with new.begin() as db:
        db.execute(sqlalchemy.update(Order.__table__).where(Order.__table__.c.id == id).values(flow=snapshot))
    return id


def test_an_older_snapshot_is_moved_when_it_is_read(new: Maker) -> None:
    id = store(new, Session.of(OLD).at("new", total=3).snapshot())
    with new() as db:
        order = db.get(Order, id)
        assert (order.flow.state, order.flow.total) == ("cart", 3)
        order.flow.pay(amount=1)
        db.commit()
    assert state(new, id) == "paid"


def test_all_rows_move_at_once_and_once(new: Maker) -> None:
    old, other = store(new, Session.of(OLD).at("new", total=3).snapshot()), put(new)
    with new.begin() as db:
        assert move_sessions(db.connection(), Order.__table__.c.flow, FROM_OLD) == 1
        assert move_sessions(db.connection(), Order.__table__.c.flow, FROM_OLD) == 0
        found = db.execute(text("SELECT flow ->> '$.fingerprint', flow ->> '$.state' FROM orders ORDER BY id")).all()
    assert found == [(FLOW.fingerprint, "cart"), (FLOW.fingerprint, "cart")]
    assert (state(new, old), state(new, other)) == ("cart", "cart")


def test_a_row_of_another_chart_is_refused(new: Maker) -> None:
    id = store(new, {**OrderFlow().snapshot(), "fingerprint": "0" * 16})
    with new() as db, pytest.raises(SnapshotError, match="expected"):
        db.get(Order, id)
