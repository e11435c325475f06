"""The store of each worker process, and the thread that passes the mail on."""

from contextlib import suppress

from remote import send

from fsm.contrib.gunicorn import serving
from fsm.store import Database, Retry, Store


def deliver(store: Store) -> None:
    for item in store.outgoing():
        with suppress(OSError), item:  # an error defers the message
            send(item.message.content, item.on_cancel)


mail = serving(
    lambda: Store(Database("mail.db"), retry=Retry(first=1)), "ORDERLY 1s -> cancel 5s", workers=[deliver]
)
