"""Two devices are paired by a code: with time-outs, three attempts, and a device that is blocked for good."""

from fsm import Boolean, Chart, Counter, Event, Field, State, row

WRONG = Counter("wrong", "codes that were wrong")
TRIES = Counter("tries", "connections that got no answer")
BONDED = Boolean("bonded", "the keys are kept")

PAIRING = Chart(
    "pairing",
    doc="a headset",
    states=[
        State("idle", invariant=WRONG < 3),
        State("discoverable", "blinks", invariant=WRONG < 3, after={60: "nobody"}),
        State("connecting", invariant=(WRONG < 3) & (TRIES < 3), after={5: "no_answer"}),
        State("confirming", "shows a code", invariant=WRONG < 3, after={30: "no_code"}),
        State("paired", invariant=BONDED),
        State("blocked", "three wrong codes: only the maker can open it", absorbing=True, invariant=WRONG == 3),
    ],
    events=[
        Event("press", "the button"), Event("request", data=(Field("address", str, "of the other device"),)),
        Event("answer"), Event("right_code"), Event("wrong_code"), Event("nobody"), Event("no_answer"),
        Event("no_code"), Event("lost", "the connection"), Event("forget", "the button, for ten seconds"),
    ],
    variables=[WRONG, TRIES, BONDED],
    rows=[
        row("show", "idle", "press", unless=BONDED, target="discoverable"),
        row("reconnect", "idle", "press", guard=BONDED, effects=[TRIES.becomes(0)], target="connecting"),
        row("more-time", "discoverable", "press", reenter=True, why="another minute"),
        row("nobody", "discoverable", "nobody", target="idle"),
        row("found", "discoverable", "request", effects=[TRIES.becomes(0)], target="connecting"),
        row("retry", "connecting", "no_answer", guard=TRIES < 2, effects=[TRIES.becomes(TRIES + 1)], reenter=True),
        row("give-up", "connecting", "no_answer", guard=TRIES == 2, target="idle"),
        row("ask", "connecting", "answer", unless=BONDED, target="confirming"),
        row("known", "connecting", "answer", guard=BONDED, target="paired"),
        row("no-code", "confirming", "no_code", target="idle"),
        row("right", "confirming", "right_code", effects=[BONDED.becomes(True), WRONG.becomes(0)], target="paired"),
        row("wrong", "confirming", "wrong_code", guard=WRONG < 2, effects=[WRONG.becomes(WRONG + 1)], reenter=True),
        row("block", "confirming", "wrong_code", guard=WRONG == 2, effects=[WRONG.becomes(3)], target="blocked"),
        row("lost", "paired", "lost", effects=[TRIES.becomes(0), WRONG.becomes(0)], target="idle"),
        row("forget", ("idle", "paired"), "forget", guard=BONDED, effects=[BONDED.becomes(False), WRONG.becomes(0)],
            target="idle"),
    ],
)  # fmt: skip
