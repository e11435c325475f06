"""Clients that only release.  Without any logoff, Release asks for ABORT; a flag that another client left is used.

In the explorer: #submit,outbound_begin,release,outbound_sent
"""

from fsm.logoff import Logoff, MapiError, MessageStore, ReleaseStep


def told(step: ReleaseStep) -> None:
    print("  step of Release:", step.value)


def request(store: MessageStore) -> str:
    return store.session.request.name if store.session.request else "none"


print("one client, no logoff:")
store = MessageStore(on_step=told)
with store.open() as handle:
    handle.submit()
    store.session.outbound_begin()
print(store, "request", request(store))  # a message is in flight, so ABORT waits for it
store.session.outbound_sent()
print(store)

print("two clients, and one of them logs off:")
store = MessageStore()
first, second = store.open(), store.open()
second.submit()
store.session.outbound_begin()
print(repr(first.store_logoff(Logoff.ORDERLY)), store, "saved", store.saved)
try:
    first.submit()
except MapiError as error:
    print(f"0x{error.hresult:08X} {error.explanation}")
print(second.release(), "references left;", store, "request", request(store))
store.session.outbound_sent()
print(store, len(store.steps), "steps")
