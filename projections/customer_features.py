"""How does this customer behave: rhythm, worth, trend, complaints, signs of leaving?

One row per customer, holding only that customer's own facts, by day and week, so that events may
come late. `projections/features.py` sums rows up.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from domain.case import (
    CaseClosed,
    CaseEscalated,
    CaseOpened,
    CaseReopened,
    CaseResolved,
    CustomerWrote,
)
from domain.catalogue import AGREED, EVENTS, RETENTION, names
from domain.customer import (
    SCORES,
    STAGES,
    ConsentGranted,
    ConsentWithdrawn,
    CustomerLinked,
    CustomerMerged,
    CustomerRegistered,
    CustomerUnlinked,
    CustomerUnmerged,
    ProfileChanged,
    PurchaseRecorded,
    SatisfactionRated,
    StageChanged,
    TierAssigned,
)
from domain.erasure import CustomerErased
from domain.events import Recorded
from domain.interaction import InteractionRecorded
from domain.segment import SegmentAssigned
from projections.projection import Column, Projection, Row, by_customer
from projections.shown import shown

COMPLAINT, DOWNGRADE, CANCELLATION = "complaint", "downgrade", "cancellation"
"""The kinds of interactions, and the category of cases, that are read as signs."""

BREACH = "case.mark_reached.v1"
"""What tells that a clock of a case went beyond a mark, one of which is its end."""

Paid = Mapping[str, int]
"""Amounts in minor units by day and currency: `2026-03-01 EUR`. Flat, because that is quick."""

RATINGS_KEPT = 12

HANDLED = {
    CaseOpened.name, CaseResolved.name, CaseClosed.name, CaseReopened.name, CaseEscalated.name,
    CustomerWrote.name, BREACH, CustomerRegistered.name, StageChanged.name, TierAssigned.name,
    ProfileChanged.name, SegmentAssigned.name,
    ConsentGranted.name, ConsentWithdrawn.name, CustomerMerged.name, CustomerUnmerged.name,
    PurchaseRecorded.name, SatisfactionRated.name, CustomerLinked.name, CustomerUnlinked.name,
    CustomerErased.name,
}  # fmt: skip

LATER = {
    CaseResolved.name, CaseClosed.name, CaseReopened.name, CaseEscalated.name, CustomerWrote.name,
    BREACH,
}  # fmt: skip
"""What may still happen to the cases of a customer who was forgotten."""

customer_features = Projection(
    name="customer_features",
    version=2,
    question="How does this customer behave: rhythm, worth, trend, complaints, signs of leaving?",
    key=by_customer,
    columns={
        "kind": Column("text", "person"),
        "stage": Column("text", "stranger"),
        "tier": Column("text"),
        "segment": Column("text"),
        "merged_into": Column("uuid"),
        "paid": Column("jsonb", {}),
        "products": Column("jsonb", {}),
        "refunds": Column("jsonb", {}),
        "contact_weeks": Column("jsonb", {}),
        "first_contact_at": Column("timestamptz"),
        "last_contact_at": Column("timestamptz"),
        "complaint_days": Column("jsonb", {}),
        "ratings": Column("jsonb", []),
        "open_cases": Column("jsonb", []),
        "breached_clocks": Column("bigint", 0),
        "escalations": Column("bigint", 0),
        "downgrades": Column("bigint", 0),
        "cancellations": Column("bigint", 0),
        "referrals": Column("jsonb", []),
        "withdrawn": Column("jsonb", {}),
    },
    indexes=("tenant, merged_into",),
    begins_none=frozenset(LATER),
    profiles=True,
    ignores=names("customer.", "lead.", "case.", *RETENTION, *AGREED) - HANDLED,
)


@customer_features.on(CustomerRegistered)
def registered(row: Row, event: CustomerRegistered, _: Recorded[Any]) -> Row:
    return row | {"kind": event.kind, "stage": event.stage}


@customer_features.on(ProfileChanged)
def profile_changed(row: Row, event: ProfileChanged, _: Recorded[Any]) -> Row:
    return row | {"kind": event.kind or row["kind"]}


@customer_features.on(StageChanged)
def stage_changed(row: Row, event: StageChanged, _: Recorded[Any]) -> Row:
    fell = STAGES.index(event.stage) < STAGES.index(row["stage"])
    return row | {"stage": event.stage, "downgrades": row["downgrades"] + fell}


@customer_features.on(TierAssigned)
def tier_assigned(row: Row, event: TierAssigned, _: Recorded[Any]) -> Row:
    return row | {"tier": event.tier}


@customer_features.on(CustomerErased)
def erased(_row: Row, _event: CustomerErased, _: Recorded[Any]) -> None:
    """Nobody is scored any more after having been forgotten."""


@customer_features.on(SegmentAssigned)
def segment_assigned(row: Row, event: SegmentAssigned, _: Recorded[Any]) -> Row:
    return row | {"segment": event.segment}


@customer_features.on(CustomerMerged)
def merged(row: Row, event: CustomerMerged, _: Recorded[Any]) -> Row:
    return row | {"merged_into": event.into}


@customer_features.on(CustomerUnmerged)
def unmerged(row: Row, _event: CustomerUnmerged, _: Recorded[Any]) -> Row:
    return row | {"merged_into": None}


@customer_features.on(PurchaseRecorded)
def purchase_recorded(row: Row, event: PurchaseRecorded, recorded: Recorded[Any]) -> Row:
    """Count a purchase at its day; one with a negative amount is money given back."""
    currency, amount = event.amount.currency, event.amount.amount
    if amount < 0:
        return row | {"refunds": plus(row["refunds"], currency, -amount)}
    paid, then = row["paid"], f"{recorded.time.date().isoformat()} {currency}"
    paid = {**paid, then: paid.get(then, 0) + amount}
    if event.product is None:
        return row | {"paid": paid}
    of_it = plus(row["products"].get(event.product, {}), then, amount)
    return row | {"paid": paid, "products": {**row["products"], event.product: of_it}}


@customer_features.on(InteractionRecorded)
def interaction_recorded(row: Row, event: InteractionRecorded, recorded: Recorded[Any]) -> Row:
    """Only what comes from the customer counts."""
    if event.direction != "inbound":
        return row
    changed = contact(row, recorded)
    if event.kind == COMPLAINT:
        changed |= complaint(row, recorded)
    return changed | {
        "downgrades": row["downgrades"] + (event.kind == DOWNGRADE),
        "cancellations": row["cancellations"] + (event.kind == CANCELLATION),
    }


@customer_features.on(CaseOpened)
def case_opened(row: Row, event: CaseOpened, recorded: Recorded[Any]) -> Row:
    changed = contact(row, recorded) | {"open_cases": [*row["open_cases"], recorded.stream]}
    return changed | complaint(row, recorded) if event.category == COMPLAINT else changed


@customer_features.on(CaseReopened)
def case_reopened(row: Row, _event: CaseReopened, recorded: Recorded[Any]) -> Row:
    others = [case for case in row["open_cases"] if case != recorded.stream]
    return row | {"open_cases": [*others, recorded.stream]}


@customer_features.on(CaseResolved, CaseClosed)
def case_ended(row: Row, _event: object, recorded: Recorded[Any]) -> Row:
    return row | {"open_cases": [case for case in row["open_cases"] if case != recorded.stream]}


@customer_features.on(CaseEscalated)
def case_escalated(row: Row, _event: CaseEscalated, _: Recorded[Any]) -> Row:
    return row | {"escalations": row["escalations"] + 1}


def mark_reached(row: Row, event: Any, _: Recorded[Any]) -> Row:  # noqa: ANN401
    return row | {"breached_clocks": row["breached_clocks"] + (event.mark == "breached")}


if BREACH in EVENTS:  # clocks that reach marks are the affair of service levels
    customer_features.handlers[BREACH] = mark_reached


@customer_features.on(CustomerWrote)
def customer_wrote(row: Row, _event: CustomerWrote, recorded: Recorded[Any]) -> Row:
    return contact(row, recorded)


@customer_features.on(SatisfactionRated)
def satisfaction_rated(row: Row, event: SatisfactionRated, recorded: Recorded[Any]) -> Row:
    """Keep the newest grades on one scale of 0 to 100, in the order in which they were given."""
    scores = SCORES[event.scale]
    grade = 100.0 * (event.score - scores.start) / (len(scores) - 1)
    ratings = sorted([*row["ratings"], [recorded.time.isoformat(), grade]])
    return row | {"ratings": ratings[-RATINGS_KEPT:]}


@customer_features.on(CustomerLinked)
def linked(row: Row, event: CustomerLinked, _: Recorded[Any]) -> Row:
    if event.relation != "refers":
        return row
    return row | {"referrals": sorted({*row["referrals"], event.other})}


@customer_features.on(CustomerUnlinked)
def unlinked(row: Row, event: CustomerUnlinked, _: Recorded[Any]) -> Row:
    if event.relation != "refers":
        return row
    return row | {"referrals": [other for other in row["referrals"] if other != event.other]}


@customer_features.on(ConsentWithdrawn)
def consent_withdrawn(row: Row, event: ConsentWithdrawn, recorded: Recorded[Any]) -> Row:
    consent = f"{event.purpose}/{event.channel}"
    return row | {"withdrawn": {**row["withdrawn"], consent: recorded.time.isoformat()}}


@customer_features.on(ConsentGranted)
def consent_granted(row: Row, event: ConsentGranted, _: Recorded[Any]) -> Row:
    given = f"{event.purpose}/{event.channel}"
    return row | {"withdrawn": {c: at for c, at in row["withdrawn"].items() if c != given}}


def contact(row: Row, recorded: Recorded[Any]) -> Row:
    """Count a sign of life in its week; it may come late."""
    at, first, last = recorded.time, row["first_contact_at"], row["last_contact_at"]
    monday = (at.date() - timedelta(days=at.weekday())).isoformat()
    return row | {
        "contact_weeks": plus(row["contact_weeks"], monday, 1),
        "first_contact_at": at if first is None else min(first, at),
        "last_contact_at": at if last is None else max(last, at),
    }


def complaint(row: Row, recorded: Recorded[Any]) -> Row:
    """Count a complaint at its day."""
    return {"complaint_days": plus(row["complaint_days"], recorded.time.date().isoformat(), 1)}


def plus(counts: Mapping[str, int], name: str, more: int) -> dict[str, int]:
    """Add to one of several counts."""
    return {**counts, name: counts.get(name, 0) + more}


# ---- Reading -------------------------------------------------------------------------------------

ROWS = "SELECT * FROM read.customer_features WHERE tenant = %(tenant)s ORDER BY key"

HISTORY = f"""
SELECT l.position, t.envelope FROM crm.event t JOIN crm.log l USING (seq)
WHERE t.tenant = %(tenant)s AND t.type = ANY(%(types)s) AND {shown("subject", profiles=True)}
ORDER BY t.subject, l.position
"""
"""What happened to each customer who may be profiled, one customer after the other."""
