"""Sessions in Django: a real database, migrations, two who fire at the same time, and the admin's pages."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings

from fsm import Refused, Session
from fsm.errors import SnapshotError
from fsm.migration import Migration, move

FOLDER = Path(tempfile.mkdtemp())
settings.configure(
    SECRET_KEY="of a test", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, USE_TZ=True, STATIC_URL="static/",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "shop.db"}},
    INSTALLED_APPS=["tests.contrib.shop"] + [f"django.contrib.{app}" for app in ("admin", "auth", "contenttypes", "messages", "sessions")],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
        "OPTIONS": {"context_processors": [
            "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages",
        ]},
    }],
)  # fmt: skip
django.setup()

from django.contrib import admin  # noqa: E402
from django.core import serializers  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, migrations, transaction  # noqa: E402
from django.db.migrations.state import ModelState, ProjectState  # noqa: E402
from django.db.migrations.writer import MigrationWriter  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path  # noqa: E402

from fsm.contrib.django import ConcurrentChange, SessionField, committed, has_event_perm, move_sessions, stepped  # noqa: E402
from fsm.contrib.django_admin import SessionAdmin  # noqa: E402
from tests.contrib.shop.models import FLOW, FROM_OLD, OLD, Order, OrderFlow  # noqa: E402


@admin.register(Order)
class OrderAdmin(SessionAdmin):
    session_field = "flow"


urlpatterns = [path("admin/", admin.site.urls)]


@pytest.fixture(scope="module", autouse=True)
def _database() -> Iterator[None]:
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Order)
    yield
    call_command("flush", verbosity=0, interactive=False)  # a process may come back to this module after others
    with connection.schema_editor() as editor:
        editor.delete_model(Order)
    connection.close()


@pytest.fixture
def order() -> Order:
    order = Order()
    order.save()
    return Order.objects.get(pk=order.pk)


def state(order: Order) -> str:
    return str(Order.objects.get(pk=order.pk).flow.state)


def test_a_session_is_stored_found_by_its_state_and_read_again(order: Order) -> None:
    order.flow.pay(amount=5)
    assert state(order) == "cart"
    order.save()
    found = Order.objects.get(flow__state="paid", state="paid", flow__values__total=5, pk=order.pk)
    assert isinstance(found.flow, OrderFlow)
    assert (found.flow.total, found.state) == (5, "paid")
    assert Order.objects.filter(pk=order.pk).values_list("flow__state", flat=True)[0] == "paid"
    with pytest.raises(Refused):
        found.flow.pay(amount=5)


def test_two_who_fire_at_the_same_time_cannot_both_win(order: Order) -> None:
    order.flow.pay(amount=1)
    order.save()
    one, other = Order.objects.get(pk=order.pk), Order.objects.get(pk=order.pk)
    one.flow.ship()
    one.save()
    other.flow.drop()
    other.name = "changed"
    with pytest.raises(ConcurrentChange, match=rf"the flow of shop.Order {order.pk} is not 'paid' as it was read"):
        other.save()
    assert (state(order), Order.objects.get(pk=order.pk).name) == ("shipped", "a")


def test_who_has_not_fired_overwrites_nothing(order: Order) -> None:
    reader = Order.objects.get(pk=order.pk)
    order.flow.pay(amount=1)
    order.save()
    reader.name = "renamed"
    reader.save()
    reader.save(update_fields=["name"])
    reader.save(update_fields=["flow"])
    assert (state(order), Order.objects.get(pk=order.pk).name) == ("paid", "renamed")


def test_steps_are_sent_in_the_transaction_and_after_its_commit(order: Order) -> None:
    heard: list[tuple[str, bool, list[str]]] = []

    def note(moment: str) -> Any:
        def receiver(instance: Order, field: str, steps: Any, **_: object) -> None:
            assert (instance, field) == (order, "flow")
            heard.append((moment, connection.in_atomic_block, [f"{one.event}{dict(one.data)}: {one.source} > {one.target}" for one in steps]))

        return receiver

    during, after = note("stepped"), note("committed")
    stepped.connect(during, sender=Order)
    committed.connect(after, sender=Order)
    with transaction.atomic():
        order.flow.pay(amount=2)
        order.flow.drop()
        order.save()
        assert [moment for moment, *_ in heard] == ["stepped"]
    steps = ["pay{'amount': 2}: cart > paid", "drop{}: paid > cart"]
    assert heard == [("stepped", True, steps), ("committed", False, steps)]
    order.save()
    assert len(heard) == 2
    with transaction.atomic():
        order.flow.pay(amount=3)
        order.save()
        transaction.set_rollback(True)
    assert [moment for moment, *_ in heard] == ["stepped", "committed", "stepped"]
    assert state(order) == "cart"
    stepped.disconnect(during, sender=Order)
    committed.disconnect(after, sender=Order)


def test_anything_but_a_session_of_the_class_is_refused(order: Order) -> None:
    order.flow = "paid"
    with pytest.raises(TypeError, match=r"flow holds sessions of OrderFlow, not 'paid': fire a trigger, or begin in a state with OrderFlow.at"):
        order.save()
    with pytest.raises(TypeError, match="flow holds sessions of OrderFlow"):
        Order.objects.filter(pk=order.pk).update(flow="paid")
    order.flow = OrderFlow.at("paid", total=7)
    order.save()
    assert state(order) == "paid"


def test_a_session_goes_into_a_fixture_and_comes_back(order: Order) -> None:
    order.flow.pay(amount=4)
    order.save()
    text = serializers.serialize("json", [order])
    assert json.loads(text)[0]["fields"]["flow"]["state"] == "paid"
    order.delete()
    for found in serializers.deserialize("json", text):
        found.save()
        assert found.object.flow.total == 4


# ------------------------------------------------------------------------------------------------------ migrations


def test_djangos_migrations_see_a_json_field() -> None:
    written, imports = MigrationWriter.serialize(Order._meta.get_field("flow"))
    assert written.startswith("models.JSONField(default={")
    assert imports == {"from django.db import models"}


def stored(snapshot: dict[str, object]) -> Order:
    order = Order()
    order.save()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shop_order SET flow = %s WHERE id = %s", [json.dumps(snapshot), order.pk])
    return order


def test_an_older_snapshot_is_moved_when_it_is_read_and_saved_over_what_was_read() -> None:
    order = Order.objects.get(pk=stored(Session.of(OLD).at("new", total=3).snapshot()).pk)
    assert (order.flow.state, order.flow.total) == ("cart", 3)
    order.flow.pay(amount=1)
    order.save()
    assert state(order) == "paid"


def test_stored_sessions_move_in_a_migration_of_django_and_back() -> None:
    old, new = stored(Session.of(OLD).at("new", total=3).snapshot()), stored(OrderFlow.at("paid", total=1).snapshot())
    back = Migration(FLOW, OLD, moves=[move("cart", "new"), move("paid"), move("shipped", "paid")])
    operation = move_sessions("shop.Order", "flow", FROM_OLD, back=[back])
    project = ProjectState()
    project.add_model(ModelState.from_model(Order))
    migration = migrations.Migration("0002", "shop")
    migration.operations = [operation]
    with connection.schema_editor() as editor:
        migration.apply(project.clone(), editor)
    assert [raw(order)["state"] for order in (old, new)] == ["cart", "paid"]
    with connection.schema_editor() as editor:
        migration.unapply(project.clone(), editor)
    assert [raw(order)["state"] for order in (old, new)] == ["new", "paid"]
    assert {raw(order)["fingerprint"] for order in (old, new)} == {OLD.fingerprint}
    Order.objects.all().delete()


def raw(order: Order) -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT flow FROM shop_order WHERE id = %s", [order.pk])
        return json.loads(cursor.fetchone()[0])


def test_a_row_of_another_chart_is_refused() -> None:
    order = stored({**OrderFlow().snapshot(), "fingerprint": "0" * 16})
    with pytest.raises(SnapshotError, match="expected"):
        Order.objects.get(pk=order.pk)
    order.delete()


# ------------------------------------------------------------------------------------------------------- the admin


@pytest.fixture(scope="module")
def client(_database: None) -> Client:
    from django.contrib.auth.models import User

    client = Client()
    client.force_login(User.objects.create_superuser("root", password="x"))
    return client


def test_the_admin_shows_the_picture_and_fires_by_buttons(client: Client, order: Order) -> None:
    order.flow.pay(amount=1)
    order.save()
    url = f"/admin/shop/order/{order.pk}/change/"
    page = client.get(url).content.decode()
    assert "<svg" in page
    assert 'name="_fire" value="ship" title="" >ship</button>' in page
    after = client.post(url, {"name": "b", "_fire": "ship"}, follow=True)
    assert after.redirect_chain == [(url, 302)]
    assert f"Order {order.pk}: ship: now shipped" in after.content.decode()
    assert (state(order), Order.objects.get(pk=order.pk).name) == ("shipped", "b")
    assert 'value="ship" title="shipped is final" disabled>' in after.content.decode()
    assert "cannot ship" in client.post(url, {"name": "b", "_fire": "ship"}, follow=True).content.decode()
    assert client.post(url, {"name": "b", "_fire": "pay"}).status_code == 302  # no button has sent that
    assert client.get("/admin/shop/order/add/").status_code == 200


def test_the_admin_fires_for_many_and_says_which_are_refused(client: Client, order: Order) -> None:
    other = Order()
    other.flow.pay(amount=1)
    other.save()
    given = {"action": "fire_ship", "_selected_action": [order.pk, other.pk]}
    page = client.post("/admin/shop/order/", given, follow=True).content.decode()
    assert f"Order {other.pk}: ship: now shipped" in page
    assert f"Order {order.pk}: cannot ship" in page
    assert (state(order), state(other)) == ("cart", "shipped")


# --------------------------------------------------------------------------------------------------- permissions


@pytest.fixture(scope="module")
def clerk(_database: None) -> Any:
    """May see and change orders, ship none, and drop their own."""
    from django.contrib.auth.models import Permission, User

    user = User.objects.create_user("clerk", password="x", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=["view_order", "change_order"]))
    return user


class OfThisRow:
    """A backend of Django's with permissions for single rows: orders that are called "theirs"."""

    def has_perm(self, user: Any, permission: str, obj: object = None) -> bool:
        return permission == "shop.ship_order" and isinstance(obj, Order) and obj.name == "theirs"


ASKED = [("a", "ship", False), ("theirs", "ship", True), ("a", "drop", False), ("own", "drop", True), ("a", "pay", True)]


@pytest.mark.parametrize(("name", "event", "allowed"), ASKED)
def test_a_permission_is_asked_of_the_model_the_row_or_a_function(clerk: Any, name: str, event: str, allowed: bool) -> None:
    from django.contrib.auth.models import User
    from django.test import override_settings

    backends = ["django.contrib.auth.backends.ModelBackend", f"{__name__}.OfThisRow"]
    with override_settings(AUTHENTICATION_BACKENDS=backends):
        assert has_event_perm(Order(name=name), "flow", event, clerk) is allowed
        assert has_event_perm(Order(name=name), "flow", event, User(username="root", is_superuser=True, is_active=True))


def test_the_admin_fires_only_what_the_user_may(clerk: Any, order: Order) -> None:
    order.flow.pay(amount=1)
    order.save()
    client = Client()
    client.force_login(clerk)
    url = f"/admin/shop/order/{order.pk}/change/"
    page = client.get(url).content.decode()
    assert 'value="ship" title="clerk may not ship" disabled>' in page
    assert 'value="drop" title="clerk may not drop" disabled>' in page
    assert "clerk may not ship" in client.post(url, {"name": "a", "_fire": "ship"}, follow=True).content.decode()
    chosen = {"_selected_action": [order.pk]}
    page = client.post("/admin/shop/order/", {"action": "fire_drop", **chosen}, follow=True).content.decode()
    assert f"Order {order.pk}: clerk may not drop" in page
    assert 'value="fire_drop"' in page
    assert 'value="fire_ship"' not in page
    assert client.post("/admin/shop/order/", {"action": "fire_ship", **chosen}).status_code == 302  # no such action
    assert state(order) == "paid"
    client.post(url, {"name": "own", "_fire": "drop"})
    assert state(order) == "cart"


def test_a_permission_for_an_event_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"permissions are for events of OrderFlow \(pay, ship, drop\), not \['shipp'\]"):
        SessionField(OrderFlow, permissions={"shipp": "shop.ship_order"})
