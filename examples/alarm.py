"""The chart of example 16: a burglar alarm, which gives people time to leave, and to come in."""

from __future__ import annotations

from fsm import Chart, Counter, Session, State, row, trigger

FALSE_CODES = Counter("false_codes", "wrong codes since somebody came in")
ALARM = Chart(
    "alarm",
    states=[
        State("disarmed", "everybody may come and go"),
        State("arming", "whoever is inside leaves now", after={30: "armed"}),
        State("armed", "nobody should be here"),
        State("entered", "somebody came in, and has to say who", after={10: "beep", 20: "intrusion"}),
        State("alarm", "it can be heard in the whole street", after={180: "quiet"}),
    ],
    events=["arm", "armed", "entry", "beep", "code", "wrong_code", "intrusion", "quiet"],
    variables=[FALSE_CODES],
    rows=[
        row("arm", "disarmed", "arm", target="arming"),
        row("armed", "arming", "armed", target="armed", why="the time to leave is over"),
        row("entry", "armed", "entry", effects=[FALSE_CODES.becomes(0)], target="entered"),
        row("beep", "entered", "beep", why="a reminder; the time goes on"),
        row("again", "entered", "wrong_code", guard=FALSE_CODES < 2, effects=[FALSE_CODES.becomes(FALSE_CODES + 1)],
            reenter=True, why="people mistype: the time begins anew"),
        row("thief", "entered", "wrong_code", guard=FALSE_CODES >= 2, target="alarm"),
        row("intrusion", "entered", "intrusion", target="alarm"),
        row("quiet", "alarm", "quiet", target="armed", why="the neighbours have heard it"),
        row("code", ("arming", "armed", "entered", "alarm"), "code", target="disarmed"),
    ],
)  # fmt: skip


class Alarm(Session, chart=ALARM, guarded=True):
    """One alarm.  It is guarded, since timers may fire from a thread of their own."""

    __slots__ = ("_false_codes",)

    @trigger
    def arm(self) -> None:
        """The owner leaves."""

    @trigger
    def armed(self) -> None:
        """The time to leave is over."""

    @trigger
    def entry(self) -> None:
        """A door opens."""

    @trigger
    def beep(self) -> None:
        """Half of the time to say who one is is over."""

    @trigger
    def code(self) -> None:
        """The right code is typed."""

    @trigger
    def wrong_code(self) -> None:
        """A wrong code is typed."""

    @trigger
    def intrusion(self) -> None:
        """Nobody has typed the code."""

    @trigger
    def quiet(self) -> None:
        """It has been loud for long enough."""
