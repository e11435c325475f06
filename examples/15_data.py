"""Events bring data: checked where they are fired, in guards and effects as numbers, and proved for every amount.

In the explorer: fsm explore --chart examples/charts/account.py, then #freeze,thaw
"""

from examples.charts.account import ACCOUNT
from fsm import Chart, Counter, DataError, DefinitionError, Event, Number, Refused, Session, Step, row

Account = Session.of(ACCOUNT, "Account")
account = Account()


class Statement:
    """Listens, and prints what happened."""

    def on_transition(self, step: Step) -> None:
        print(f"  {step.event} {dict(step.data)}")


account.listen(Statement())
account.fire("deposit", amount=500, reason="wages")
account.fire("withdraw", amount=120)
print(account)
for data in ({"amount": 900}, {}, {"amount": -1, "tip": 2}):
    try:
        account.fire("withdraw", **data)
    except (Refused, DataError) as error:
        print(error)
print(account.may("withdraw", amount=380), account.may("withdraw"))  # without data: whether some would be accepted

STOCK, TAKEN = Counter("stock"), Number("taken")
try:
    Chart("shelf", states=["shelf"], events=[Event("take", data=(TAKEN,))], variables=[STOCK], rows=[
        row("take", "shelf", "take", effects=[STOCK.becomes(STOCK - TAKEN)]),
    ])
except DefinitionError as error:
    print(*error.problems, sep="\n")
