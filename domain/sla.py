"""What was promised: how soon a case gets its first answer, and how soon it is resolved."""

from datetime import timedelta
from typing import NamedTuple

from domain.case import Priority


class Targets(NamedTuple):
    """Around the clock, from the opening of the case; waiting does not count for the resolution."""

    first_response: timedelta
    resolution: timedelta


TARGETS: dict[Priority, Targets] = {
    "urgent": Targets(timedelta(minutes=30), timedelta(hours=4)),
    "high": Targets(timedelta(hours=2), timedelta(hours=24)),
    "normal": Targets(timedelta(hours=8), timedelta(days=3)),
    "low": Targets(timedelta(hours=24), timedelta(days=7)),
}
