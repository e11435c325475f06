"""A session as a small JSON value, restored later; another chart's is refused.

In the explorer: #submit,logoff_purge
"""

import json

from examples.turnstile import Turnstile
from fsm import SnapshotError
from fsm.logoff import StoreSession

session = StoreSession()
session.submit()
session.logoff_purge()
text = json.dumps(session.snapshot())
print(text)

again = StoreSession.restore(json.loads(text))
again.outbound_begin()
print(again)
print(session, "(a restored session lives on its own)")

try:
    Turnstile.restore(json.loads(text))
except SnapshotError as error:
    print(error)
