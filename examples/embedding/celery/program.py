"""A Celery application.  Start it with: celery -A program worker"""

import os

import celery
from remote import send as send_to_remote

from fsm.contrib.celery import TasksInFlight

app = celery.Celery("orders", broker=os.environ["REDIS"])
tasks = TasksInFlight(app, "ORDERLY 1s -> cancel 5s")


@app.task(name="send")
def send(content: str) -> None:
    send_to_remote(content.encode(), tasks.item.on_cancel)
