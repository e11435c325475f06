"""A dramatiq application.  Start it with: dramatiq program"""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from remote import send as send_to_remote

from fsm.contrib.dramatiq import TasksInFlight

broker = RedisBroker(url=os.environ["REDIS"])
tasks = TasksInFlight("ORDERLY 1s -> cancel 5s")
broker.add_middleware(tasks)
dramatiq.set_broker(broker)


@dramatiq.actor
def send(content: str) -> None:
    send_to_remote(content.encode(), tasks.item.on_cancel)
