"""Two clients of one store.  One logs off and its flag is saved; the other only releases, and the flag is used then.

In the explorer: #submit,outbound_begin,logoff_orderly,release,outbound_sent
"""

from fsm.logoff import Logoff, MapiError, MessageStore, ReleaseStep


def told(step: ReleaseStep) -> None:
    print("  step of Release:", step.value)


store = MessageStore(on_step=told)
first, second = store.open(), store.open()
second.submit()
store.session.outbound_begin()

print("first logs off:", repr(first.store_logoff(Logoff.ORDERLY)), store)
try:
    first.submit()
except MapiError as error:
    print(f"0x{error.hresult:08X} {error.explanation}")

print("second releases, the last one;", second.release(), "references left")
print(store, "request", store.session.request.name if store.session.request else None)
store.session.outbound_sent()  # what was in flight ends, and now the store is released
print(store)
