"""A ledger of service credits: what one agreement owes one customer for one period."""

from dataclasses import dataclass, field, replace
from typing import assert_never

from domain.events import Event
from domain.rejected import Rejected
from domain.values import Id, Label, Money

# ---- Events: the names and fields are a storage format -------------------------------------------


class CreditEarned(Event, name="credit.earned.v1"):
    """A breach earned the customer a credit; `full` is what it would be without the cap."""

    customer: Id
    agreement: Id
    period: Label
    case: Id
    clock: Label
    instance: int
    amount: Money
    full: Money


class CreditReversed(Event, name="credit.reversed.v1"):
    """The credit was given by mistake, or settled otherwise."""

    case: Id
    clock: Label
    instance: int
    amount: Money
    reason: Label


CreditEvent = CreditEarned | CreditReversed

# ---- State: only what later decisions need -------------------------------------------------------

Breach = tuple[str, str, int]
"""The case, the clock and its instance."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger as the next decision sees it."""

    id: str
    customer: str = ""
    earned: dict[Breach, Money] = field(default_factory=dict)
    reversed: frozenset[Breach] = frozenset()

    @property
    def total(self) -> int:
        """What is owed by now, in minor units."""
        kept = self.earned.keys() - self.reversed
        return sum(self.earned[breach].amount for breach in kept)


def evolve(ledger: Ledger, event: CreditEvent) -> Ledger:
    """What the ledger is after the event."""
    breach = (event.case, event.clock, event.instance)
    match event:
        case CreditEarned():
            earned = {**ledger.earned, breach: event.amount}
            return replace(ledger, customer=event.customer, earned=earned)
        case CreditReversed():
            return replace(ledger, reversed=ledger.reversed | {breach})
    assert_never(event)


# ---- Decisions: asked twice, nothing new happens -------------------------------------------------


def earn(ledger: Ledger, earned: CreditEarned, cap: Money | None) -> list[CreditEvent]:
    """Owe a credit for a breach, once, and no more than the cap leaves."""
    if (earned.case, earned.clock, earned.instance) in ledger.earned:
        return []
    if cap is None:
        return [earned]
    left = max(0, min(earned.full.amount, cap.amount - ledger.total))
    amount = Money(amount=left, currency=earned.full.currency)
    return [earned.model_copy(update={"amount": amount})]


def reverse(ledger: Ledger, breach: Breach, reason: str) -> list[CreditEvent]:
    """Take a credit back."""
    if breach not in ledger.earned:
        raise Rejected("credit.unknown", "No credit was earned by this breach.")
    if breach in ledger.reversed:
        return []
    case, clock, instance = breach
    amount = ledger.earned[breach]
    return [CreditReversed(case=case, clock=clock, instance=instance, amount=amount, reason=reason)]
