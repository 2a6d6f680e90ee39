"""The contents page: every event that can be stored, by its name."""

from domain import (
    agreement,
    case,
    churn_alert,
    credit,
    customer,
    interaction,
    lead,
    retention_policy,
    segment,
    value_model,
)
from domain.events import EVENTS

AGGREGATES = (
    customer,
    lead,
    case,
    agreement,
    credit,
    churn_alert,
    segment,
    retention_policy,
    value_model,
)

__all__ = ["AGGREGATES", "EVENTS", "interaction", "names", "others"]


def names(*prefixes: str) -> frozenset[str]:
    """Give the names of all events that start with one of the prefixes."""
    return frozenset(name for name in EVENTS if name.startswith(prefixes))


def others(*prefixes: str) -> frozenset[str]:
    """Give the names of all events that start with none of the prefixes."""
    return frozenset(EVENTS) - names(*prefixes)
