"""The contents page: every event that can be stored, by its name."""

from domain import (
    case,
    churn_alert,
    customer,
    interaction,
    lead,
    retention_policy,
    segment,
    value_model,
)
from domain.events import EVENTS

AGGREGATES = (customer, lead, case, churn_alert, segment, retention_policy, value_model)

RETENTION = ("churn_alert.", "segment.", "retention_policy.", "value_model.")
"""How the names of the events begin that only keeping customers is concerned with."""

__all__ = ["AGGREGATES", "EVENTS", "RETENTION", "interaction", "names"]


def names(*prefixes: str) -> frozenset[str]:
    """Give the names of all events that start with one of the prefixes."""
    return frozenset(name for name in EVENTS if name.startswith(prefixes))
