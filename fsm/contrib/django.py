"""Sessions in Django: a model field that holds one, saved only over what was read, with its steps as signals.

    class Order(SessionModel):
        flow = SessionField(OrderFlow, migrations=[FROM_LAST_YEAR], permissions={"ship": "orders.ship_order"})
        state = models.GeneratedField(expression=KT("flow__state"), output_field=models.CharField(), db_persist=True)

    order.flow.pay(amount=5)                           # a trigger: True, or Refused
    order.save()                                       # ConcurrentChange if the row's session is another one by now
    has_event_perm(order, "flow", "ship", user)        # what the field's `permissions` say of this user

    @receiver(stepped)                                 # in the transaction: a log of the transitions, say
    @receiver(committed)                               # after the commit: mail, say
    def follow(sender, instance, field, steps, **_): ...

    operations = [move_sessions("orders.Order", "flow", FROM_LAST_YEAR)]       # in a migration of Django

Theory.
1. The column holds a snapshot as JSON, so a state can be asked for: `filter(flow__state="paid")`.  A generated column
   (`state` above) gives it an index.  Django's migrations see a JSONField, and know nothing of the session.
2. A session is saved only where the row still holds the snapshot that was read (compare and set); so two who fire at
   the same time cannot both win, and no version column is needed.  A session in which nothing has happened is not
   written at all.
3. What has happened to a session since it was read or saved is sent with the save: as `stepped` within its transaction,
   and as `committed` after the commit.  A save that fails or is rolled back has sent no `committed`.
4. A snapshot of an older chart is moved when it is read, by the field's `migrations`.  `move_sessions` moves all rows,
   after which the field needs that migration no longer.
5. A session knows no users, so a trigger asks for no permission.  Whoever fires for a user asks `has_event_perm` first,
   as the admin does.
"""

# Django ships no types:
# pyright: reportMissingTypeStubs=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false, reportUnknownLambdaType=false
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from fsm.contrib.requirements import check_version, without

try:
    from django.db import models, router, transaction
    from django.db.migrations import RunPython
    from django.dispatch import Signal
except ModuleNotFoundError as missing:
    raise without("django", "Django", missing) from None

from fsm.contrib.steps import Taken
from fsm.errors import SnapshotError
from fsm.session import Session, Step

if TYPE_CHECKING:
    from fsm.snapshot import Migrates

__all__ = [
    "ConcurrentChange", "SessionField", "SessionModel", "Taken", "committed", "has_event_perm",
    "move_sessions", "stepped",
]  # fmt: skip

check_version("django", "Django", 5, 0)

stepped: Final = Signal()
"""Sent while a model is saved, in its transaction: `instance`, `field` (a name) and `steps` (each a Taken)."""
committed: Final = Signal()
"""Sent with the same after the transaction was committed."""

Permission: TypeAlias = str | Callable[[Any, Any], bool]
"""A permission of Django's (`app.codename`), or a function of the model instance and the user."""


class ConcurrentChange(Exception):
    """Somebody else has saved this row's session since it was read.  Nothing was saved: read it again, and decide."""


class _Recorder:
    """Listens to one session, and refers to it nowhere."""

    def __init__(self, stored: Mapping[str, object] | None) -> None:
        self.stored = stored
        """The snapshot that the row holds; None if there is no row yet."""
        self.steps: list[Taken] = []

    def on_step(self, step: Step) -> None:
        """Note the step."""
        self.steps.append(Taken.of(step))


_RECORDERS: Final[WeakKeyDictionary[Session, _Recorder]] = WeakKeyDictionary()


def _recorded(session: Session, stored: Mapping[str, object] | None) -> Session:
    """Return the session, whose steps are recorded from now on."""
    _RECORDERS[session] = session.listen(_Recorder(stored))
    return session


class SessionField(models.JSONField):
    """A session of this class.  A new model instance has a new session.

    Its values are sessions; in queries also snapshots, and parts of them.  A row whose snapshot is damaged, or of
    another chart, raises SnapshotError when it is read.  `permissions` says for events what a user needs to fire them,
    see `has_event_perm`; ValueError if there is no such event.
    """

    def __init__(
        self, session: type[Session] | None = None, migrations: Iterable[Migrates] = (),
        permissions: Mapping[str, Permission] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        self.session, self.session_migrations = session, tuple(migrations)
        self.permissions: Mapping[str, Permission] = dict(permissions or {})
        if session is not None:
            events = [str(event) for event in session.chart.events]
            if strange := self.permissions.keys() - events:
                raise ValueError(
                    f"permissions are for events of {session.__name__} ({', '.join(events)}), not {sorted(strange)}"
                )
            options = {"default": self._new, "editable": False, **options}
        super().__init__(**options)

    def _new(self) -> Session:
        assert self.session is not None
        return _recorded(self.session(), None)

    def deconstruct(self) -> tuple[str, str, list[object], dict[str, Any]]:
        """Return the JSONField that migrations see; its default is a new session's snapshot."""
        name, _, args, options = super().deconstruct()
        options.pop("editable", None)
        if options.pop("default", None) is not None and self.session is not None:
            options["default"] = self.session().snapshot()
        return name, "django.db.models.JSONField", args, options

    def from_db_value(self, value: object, expression: object, connection: Any) -> object:
        """Return the session of a row; of a part of it (`values("flow__state")`) what JSONField returns."""
        found = super().from_db_value(value, expression, connection)
        if not isinstance(found, Mapping) or "snapshot" not in found or self.session is None:
            return found
        return _recorded(self.session.restore(found, self.session_migrations), found)

    def to_python(self, value: object) -> object:
        """Return a session for its snapshot, as fixtures have it."""
        if isinstance(value, Mapping) and self.session is not None:
            return _recorded(self.session.restore(value, self.session_migrations), None)
        return super().to_python(value)

    def get_prep_value(self, value: object) -> object:
        """Return the snapshot of a session."""
        return super().get_prep_value(value.snapshot() if isinstance(value, Session) else value)

    def get_db_prep_save(self, value: object, connection: Any) -> object:
        """Return what is stored.  TypeError for anything but a session of the class, or a snapshot."""
        if self.session is not None and not isinstance(value, (self.session, Mapping)) and value is not None:
            kind = self.session.__name__
            raise TypeError(
                f"{self.name} holds sessions of {kind}, not {value!r}: fire a trigger, or begin in a state with "
                f"{kind}.at(...)"
            )
        return super().get_db_prep_save(value, connection)

    def value_to_string(self, obj: models.Model) -> object:
        """Return the snapshot, for fixtures."""
        return self.get_prep_value(self.value_from_object(obj))


class SessionModel(models.Model):
    """A model with session fields, whose `save` is an optimistic lock on them (theory, 2 and 3)."""

    class Meta:
        """Fields alone make no table."""

        abstract = True

    def save(
        self, *, force_insert: Any = False, force_update: bool = False, using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:  # fmt: skip
        """Save the instance, and its sessions only over what was read.

        ConcurrentChange if the row's session was saved by somebody else since it was read; nothing is saved.
        """
        using = using or router.db_for_write(type(self), instance=self)
        names = {field.name for field in self._meta.concrete_fields if not field.primary_key and not field.generated}
        names = names if update_fields is None else names & set(update_fields)
        fields = [one for one in self._meta.concrete_fields if isinstance(one, SessionField) and one.name in names]
        fields = [one for one in fields if one.attname in self.__dict__]  # it was not deferred
        options = {"force_insert": force_insert, "force_update": force_update, "using": using}
        with transaction.atomic(using):
            if self._state.adding or force_insert:
                super().save(**options)
            else:
                for field in fields:
                    if self._compare_and_set(field, using):
                        names.discard(field.name)
                if names or update_fields is None:
                    super().save(**options, update_fields=names)
            for field in fields:
                self._saved(field, using)

    def _compare_and_set(self, field: SessionField, using: str) -> bool:
        """Save a session over what was read, if it has moved; return False if it was not read, but assigned."""
        session = getattr(self, field.attname)
        recorder = _RECORDERS.get(session) if isinstance(session, Session) else None
        if recorder is None or recorder.stored is None:
            return False
        if recorder.steps:
            row = type(self)._base_manager.using(using).filter(pk=self.pk)
            if not row.filter(**{field.name: recorder.stored}).update(**{field.name: session}):
                raise ConcurrentChange(
                    f"the {field.name} of {self._meta.label} {self.pk} is not {recorder.stored.get('state')!r} as it "
                    "was read: it was saved by somebody else, or deleted; read it again"
                )
        return True

    def _saved(self, field: SessionField, using: str) -> None:
        """Send the signals of what was saved."""
        session = getattr(self, field.attname)
        if not isinstance(session, Session):
            return
        recorder = _RECORDERS.get(session) or _RECORDERS[_recorded(session, None)]
        steps, recorder.steps = tuple(recorder.steps), []
        recorder.stored = session.snapshot()
        if steps:
            sent = {"sender": type(self), "instance": self, "field": field.name, "steps": steps}
            stepped.send(**sent)
            transaction.on_commit(lambda: committed.send(**sent), using)


def has_event_perm(instance: models.Model, field: str, event: str, user: Any) -> bool:
    """Return whether the `permissions` of a session field let this user fire this event; nothing said means yes.

    A permission counts if the user has it for the model or for this instance.  Whether the session accepts the event
    now is another question: `instance.flow.may(event)`.
    """
    wanted = instance._meta.get_field(field).permissions.get(event)
    if callable(wanted):
        return bool(wanted(instance, user))
    return wanted is None or user.has_perm(wanted) or user.has_perm(wanted, instance)


# ------------------------------------------------------------------------------------------------------ migrations


def move_sessions(model: str, field: str, *migrations: Migrates, back: Iterable[Migrates] = ()) -> RunPython:
    """Return an operation for a migration of Django that moves every stored session of a model, named `app.Model`.

    A row that is at none of the old charts is left alone; so the operation may run twice, and while the program runs.
    With `back` it can be reversed.  SnapshotError if a row cannot be moved; nothing has changed where the database has
    transactional migrations.
    """

    def mover(ways: Iterable[Migrates]) -> Callable[[Any, Any], None]:
        def run(apps: Any, editor: Any) -> None:
            rows = apps.get_model(model)._base_manager.using(editor.connection.alias)
            for one in ways:
                old = rows.filter(**{f"{field}__fingerprint": one.old})
                for pk, stored in old.values_list("pk", field).iterator(chunk_size=1_000):
                    try:
                        moved = one.migrated(stored)
                    except SnapshotError as error:
                        raise SnapshotError(model, f"the row {pk}: {error}", one.new, one.old) from error
                    rows.filter(pk=pk, **{field: stored}).update(**{field: moved})

        return run

    return RunPython(mover(migrations), mover(back) if back else None)
