"""A Django application that takes mail.  Start it with: gunicorn --threads 4 program:application"""

from contextlib import suppress

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path
from remote import send

from fsm.contrib.gunicorn import serving
from fsm.store import Database, Retry, Store, StoreClosing

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="of the example")


def deliver(store: Store) -> None:
    for item in store.outgoing():
        with suppress(OSError), item:  # an error defers the message
            send(item.message.content, item.on_cancel)


def take(request: HttpRequest) -> HttpResponse:
    try:
        return HttpResponse(mail.store.submit(request.body))
    except StoreClosing as closing:
        return HttpResponse(str(closing), status=closing.http)


PLAN = "ORDERLY 1s -> cancel 5s"
mail = serving(lambda: Store(Database("mail.db"), retry=Retry(first=1)), PLAN, workers=[deliver])
urlpatterns = [path("mail", take)]
application = mail.middleware(WSGIHandler())
