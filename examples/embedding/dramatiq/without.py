"""The same without fsm."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from remote import send as send_to_remote

broker = RedisBroker(url=os.environ["REDIS"])
dramatiq.set_broker(broker)


@dramatiq.actor
def send(content: str) -> None:
    send_to_remote(content.encode())
