"""A store session from open to released, and what it says on the way.

In the explorer: #submit,outbound_begin,logoff_orderly,outbound_sent
"""

from fsm import Refused
from fsm.logoff import Logoff, LogoffStatus, StoreSession

session = StoreSession()
session.submit()  # a message enters the outbound queue
session.outbound_begin()  # a transport begins to send it
print(session)

status = session.logoff(Logoff.ORDERLY)  # finish what is in flight, start nothing more
print(repr(status), LogoffStatus.COMPLETE in status)

try:
    session.submit()
except Refused as refusal:  # nothing has changed, and the refusal says why
    print(refusal.verdict.reason)
    print("legal now:", ", ".join(refusal.verdict.legal))

session.outbound_sent()  # the last message in flight: the drain ends with it
print(session, repr(session.status))
