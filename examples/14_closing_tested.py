"""Does a program lose messages when it is closed?  It is closed at each of its steps, in simulated time, to find out.

In the explorer: #inbound_begin,logoff_no_wait,inbound_received
"""

from contextlib import suppress

from fsm.store import Store, StoreClosing
from fsm.testing.closing import LostMail, loses_nothing


def careful(store: Store) -> None:
    with store.inbound(peer="10.0.0.7"):
        store.submit(b"hello")  # when it is refused, StoreClosing leaves the block: the source keeps its message


def careless(store: Store) -> None:
    with suppress(StoreClosing), store.inbound(peer="10.0.0.7"), suppress(StoreClosing):
        store.submit(b"hello")  # when it is refused, the source is told "received", and nobody has the message


checked = loses_nothing(careful)
print(f"careful: closed {checked.closings} times, nothing lost")
try:
    loses_nothing(careless)
except LostMail as lost:
    print("careless:", lost)
