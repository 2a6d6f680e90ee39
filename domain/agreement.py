"""A service level agreement: what was promised to whom, in versions that apply from their own date.

Agreements are about the organisation itself, which is the customer that each tenant is to itself.
A new version never reaches back: a case keeps the version that it was matched with.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Literal, NamedTuple, assert_never

from pydantic import Field, StringConstraints, model_validator

from domain.events import Event
from domain.rejected import Rejected
from domain.terms import Model, Terms
from domain.values import Instant, Label, Money, Percent, Priority

Sentence = Annotated[
    str, StringConstraints(max_length=2000, pattern=r"^[^\x00-\x08\x0e-\x1f\x7f]*$")
]
"""Text of the organisation about itself: declared not personal."""

Period = Literal["month", "quarter", "year"]
Occasion = Literal["warned", "breached", "forgotten", "critical"]

# ---- What is agreed ------------------------------------------------------------------------------


class Party(Model):
    """Who takes part: the provider, the customer, a supplier."""

    name: Label
    role: Label


class Scope(Model):
    """Which cases it is for: every condition that is given must hold, one of its values each."""

    tiers: tuple[Label, ...] = ()
    priorities: tuple[Priority, ...] = ()
    categories: tuple[Label, ...] = ()
    channels: tuple[Label, ...] = ()
    territories: tuple[Label, ...] = ()
    everything: bool = False
    """A scope without conditions has to say that this is meant."""

    @model_validator(mode="after")
    def _says_what_it_means(self) -> "Scope":
        if self.everything == bool(self.conditions()):
            raise Rejected(
                "agreement.scope",
                "An agreement either names its conditions or says `everything: true`.",
            )
        return self

    def conditions(self) -> dict[str, tuple[str, ...]]:
        """Give the conditions by the trait of a case that each looks at."""
        given: dict[str, tuple[str, ...]] = {
            "tier": self.tiers,
            "priority": self.priorities,
            "category": self.categories,
            "channel": self.channels,
            "territory": self.territories,
        }
        return {trait: values for trait, values in given.items() if values}


class Escalation(Model):
    """What follows from a warning, a breach, a forgotten pause or a critical failure."""

    on: Occasion
    clock: Label | None = None
    """Only for this clock; without one for each."""
    level: Annotated[int, Field(ge=1, le=9)] | None = None
    agent: Label | None = None
    team: Label | None = None
    """Without an agent the case waits in the team for somebody to take it."""
    priority: Priority | None = None
    notify: tuple[Label, ...] = ()


class Credit(Model):
    """What a breach earns the customer: an amount, or a share of the fee."""

    amount: Money | None = None
    percent: Percent | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> "Credit":
        if (self.amount is None) == (self.percent is None):
            raise Rejected("agreement.credit", "A credit is either an `amount` or a `percent`.")
        return self


class Compensation(Model):
    """What breaches cost us: a credit per clock, up to a cap for each customer and period."""

    period: Period = "month"
    fee: Money | None = None
    """What the customer pays per period."""
    cap: Money | None = None
    credits: dict[Label, Credit]

    @model_validator(mode="after")
    def _can_be_reckoned(self) -> "Compensation":
        if self.fee is None and any(credit.percent is not None for credit in self.credits.values()):
            raise Rejected("agreement.credit", "A share needs the fee that it is a share of.")
        amounts = [credit.amount for credit in self.credits.values()]
        currencies = {money.currency for money in (self.fee, self.cap, *amounts) if money}
        if len(currencies) > 1:
            raise Rejected("agreement.currency", "An agreement is in one currency.")
        return self

    def owed(self, clock: str) -> Money | None:
        """Give what a breach of a clock earns, before the cap."""
        credit = self.credits.get(clock)
        if credit is None or credit.amount is not None or self.fee is None:
            return credit.amount if credit else None
        share = self.fee.amount * (credit.percent or 0) // 100
        return Money(amount=share, currency=self.fee.currency)


class Promise(Model):
    """Everything that one version of an agreement says."""

    title: Label
    objective: Sentence = ""
    services: tuple[Label, ...] = ()
    parties: tuple[Party, ...] = ()
    rank: Annotated[int, Field(ge=0, le=10_000)] = 100
    """Agreements are tried in this order; the first whose scope fits a case has it."""
    scope: Scope
    terms: Terms
    escalations: tuple[Escalation, ...] = ()
    compensation: Compensation | None = None
    review_every_days: Annotated[int, Field(ge=1, le=3660)] = 90


# ---- Events: the names and fields are a storage format -------------------------------------------


class AgreementDefined(Event, name="agreement.defined.v1"):
    """An agreement was made."""

    promise: Promise
    applies_from: Instant


class AgreementRevised(Event, name="agreement.revised.v1"):
    """The agreement says something else from a date on."""

    promise: Promise
    applies_from: Instant
    reason: Label


class AgreementRetired(Event, name="agreement.retired.v1"):
    """The agreement is not for new cases any more, from a date on."""

    applies_from: Instant
    reason: Label


class AgreementReviewed(Event, name="agreement.reviewed.v1"):
    """The parties have looked at what was promised and what was kept."""

    outcome: Label


AgreementEvent = AgreementDefined | AgreementRevised | AgreementRetired | AgreementReviewed

# ---- State: only what later decisions need -------------------------------------------------------


class Version(NamedTuple):
    """What an agreement says from a date on."""

    number: int
    applies_from: datetime
    promise: Promise


@dataclass(frozen=True, slots=True)
class Agreement:
    """An agreement as the next decision sees it."""

    id: str
    versions: tuple[Version, ...] = ()
    retired_from: datetime | None = None

    def at(self, instant: datetime) -> Version | None:
        """Give the version for a case of this instant: of those that apply, the newest."""
        if self.retired_from is not None and instant >= self.retired_from:
            return None
        applying = [version for version in self.versions if version.applies_from <= instant]
        return max(applying, key=lambda version: version.number, default=None)


def evolve(agreement: Agreement, event: AgreementEvent) -> Agreement:
    """What the agreement is after the event."""
    match event:
        case AgreementDefined() | AgreementRevised():
            number = len(agreement.versions) + 1
            version = Version(number, event.applies_from, event.promise)
            return replace(agreement, versions=(*agreement.versions, version))
        case AgreementRetired():
            return replace(agreement, retired_from=event.applies_from)
        case AgreementReviewed():
            return agreement
    assert_never(event)


# ---- Decisions: asked twice, nothing new happens -------------------------------------------------


def must_be_in_force(agreement: Agreement) -> None:
    """Refuse to work on an agreement that nobody made, or that is retired."""
    if not agreement.versions:
        raise Rejected("agreement.unknown", "There is no such agreement.")
    if agreement.retired_from is not None:
        raise Rejected("agreement.retired", "This agreement is retired; make a new one.")


def must_leave_one_default(
    agreement: Agreement, promise: Promise, all_: Iterable[Agreement]
) -> None:
    """Refuse a second agreement for everything: which of them holds would be chance."""
    if not promise.scope.everything:
        return
    for other in all_:
        if other.id == agreement.id or other.retired_from is not None or not other.versions:
            continue
        if other.versions[-1].promise.scope.everything:
            title = other.versions[-1].promise.title
            raise Rejected("agreement.two_defaults", f"{title!r} is for everything already.")


def define(
    agreement: Agreement, defined: AgreementDefined, all_: Iterable[Agreement]
) -> list[AgreementEvent]:
    """Make an agreement."""
    if agreement.versions:
        first = agreement.versions[0]
        if (first.promise, first.applies_from) == (defined.promise, defined.applies_from):
            return []
        raise Rejected("agreement.known", "This agreement exists already; revise it.")
    must_leave_one_default(agreement, defined.promise, all_)
    return [defined]


def revise(
    agreement: Agreement, revised: AgreementRevised, all_: Iterable[Agreement]
) -> list[AgreementEvent]:
    """Say something else from a date on, which must not lie before that of an older version."""
    must_be_in_force(agreement)
    newest = agreement.versions[-1]
    if (newest.promise, newest.applies_from) == (revised.promise, revised.applies_from):
        return []
    if revised.applies_from < newest.applies_from:
        raise Rejected(
            "agreement.too_early",
            f"Version {newest.number} applies from {newest.applies_from.isoformat()};"
            " the next one cannot apply before.",
        )
    must_leave_one_default(agreement, revised.promise, all_)
    return [revised]


def retire(agreement: Agreement, retired: AgreementRetired) -> list[AgreementEvent]:
    """Stop matching new cases; those that have the agreement keep it."""
    if agreement.retired_from is not None:
        return []
    must_be_in_force(agreement)
    return [retired]


def review(agreement: Agreement, outcome: str) -> list[AgreementEvent]:
    """Note that the agreement was reviewed."""
    must_be_in_force(agreement)
    return [AgreementReviewed(outcome=outcome)]


# ---- Matching ------------------------------------------------------------------------------------


class Matched(NamedTuple):
    """The agreement that a case is under, and why."""

    agreement: str
    version: Version
    reason: str


def match_case(
    agreements: Iterable[Agreement], traits: Mapping[str, str | None], at: datetime
) -> Matched | None:
    """Find the first agreement, by rank and title, whose scope fits a case of this instant."""
    applying = [
        (version.promise.rank, version.promise.title, agreement.id, version)
        for agreement in agreements
        if (version := agreement.at(at)) is not None
    ]
    for _, _, agreement_id, version in sorted(applying, key=lambda found: found[:3]):
        conditions = version.promise.scope.conditions()
        if all(traits.get(trait) in values for trait, values in conditions.items()):
            told = ", ".join(f"{trait} is {traits[trait]}" for trait in conditions)
            return Matched(agreement_id, version, told or "it is for everything")
    return None
