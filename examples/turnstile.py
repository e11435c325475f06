"""The chart of example 8: a turnstile that counts its coins and is emptied when it is out of use."""

from fsm import Chart, Counter, Session, State, row, trigger

COINS = Counter("coins", "coins in the box")

TURNSTILE = Chart(
    "turnstile",
    doc="a gate that opens for a coin",
    states=["locked", "unlocked", State("retired", "out of use, the box empty", final=True)],
    events=["coin", "push", "retire"],
    variables=[COINS],
    rows=[
        row("pay", "locked", "coin", effects=[COINS.becomes(COINS + 1)], target="unlocked", why="one coin, one person"),
        row("pass", "unlocked", "push", target="locked", why="it locks behind everyone"),
        row("tip", "unlocked", "coin", effects=[COINS.becomes(COINS + 1)], why="nobody gives change"),
        row("retire", "locked", "retire", effects=[COINS.becomes(0)], target="retired", why="the box is emptied"),
    ],
)


BOUNDS = ("coins <= 2",)
"""How far `fsm paths`, `fsm check` and `fsm explore` look, when they are not told."""


class Turnstile(Session, chart=TURNSTILE):
    """A gate, its triggers known to IDEs and type checkers."""

    __slots__ = ("_coins",)

    @trigger
    def coin(self) -> None:
        """A coin is put in."""

    @trigger
    def push(self) -> None:
        """Somebody pushes the arm."""

    @trigger
    def retire(self) -> None:
        """The gate is taken out of use."""
