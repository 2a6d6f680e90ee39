"""What is known of a customer as of an instant, in numbers that rules and models can work with."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import NamedTuple

from domain.gamma_gamma import Spend
from domain.purchase_history import History


class Features(NamedTuple):
    """None stands for what cannot be told: somebody who never bought has no silence."""

    customer: str
    at: datetime
    kind: str = "person"
    stage: str = "stranger"
    tier: str | None = None
    segment: str | None = None
    history: History | None = None
    spent: Mapping[str, int] = {}
    """What was paid in all, less what was paid back, in minor units by currency."""
    spend: Mapping[str, Spend] = {}
    """Repeat purchases and their mean amount in minor units, by currency."""
    products: Mapping[str, Mapping[date, Mapping[str, int]]] = {}
    """What was paid for each product that has a name, by day and currency."""
    purchases: int = 0
    """Days with a purchase."""
    purchase_silence_days: float | None = None
    purchase_gap_days: float | None = None
    """The customer's own rhythm: the mean time between two purchases."""
    purchase_trend: float | None = None
    """Purchases of the last half year against the half year before: -0.5 is half as many."""
    contacts: int = 0
    contact_silence_days: float | None = None
    contact_gap_days: float | None = None
    contact_trend: float | None = None
    """Contacts of the last four weeks against the four weeks before."""
    complaints: int = 0
    recent_complaints: int = 0
    """Those of the last 90 days."""
    satisfaction: float | None = None
    """The last grade, 0 to 100."""
    satisfaction_trend: float | None = None
    """The last grade against the mean of those before."""
    open_cases: int = 0
    breached_clocks: int = 0
    """Promises that we broke: clocks of the customer's cases that ran out."""
    escalations: int = 0
    downgrades: int = 0
    cancellations: int = 0
    referrals: int = 0
    withdrawn: frozenset[str] = frozenset()
    """The purposes for which a consent was taken back and not given again."""


def number(features: Features, name: str) -> float | None:
    """Give a feature by its name, as far as it is a number.

    `frequency`, `recency` and `age` are those of the history, `spent.EUR` is of one currency.
    """
    if name in History._fields:
        return None if features.history is None else float(getattr(features.history, name))
    if name.startswith("spent."):
        return float(features.spent.get(name.removeprefix("spent."), 0))
    if name in NUMBERS:
        value = getattr(features, name)
        return None if value is None else float(value)
    raise KeyError(name)


NUMBERS = frozenset(
    {
        "purchases",
        "purchase_silence_days",
        "purchase_gap_days",
        "purchase_trend",
        "contacts",
        "contact_silence_days",
        "contact_gap_days",
        "contact_trend",
        "complaints",
        "recent_complaints",
        "satisfaction",
        "satisfaction_trend",
        "open_cases",
        "breached_clocks",
        "escalations",
        "downgrades",
        "cancellations",
        "referrals",
    }
)
"""The features that are plain numbers, by the names that rules use."""
