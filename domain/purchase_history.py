"""What a purchase model needs to know of a customer: three numbers, and nothing personal."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

DAYS_A_WEEK = 7.0


class History(NamedTuple):
    """How often a customer bought again, when for the last time, and how long ago it all began.

    Time is in weeks since the first purchase; purchases of one day count once.
    """

    frequency: int
    recency: float
    age: float


class Alike(NamedTuple):
    """Customers of one frequency who cannot be told apart."""

    recency: float
    age: float
    customers: int


Grouped = Mapping[int, Sequence[Alike]]
"""All customers by their frequency; in a fixed order, because sums of floats depend on it."""


def history(days: Iterable[date], until: date) -> History | None:
    """Sum up the days of a customer's purchases up to and including a day."""
    known = sorted({day for day in days if day <= until})
    if not known:
        return None
    first, last = known[0], known[-1]
    return History(
        len(known) - 1, (last - first).days / DAYS_A_WEEK, (until - first).days / DAYS_A_WEEK
    )


def grouped(histories: Iterable[History]) -> Grouped:
    """Count customers with the same history once, whatever the order they come in."""
    return regrouped(Counter(histories).items())


def regrouped(counted: Iterable[tuple[History, int]]) -> Grouped:
    """Put counted histories in their fixed order."""
    groups: dict[int, list[Alike]] = {}
    for (frequency, recency, age), customers in sorted(counted):
        groups.setdefault(frequency, []).append(Alike(recency, age, customers))
    return groups


def thinned(groups: Grouped, every: int) -> Grouped:
    """Take one row of `every` so many, evenly over all frequencies."""
    rows = [(x, alike) for x, rows in groups.items() for alike in rows]
    kept: dict[int, list[Alike]] = {}
    for x, alike in rows[::every]:
        kept.setdefault(x, []).append(alike)
    return kept


def customers_in(groups: Grouped) -> int:
    """Count the customers."""
    return sum(alike.customers for rows in groups.values() for alike in rows)
