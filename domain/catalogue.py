"""The contents page: every event that can be stored, by its name."""

from domain import agreement, case, credit, customer, interaction, lead
from domain.events import EVENTS

AGGREGATES = (customer, lead, case, agreement, credit)

__all__ = ["AGGREGATES", "EVENTS", "interaction", "names"]


def names(*prefixes: str) -> frozenset[str]:
    """Give the names of all events that start with one of the prefixes."""
    return frozenset(name for name in EVENTS if name.startswith(prefixes))
