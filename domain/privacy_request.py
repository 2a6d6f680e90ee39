"""What a person asks about its data is a case with a clock that the law sets, not we.

GDPR 12(3): one month from receipt, by the calendar, and two more where that is necessary. CCPA: 45
days, and 45 more. No pause and no closing stops the clock; only carrying the request out does.
"""

from datetime import datetime, timedelta
from typing import Literal, get_args

from domain.calendar import ALWAYS
from domain.case import Case
from domain.rejected import Rejected
from domain.span import months_later
from domain.terms import ClockRule, Terms, Triggers, WarnAt
from domain.values import Priority

Kind = Literal["access", "portability", "rectification", "restriction", "objection", "erasure"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Law = Literal["gdpr", "ccpa"]

CLOCK = "legal"
WARN_PERCENT = 75
MONTHS, MONTHS_EXTENDED = 1, 3
CCPA_DAYS, CCPA_DAYS_EXTENDED = 45, 90

SAYS: dict[Law, str] = {
    "gdpr": "GDPR 12(3): one month from receipt",
    "ccpa": "CCPA: 45 days from receipt",
}


def category(kind: Kind) -> str:
    """Name the category of the cases of a kind of request."""
    return f"privacy request: {kind}"


CATEGORIES = {category(kind): kind for kind in KINDS}


def due(law: Law, received: datetime, *, extended: bool = False) -> datetime:
    """Tell by when a request must be carried out."""
    if law == "gdpr":
        return months_later(received, MONTHS_EXTENDED if extended else MONTHS)
    return received + timedelta(days=CCPA_DAYS_EXTENDED if extended else CCPA_DAYS)


def terms(law: Law, received: datetime, *, extended: bool = False) -> Terms:
    """Give what the clock of a request goes by: the same for every priority, around the clock."""
    target = due(law, received, extended=extended) - received
    priorities: tuple[Priority, ...] = get_args(Priority)
    clock = ClockRule(
        clock=CLOCK,
        targets=dict.fromkeys(priorities, target),
        warnings=(WarnAt(percent=WARN_PERCENT),),
        triggers=Triggers(start=("opened",), stop=("resolved",), cancel=(), revive_fulfilled=True),
    )
    return Terms(calendar=ALWAYS, clocks=(clock,))


def must_be_request(case: Case) -> None:
    """Refuse what only makes sense for a request that is not carried out yet."""
    if case.category not in CATEGORIES:
        raise Rejected("privacy_request.unknown", "There is no such request of a customer.")
    if case.status == "resolved":
        raise Rejected("privacy_request.done", "This request has been carried out.")
