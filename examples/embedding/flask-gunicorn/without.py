"""The same with a queue in memory, and a thread that the first request starts in each worker."""

import threading
from functools import cache
from queue import Queue

from flask import Flask, request
from remote import send

app = Flask(__name__)
queue: Queue[bytes] = Queue()


def deliver() -> None:
    while True:
        send(queue.get())


@cache
def start() -> None:
    threading.Thread(target=deliver, daemon=True).start()


@app.post("/mail")
def take() -> str:
    start()
    queue.put(request.get_data())
    return "ok"
