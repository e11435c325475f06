"""A second protocol: HTTP/1.1, client and server, from the tables of the installed h11, compared with h11's own answers.

A chart has one role's states; the other role's state, keep-alive and the client's proposals to switch are variables.
h11 couples its two machines by rules that fire until nothing changes; here each event is one row that looks ahead.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import h11._state as h
import pytest
from h11 import LocalProtocolError

from fsm import Chart, Choice, Refused, Session, State
from fsm.chart import row
from fsm.condition import AnyOf, Condition

ROLES = (h.CLIENT, h.SERVER)
OTHER = {h.CLIENT: h.SERVER, h.SERVER: h.CLIENT}
PROPOSALS = {"upgrade": h._SWITCH_UPGRADE, "connect": h._SWITCH_CONNECT}


class Connection(NamedTuple):
    """Where a connection stands."""

    client: str
    server: str
    keep_alive: str
    upgrade: str
    connect: str


START = Connection("IDLE", "IDLE", "yes", "no", "no")


def events() -> dict[str, Any]:
    """Event name -> (role, key in h11's table), and the four that are no messages."""
    named: dict[str, Any] = {}
    for role in ROLES:
        for cell in h.EVENT_TRIGGERED_TRANSITIONS[role].values():
            for key in cell:
                if not isinstance(key, tuple):
                    named[f"{role.__name__.lower()}_{key.__name__}"] = (role, key)
                elif key[1] in PROPOSALS.values():
                    named[f"server_{key[0].__name__}{key[1].__name__}"] = (role, key)
    named |= {"client_error": h.CLIENT, "server_error": h.SERVER, "keep_alive_disabled": "keep_alive"}
    return named | {f"propose_{name}": name for name in PROPOSALS}


EVENTS = events()


def ask_h11(here: Connection, event: str) -> Connection | None:
    """What h11 itself does."""
    state = h.ConnectionState()
    state.states = {h.CLIENT: getattr(h, here.client), h.SERVER: getattr(h, here.server)}
    state.keep_alive = here.keep_alive == "yes"
    state.pending_switch_proposals = {s for name, s in PROPOSALS.items() if getattr(here, name) == "yes"}
    meant = EVENTS[event]
    try:
        if meant in ROLES:
            state.process_error(meant)
        elif meant == "keep_alive":
            state.process_keep_alive_disabled()
        elif meant in PROPOSALS:
            state.process_client_switch_proposal(PROPOSALS[meant])
        elif isinstance(meant[1], tuple):
            state.process_event(meant[0], *meant[1])
        else:
            state.process_event(meant[0], meant[1])
    except (LocalProtocolError, AttributeError):  # the latter where h11 0.16 stumbles over the words of its own refusal
        return None
    client, server = (state.states[role].__name__ for role in ROLES)
    proposed = ("yes" if s in state.pending_switch_proposals else "no" for s in PROPOSALS.values())
    return Connection(client, server, "yes" if state.keep_alive else "no", *proposed)


def read_tables(here: Connection, event: str) -> Connection | None:
    """The same, read off h11's two tables: what happened, then the rules that couple the roles, until nothing changes."""
    meant, states = EVENTS[event], {h.CLIENT: here.client, h.SERVER: here.server}
    rest = {"keep_alive": here.keep_alive, "upgrade": here.upgrade, "connect": here.connect}
    if meant in ROLES:
        states[meant] = "ERROR"
    elif isinstance(meant, str):
        rest[meant] = "no" if meant == "keep_alive" else "yes"
    else:
        role, key = meant
        if isinstance(key, tuple) and rest[next(n for n, s in PROPOSALS.items() if s is key[1])] == "no":
            return None
        for who, what in ((role, key), *([(h.SERVER, (h.Request, h.CLIENT))] if key is h.Request else [])):
            target = h.EVENT_TRIGGERED_TRANSITIONS[who][getattr(h, states[who])].get(what)
            if target is None:
                return None
            states[who] = target.__name__
        if key is h.Response:
            rest |= dict.fromkeys(PROPOSALS, "no")
    while True:
        before = dict(states)
        proposed = "yes" in (rest["upgrade"], rest["connect"])
        if proposed and states[h.CLIENT] == "DONE":
            states[h.CLIENT] = "MIGHT_SWITCH_PROTOCOL"
        if not proposed and states[h.CLIENT] == "MIGHT_SWITCH_PROTOCOL":
            states[h.CLIENT] = "DONE"
        for role in ROLES:
            if rest["keep_alive"] == "no" and states[role] == "DONE":
                states[role] = "MUST_CLOSE"
        joint = getattr(h, states[h.CLIENT]), getattr(h, states[h.SERVER])
        for role, target in h.STATE_TRIGGERED_TRANSITIONS.get(joint, {}).items():
            states[role] = target.__name__
        if states == before:
            return Connection(states[h.CLIENT], states[h.SERVER], **rest)


@cache
def reachable() -> tuple[Connection, ...]:
    found = [START]
    for here in found:
        for event in EVENTS:
            there = read_tables(here, event)
            if there is not None and there not in found:
                found.append(there)
    return tuple(found)


@cache
def http(role: str) -> Chart:
    """The chart of one role."""
    other = "server" if role == "client" else "client"
    names = (other, "keep_alive", "upgrade", "connect")
    table = {r.__name__.lower(): [s.__name__ for s in h.EVENT_TRIGGERED_TRANSITIONS[r]] for r in ROLES}
    variables = {other: Choice(other, tuple(table[other]), initial="IDLE")}
    variables |= {name: Choice(name, ("yes", "no"), initial=getattr(START, name)) for name in names[1:]}
    cells: dict[Any, list[Connection]] = defaultdict(list)
    for here, event in product(reachable(), EVENTS):
        if (there := read_tables(here, event)) is not None:
            changed = tuple((name, new) for name in names if (new := getattr(there, name)) != getattr(here, name))
            cells[getattr(here, role), event, getattr(there, role), changed].append(here)

    def guard(when: list[Connection]) -> Condition:
        alike: dict[Any, list[str]] = defaultdict(list)
        for here in when:
            alike[here[2:]].append(getattr(here, other))
        parts = [
            variables[other].among(*states) & (variables["keep_alive"] == k) & (variables["upgrade"] == u) & (variables["connect"] == c)
            for (k, u, c), states in alike.items()
        ]
        return AnyOf(*parts)

    rows = [
        row(f"r{n}", source, event, guard=guard(when), target=target, effects=[variables[v].becomes(new) for v, new in changed])
        for n, ((source, event, target, changed), when) in enumerate(cells.items())
    ]
    states = [State(name, final=name == "ERROR") for name in table[role]]
    return Chart(f"http-{role}", states=states, events=list(EVENTS), rows=rows, variables=list(variables.values()))


def test_the_tables_were_read_as_h11_reads_them() -> None:
    assert len(reachable()) > 100
    for here, event in product(reachable(), EVENTS):
        assert read_tables(here, event) == ask_h11(here, event)


@pytest.mark.parametrize("role", ["client", "server"])
def test_every_state_and_event_of_a_role_answers_as_h11_does(role: str) -> None:
    chart = http(role)
    new = Session.of(chart)
    mine, other = (0, 1) if role == "client" else (1, 0)
    pairs = set()
    for here, event in product(reachable(), EVENTS):
        session = new.unchecked((here[mine], here[other], *here[2:]))
        assert session.may(event).accepted is (ask_h11(here, event) is not None)
        try:
            session.fire(event)
            there = session.configuration
        except Refused:
            there = None
        expected = ask_h11(here, event)
        assert there == (expected and (expected[mine], expected[other], *expected[2:]))
        pairs.add((here[mine], event))
    table = h.EVENT_TRIGGERED_TRANSITIONS[h.CLIENT if role == "client" else h.SERVER]
    assert pairs == set(product([s.__name__ for s in table], EVENTS))


def test_a_conversation() -> None:
    client, server = Session.of(http("client"))(), Session.of(http("server"))()
    for event in ("client_Request", "client_EndOfMessage", "server_Response", "server_Data", "server_EndOfMessage",
                  "client_ConnectionClosed", "server_ConnectionClosed"):  # fmt: skip
        client.fire(event)
        server.fire(event)
    assert (client.state, server.state) == ("CLOSED", "CLOSED")
    with pytest.raises(Refused, match="cannot client_Data while CLOSED"):
        client.fire("client_Data")
