"""Another process has the same store open: a logoff is granted at once, and the work is the other's.

In the explorer: #submit,peer_opened,logoff_quiet
"""

from fsm.logoff import Logoff, StoreSession

session = StoreSession(ready=3, peers=1)  # what the durable queue and the registry say
print(session, repr(session.status))
print(repr(session.logoff(Logoff.QUIET)))  # alone, QUIET would have been refused: mail is queued
print(session)
