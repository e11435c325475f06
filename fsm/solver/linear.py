"""Systems of linear equations and inequalities over the whole numbers: is there a solution, and which?

Theory.  This is the Omega test (William Pugh, "The Omega test: a fast and practical integer programming algorithm for
dependence analysis", Supercomputing '91); it is exact.  A system is reduced variable by variable:

1. *Tightening.*  An inequality is divided by the greatest common divisor of its factors, and its constant rounded down;
   an equation whose constant cannot be divided has no solution.
2. *Equations* are solved for a variable with the factor 1 or -1.  If there is none, Euclid's algorithm makes one: with
   x the variable of the smallest factor a, and a_i = q_i a + r_i, a variable t = x + sum q_i x_i takes the place of x.
3. *Inequalities.*  A variable without an upper (or lower) limit takes its inequalities with it.  Otherwise each pair of
   a lower limit a x >= l and an upper one b x <= u is replaced by b l <= a u, as Fourier and Motzkin do.  That is exact
   if a or b is 1.  If not, the system has no solution if this *real shadow* has none; it has one if the *dark shadow*,
   a u - b l >= (a - 1)(b - 1), has one; and otherwise any solution has a x = l + i for a lower limit and one of a few
   small i, which are tried (*splinters*).

The work can grow fast with the number of inequalities that share variables, and is limited: beyond it, NotKnown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import gcd
from typing import Final, TypeAlias

__all__ = ["Form", "NotKnown", "Work", "solution"]

Form: TypeAlias = Mapping[int, int]
"""The factors of a sum, by the number of the variable.  A variable is any whole number, also below 0."""
_Terms: TypeAlias = tuple[tuple[int, int], ...]
_Limits: TypeAlias = list[tuple[dict[int, int], int]]

LIMIT: Final = 500_000
"""How much work is done for one question before it is given up: about a second of it."""


class NotKnown(Exception):
    """A question would take too much work to be decided."""


class Work:
    """How much may still be done, and the variables that have been added."""

    def __init__(self, variables: int, left: int = LIMIT) -> None:
        self.left, self.next = left, variables

    def spend(self, much: int) -> None:
        """Count some work.  NotKnown if there is none left."""
        self.left -= much
        if self.left < 0:
            raise NotKnown

    def variable(self) -> int:
        """Return the number of a new variable."""
        self.next += 1
        return self.next - 1


class _Contradiction(Exception):
    """The system has no solution, as can be seen from one or two of its parts."""


class _System:
    """Equations (sum + constant = 0) and inequalities (sum + constant >= 0), tightened, each sum once."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.equal: dict[_Terms, int] = {}
        self.least: dict[_Terms, int] = {}

    def add(self, form: Form, constant: int, *, equation: bool) -> None:
        """Add an equation or inequality.  _Contradiction if nothing can meet it."""
        terms = tuple(sorted((variable, factor) for variable, factor in form.items() if factor))
        if not terms:
            if constant < 0 or (equation and constant):
                raise _Contradiction
            return
        self.work.spend(4 * len(terms))
        divisor = gcd(*(factor for _, factor in terms))
        if equation and constant % divisor:
            raise _Contradiction
        terms, constant = tuple((v, f // divisor) for v, f in terms), constant // divisor
        if equation:
            if terms[0][1] < 0:
                terms, constant = _opposite(terms), -constant
            if self.equal.setdefault(terms, constant) != constant:
                raise _Contradiction
        elif constant < self.least.get(terms, constant + 1):
            self.least[terms] = constant
            room = constant + self.least.get(_opposite(terms), 1 - constant)
            if room < 0:
                raise _Contradiction
            if room == 0:
                del self.least[terms], self.least[_opposite(terms)]
                self.add(dict(terms), constant, equation=True)

    def parts(self) -> Iterator[tuple[_Terms, int, bool]]:
        """Every part, and whether it is an equation."""
        yield from ((terms, constant, True) for terms, constant in self.equal.items())
        yield from ((terms, constant, False) for terms, constant in self.least.items())

    def replaced(self, variable: int, form: Form, constant: int) -> _System:
        """The system with a sum in the place of a variable."""
        new = _System(self.work)
        for terms, rest, equation in self.parts():
            factors = dict(terms)
            times = factors.pop(variable, 0)
            if times:
                for one, factor in form.items():
                    factors[one] = factors.get(one, 0) + times * factor
            new.add(factors, rest + times * constant, equation=equation)
        return new

    def limits(self, variable: int) -> tuple[_Limits, _Limits]:
        """The inequalities with a variable, by the sign of its factor: those that limit it from below, and above."""
        below: _Limits = []
        above: _Limits = []
        for terms, constant in self.least.items():
            factors = dict(terms)
            if variable in factors:
                (below if factors[variable] > 0 else above).append((factors, constant))
        return below, above

    def without(self, variable: int) -> _System:
        """The system without the inequalities that a variable is in."""
        new = _System(self.work)
        new.least = {terms: k for terms, k in self.least.items() if all(v != variable for v, _ in terms)}
        return new

    def pruned(self) -> None:
        """Drop what follows from the limits of single variables.  _Contradiction if an inequality is beyond them."""
        low = {t[0][0]: -k for t, k in self.least.items() if len(t) == 1 and t[0][1] > 0}
        high = {t[0][0]: k for t, k in self.least.items() if len(t) == 1 and t[0][1] < 0}
        for terms, constant in list(self.least.items()):
            least = _edge(terms, low, high)
            most = _edge(terms, high, low)
            if most is not None and constant + most < 0:
                raise _Contradiction
            if len(terms) > 1 and least is not None and constant + least >= 0:
                del self.least[terms]


def _edge(terms: _Terms, low: Mapping[int, int], high: Mapping[int, int]) -> int | None:
    """The least value of a sum between these limits of its variables; None if it has none."""
    total = 0
    for variable, factor in terms:
        edge = (low if factor > 0 else high).get(variable)
        if edge is None:
            return None
        total += factor * edge
    return total


def _opposite(terms: _Terms) -> _Terms:
    return tuple((variable, -factor) for variable, factor in terms)


def solution(
    equations: Iterable[tuple[Form, int]], inequalities: Iterable[tuple[Form, int]], work: Work
) -> dict[int, int] | None:
    """Return values for which each sum + constant is 0 (equations) or not negative (inequalities); None if none are.

    Variables that are missing in the answer may have any value.  NotKnown if it would take too much work.
    """
    system = _System(work)
    try:
        for form, constant in equations:
            system.add(form, constant, equation=True)
        for form, constant in inequalities:
            system.add(form, constant, equation=False)
        return _solved(system)
    except _Contradiction:
        return None


def _solved(system: _System) -> dict[int, int] | None:
    try:
        if system.equal:
            return _with_equation(system)
        system.pruned()
        if system.equal:
            return _with_equation(system)
        return _with_inequalities(system)
    except _Contradiction:
        return None


def _with_equation(system: _System) -> dict[int, int] | None:
    """Solve an equation for one of its variables, and go on with the rest."""
    terms = min(system.equal, key=lambda terms: (min(abs(f) for _, f in terms), len(terms)))
    constant = system.equal[terms]
    variable, factor = min(terms, key=lambda term: abs(term[1]))
    form: dict[int, int]
    if abs(factor) == 1:
        form, constant = {v: -f * factor for v, f in terms if v != variable}, -constant * factor
    else:
        form, constant = {v: -(f // factor) for v, f in terms if v != variable}, 0
        form[system.work.variable()] = 1
    found = _solved(system.replaced(variable, form, constant))
    if found is not None:
        found[variable] = constant + sum(f * found.setdefault(v, 0) for v, f in form.items())
    return found


def _with_inequalities(system: _System) -> dict[int, int] | None:
    """Take out the variable that costs least, and go on with the rest."""
    choice = _choice(system)
    if choice is None:
        return {}
    variable, exact = choice
    below, above = system.limits(variable)
    found = _solved(_shadow(system, variable, below, above, dark=False))
    if found is None or exact:
        return None if found is None else _placed(found, variable, below, above)
    try:
        found = _solved(_shadow(system, variable, below, above, dark=True))
    except _Contradiction:
        found = None  # the dark shadow is less than the system
    if found is not None:
        return _placed(found, variable, below, above)
    most = max(-factors[variable] for factors, _ in above)
    for factors, constant in below:
        least = factors[variable]
        for more in range((least * most - least - most) // most + 1):
            splinter = system.replaced(variable, {variable: 1}, 0)
            try:
                splinter.add(factors, constant - more, equation=True)
            except _Contradiction:
                continue
            if (found := _solved(splinter)) is not None:
                return found
    return None


def _choice(system: _System) -> tuple[int, bool] | None:
    """The variable to take out, and whether that is exact; None if there is none left."""
    counts: dict[int, list[int]] = {}
    for terms in system.least:
        for variable, factor in terms:
            seen = counts.setdefault(variable, [0, 0, 1, 1])
            seen[factor < 0] += 1
            seen[2 + (factor < 0)] = max(seen[2 + (factor < 0)], abs(factor))
    best: tuple[tuple[bool, int, int], int, bool] | None = None
    for variable, (below, above, greatest, most) in counts.items():
        exact = not below or not above or greatest == 1 or most == 1
        cost = (not exact, below * above - below - above, -variable)  # the first variables get their least values
        if best is None or cost < best[0]:
            best = cost, variable, exact
    return None if best is None else best[1:]


def _shadow(system: _System, variable: int, below: _Limits, above: _Limits, *, dark: bool) -> _System:
    new = system.without(variable)
    for low, least in below:
        a = low[variable]
        for high, most in above:
            b = -high[variable]
            factors = {v: b * f for v, f in low.items() if v != variable}
            for v, f in high.items():
                if v != variable:
                    factors[v] = factors.get(v, 0) + a * f
            new.add(factors, b * least + a * most - (dark and (a - 1) * (b - 1)), equation=False)
    return new


def _placed(found: dict[int, int], variable: int, below: _Limits, above: _Limits) -> dict[int, int]:
    """Add the variable with its least value, or the greatest up to 0 if it has no lower limit."""

    def rest(factors: dict[int, int], constant: int) -> int:
        return constant + sum(f * found.setdefault(v, 0) for v, f in factors.items() if v != variable)

    if below:
        found[variable] = max(-(rest(factors, k) // factors[variable]) for factors, k in below)
    else:
        found[variable] = min(0, *(rest(factors, k) // -factors[variable] for factors, k in above))
    return found
