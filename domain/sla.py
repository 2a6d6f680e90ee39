"""What holds for a case without an agreement: around the clock, two targets per priority."""

from datetime import timedelta
from typing import NamedTuple

from domain.calendar import ALWAYS
from domain.terms import ClockRule, Terms
from domain.values import Priority


class Targets(NamedTuple):
    """How soon a case gets its first answer, and how soon it is resolved."""

    first_response: timedelta
    resolution: timedelta


TARGETS: dict[Priority, Targets] = {
    "urgent": Targets(timedelta(minutes=30), timedelta(hours=4)),
    "high": Targets(timedelta(hours=2), timedelta(hours=24)),
    "normal": Targets(timedelta(hours=8), timedelta(days=3)),
    "low": Targets(timedelta(hours=24), timedelta(days=7)),
}

DEFAULT = Terms(
    calendar=ALWAYS,
    clocks=tuple(
        ClockRule(clock=clock, targets={p: getattr(t, clock) for p, t in TARGETS.items()})
        for clock in Targets._fields
    ),
)
