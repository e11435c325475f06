"""The same with a queue in memory, and a thread that the first request starts."""

import threading
from functools import cache
from queue import Queue

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path
from remote import send

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="of the example")
queue: Queue[bytes] = Queue()


def deliver() -> None:
    while True:
        send(queue.get())


@cache
def start() -> None:
    threading.Thread(target=deliver, daemon=True).start()


def take(request: HttpRequest) -> HttpResponse:
    start()
    queue.put(request.body)
    return HttpResponse("ok")


urlpatterns = [path("mail", take)]
application = WSGIHandler()
