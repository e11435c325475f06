"""A circuit breaker: after three failures in a row nobody is let through for half a minute; then one try decides."""

from fsm import Chart, Counter, Event, Number, State, row

FAILURES, LIMIT = Counter("failures", "in a row"), 3
LOST = Number("lost", "requests that one failure has cost", default=1)

BREAKER = Chart(
    "breaker",
    doc="in front of a service that may fail",
    states=[
        State("closed", "requests go through", invariant=FAILURES < LIMIT),
        State("open", "requests are refused at once", invariant=FAILURES == 0, after={30: "retry"}),
        State("half_open", "one request goes through", invariant=FAILURES == 0, after={10: "failure"}),
        State("removed", "taken out of the way", final=True),
    ],
    events=[Event("success"), Event("failure", data=(LOST,)), Event("retry", "it has rested"), Event("remove")],
    variables=[FAILURES],
    rows=[
        row("well", "closed", "success", effects=[FAILURES.becomes(0)]),
        row("count", "closed", "failure", guard=FAILURES + LOST < LIMIT, effects=[FAILURES.becomes(FAILURES + LOST)]),
        row("trip", "closed", "failure", guard=FAILURES + LOST >= LIMIT, effects=[FAILURES.becomes(0)], target="open"),
        row("late", "open", "failure", why="of a request that was under way"),
        row("try", "open", "retry", target="half_open"),
        row("heal", "half_open", "success", target="closed"),
        row("trip-again", "half_open", "failure", target="open"),
        row("remove", ("closed", "open", "half_open"), "remove", effects=[FAILURES.becomes(0)], target="removed"),
    ],
    bounds={"lost": 3},
)
