"""The same busy store, asked in each of the five ways: one message coming in, one going out, one ready.

In the explorer: #inbound_begin,submit,outbound_begin,submit,logoff_no_wait,outbound_sent,outbound_begin
"""

from fsm.logoff import Logoff, StoreSession


def busy() -> StoreSession:
    session = StoreSession()
    for event in ("inbound_begin", "submit", "outbound_begin", "submit"):
        session.fire(event)
    return session


for flag in Logoff:
    session = busy()
    status = session.logoff(flag)
    names = " ".join(session.chart.flag_names(status))
    print(f"{flag.name:<8} {session.state:<9} new work: {'yes' if session.may('submit') else 'no':<4}", end="")
    print(f"sends what is ready: {'yes' if session.may('outbound_begin') else 'no':<4} {names}")
