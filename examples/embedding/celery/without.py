"""The same without fsm."""

import os

import celery
from remote import send as send_to_remote

app = celery.Celery("orders", broker=os.environ["REDIS"])


@app.task(name="send")
def send(content: str) -> None:
    send_to_remote(content.encode())
