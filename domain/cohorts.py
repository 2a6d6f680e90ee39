"""How long customers keep coming back, by the month in which they came first."""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple


class Cohort(NamedTuple):
    """Those who came first in one month; `active[n]` of them bought n months later."""

    month: str
    customers: int
    active: tuple[int, ...]


def cohorts(customers: Iterable[Iterable[date]], until: date) -> list[Cohort]:
    """Count who bought in which month after their first, up to the last full month shown."""
    counted: dict[int, dict[int, int]] = {}
    for days in customers:
        months = {months_of(day) for day in days if day <= until}
        if months:
            active = counted.setdefault(min(months), {})
            for month in months:
                active[month - min(months)] = active.get(month - min(months), 0) + 1
    last = months_of(until)
    return [
        Cohort(
            f"{first // 12:04}-{first % 12 + 1:02}",
            active[0],
            tuple(active.get(later, 0) for later in range(last - first + 1)),
        )
        for first, active in sorted(counted.items())
    ]


def months_of(day: date) -> int:
    """Number the months."""
    return day.year * 12 + day.month - 1
