"""A lift: the floor it is at and the floor it is called to are counters, and are compared with each other."""

from fsm import Chart, Counter, Event, Number, State, row

TOP = 3
FLOOR, GOAL, TO = Counter("floor"), Counter("goal"), Number("to", "the floor it is called to")
INSIDE = (FLOOR <= TOP) & (GOAL <= TOP)

LIFT = Chart(
    "lift",
    doc=f"between floor 0 and floor {TOP}",
    states=[
        State("standing", invariant=INSIDE & (FLOOR == GOAL)),
        State("up", invariant=INSIDE & (FLOOR < GOAL), after={20: "late"}),
        State("down", invariant=INSIDE & (FLOOR > GOAL), after={20: "late"}),
        State("door_open", invariant=INSIDE & (FLOOR == GOAL), after={6: "close"}),
        State("stuck", "between two floors", invariant=INSIDE),
        State("out_of_order", "the rope was cut for good", absorbing=True),
    ],
    events=[
        Event("call", data=(TO,)), Event("passed", "a floor"), Event("late", "it should be there"),
        Event("open_door", "the button inside"), Event("close"), Event("freed", "by the fire brigade"),
        Event("condemned"),
    ],
    variables=[FLOOR, GOAL],
    rows=[
        row("go-up", "standing", "call", guard=(TO > FLOOR) & (TO <= TOP), effects=[GOAL.becomes(TO)], target="up"),
        row("go-down", "standing", "call", guard=TO < FLOOR, effects=[GOAL.becomes(TO)], target="down"),
        row("here", "standing", "call", guard=TO == FLOOR, target="door_open"),
        row("higher", "up", "passed", guard=FLOOR + 1 < GOAL, effects=[FLOOR.becomes(FLOOR + 1)], reenter=True),
        row("reached", "up", "passed", guard=FLOOR + 1 == GOAL, effects=[FLOOR.becomes(GOAL)], target="door_open"),
        row("lower", "down", "passed", guard=FLOOR > GOAL + 1, effects=[FLOOR.becomes(FLOOR - 1)], reenter=True),
        row("arrived", "down", "passed", guard=FLOOR == GOAL + 1, effects=[FLOOR.becomes(GOAL)], target="door_open"),
        row("late", ("up", "down"), "late", target="stuck"),
        row("freed", "stuck", "freed", effects=[FLOOR.becomes(0), GOAL.becomes(0)], target="standing"),
        row("condemned", "stuck", "condemned", target="out_of_order"),
        row("hold", "door_open", "open_door", reenter=True, why="six more seconds"),
        row("let-in", "standing", "open_door", target="door_open"),
        row("close", "door_open", "close", target="standing"),
    ],
    bounds={"to": TOP},
)
