"""A traffic crossing of two roads, with a button for those on foot.  It never ends; its times are all it lives by."""

from fsm import Boolean, Chart, Event, State, row

WAITING = Boolean("waiting", "somebody has pressed the button")
LIGHTS = ("main_green", "main_yellow", "all_red", "side_green", "side_yellow")

CROSSING = Chart(
    "crossing",
    doc="a main road, a side road, people on foot",
    states=[
        State("main_green", after={40: "change"}), State("main_yellow", after={3: "change"}),
        State("all_red", "before the side road", after={2: "change"}),
        State("side_green", after={15: "change"}), State("side_yellow", after={3: "change"}),
        State("walk", "everybody on wheels waits", invariant=~WAITING, after={12: "change"}),
        State("flashing", "yellow, until somebody has come", after={2: "blink"}),
    ],
    events=[
        Event("change", "the time of a light is over"), Event("press", "the button"),
        Event("fault", "a lamp does not answer"), Event("repaired"), Event("blink"),
    ],
    variables=[WAITING],
    rows=[
        row("yellow", "main_green", "change", target="main_yellow"),
        row("red", "main_yellow", "change", target="all_red"),
        row("side", "all_red", "change", unless=WAITING, target="side_green"),
        row("foot", "all_red", "change", guard=WAITING, effects=[WAITING.becomes(False)], target="walk"),
        row("side-yellow", "side_green", "change", target="side_yellow"),
        row("main", "side_yellow", "change", target="main_green"),
        row("walked", "walk", "change", target="side_green"),
        row("press", LIGHTS, "press", effects=[WAITING.becomes(True)], why="those who walk need not press"),
        row("fault", (*LIGHTS, "walk"), "fault", effects=[WAITING.becomes(False)], target="flashing"),
        row("blink", "flashing", "blink", reenter=True, why="on and off, each two seconds"),
        row("repaired", "flashing", "repaired", target="all_red"),
    ],
)  # fmt: skip
