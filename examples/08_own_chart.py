"""A machine of one's own: the table is data, and is checked for all counts when it is built.

In the explorer: fsm explore --chart examples.turnstile:TURNSTILE, then #coin,push,coin
"""

from examples.turnstile import COINS, TURNSTILE, Turnstile
from fsm import Chart, DefinitionError, Refused, row

gate = Turnstile()
gate.coin()
print(gate)
gate.push()
try:
    gate.push()
except Refused as refusal:
    print(refusal)

try:
    Chart("wrong", states=["locked", "unlocked", "lost"], events=["coin", "push", "kick"], variables=[COINS], rows=[
        *TURNSTILE.rows[:2],
        row("again", "locked", "coin", guard=COINS > 3),
        row("refund", "unlocked", "push", effects=[COINS.becomes(COINS - 1)]),
    ])
except DefinitionError as error:
    for problem in error.problems:
        print("-", problem)
