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
    rights,
    schedule,
    segment,
    value_model,
)
from domain.events import EVENTS, RETIRED

SERVICE = (agreement, credit)
KEEPING = (churn_alert, segment, retention_policy, value_model)
PRIVACY = (rights, schedule)
AGGREGATES = (customer, lead, case, *SERVICE, *KEEPING, *PRIVACY)

AGREED = ("agreement.", "credit.")
"""How the names of the events begin that only service levels are concerned with."""

RETENTION = (
    "churn_alert.", "segment.", "retention_policy.", "value_model.", "rights.", "schedule."
)  # fmt: skip
"""How the names of the events begin that only keeping customers, or their data, is about."""

__all__ = ["AGGREGATES", "EVENTS", "RETENTION", "interaction", "names"]


def names(*prefixes: str) -> frozenset[str]:
    """Give the names of all events that start with one of the prefixes, but not the retired."""
    return frozenset(name for name in EVENTS if name.startswith(prefixes) and name not in RETIRED)
