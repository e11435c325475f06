"""Listeners hear a step in its order; one that raises before the step cancels it; one may post what comes next.

In the explorer: #submit,outbound_begin,logoff_abort,outbound_sent
"""

from fsm import Step
from fsm.logoff import StoreSession


class Audited(StoreSession):
    """Methods of a session class listen to its sessions.  A misspelt name fails when the class is defined."""

    __slots__ = ()

    def on_transition(self, step: Step) -> None:
        print(f"{step.event:<15} {step.source} -> {step.target}  ({step.row.id}: {step.row.why})")


class QuietHours:
    """Any object may listen, too."""

    def before_outbound_begin(self, step: Step) -> None:
        raise PermissionError("no mail is sent at night")

    def on_enter_blocked(self, step: Step) -> None:
        step.session.post("outbound_sent")  # a listener may not fire a trigger, but post one: it runs after this step


session = Audited()
session.submit()
hours = session.listen(QuietHours())
try:
    session.outbound_begin()
except PermissionError as error:
    print(f"{error}; ready {session.ready}, outbound {session.outbound}")
session.forget(hours)
session.outbound_begin()
session.listen(hours)
session.logoff_abort()
print(session)

try:
    type("Misspelt", (StoreSession,), {"on_enter_drainning": print})
except ValueError as error:
    print(error)
