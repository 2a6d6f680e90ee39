"""How does this customer behave: rhythm, worth, trend, complaints, signs of leaving?

One row per customer, holding only that customer's own facts, by day and week, so that events may
come late. `features` sums a row up as of an instant. Whoever asks about the past folds only the
events that count (`counted`): what was recorded later, or happened later, is not there at all.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from domain.case import (
    CaseClosed,
    CaseEscalated,
    CaseOpened,
    CaseReopened,
    CaseResolved,
    CustomerWrote,
)
from domain.catalogue import EVENTS, RETENTION, names
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
from domain.customer_features import Features
from domain.events import Recorded
from domain.gamma_gamma import Spend
from domain.interaction import InteractionRecorded
from domain.purchase_history import history
from domain.segment import SegmentAssigned
from projections.projection import Column, Projection, Row, by_customer

COMPLAINT, DOWNGRADE, CANCELLATION = "complaint", "downgrade", "cancellation"
"""The kinds of interactions, and the category of cases, that are read as signs."""

BREACH = "case.mark_reached.v1"
"""What tells that a clock of a case went beyond a mark, one of which is its end."""

Amounts = Mapping[str, int]
"""Amounts in minor units, by currency."""

RATINGS_KEPT = 12
RECENT_DAYS = 90
PURCHASE_TREND_DAYS = 182
CONTACT_TREND_WEEKS = 4

HANDLED = {
    CaseOpened.name, CaseResolved.name, CaseClosed.name, CaseReopened.name, CaseEscalated.name,
    CustomerWrote.name, BREACH, CustomerRegistered.name, StageChanged.name, TierAssigned.name,
    ProfileChanged.name, SegmentAssigned.name,
    ConsentGranted.name, ConsentWithdrawn.name, CustomerMerged.name, CustomerUnmerged.name,
    PurchaseRecorded.name, SatisfactionRated.name, CustomerLinked.name, CustomerUnlinked.name,
}  # fmt: skip

customer_features = Projection(
    name="customer_features",
    version=1,
    question="How does this customer behave: rhythm, worth, trend, complaints, signs of leaving?",
    key=by_customer,
    columns={
        "kind": Column("text", "person"),
        "stage": Column("text", "stranger"),
        "tier": Column("text"),
        "segment": Column("text"),
        "merged_into": Column("uuid"),
        "purchase_days": Column("jsonb", {}),
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
    ignores=names("customer.", "lead.", "case.", *RETENTION) - HANDLED,
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
    day = recorded.time.date().isoformat()
    changed: Row = {"purchase_days": paid(row["purchase_days"], day, currency, amount)}
    if event.product is not None:
        products = row["products"]
        of_it = paid(products.get(event.product, {}), day, currency, amount)
        changed["products"] = {**products, event.product: of_it}
    return row | changed


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


def paid(days: Mapping[str, Amounts], day: str, currency: str, amount: int) -> dict[str, Amounts]:
    """Add an amount to those of its day."""
    return {**days, day: plus(days.get(day, {}), currency, amount)}


def plus(counts: Mapping[str, int], name: str, more: int) -> dict[str, int]:
    """Add to one of several counts."""
    return {**counts, name: counts.get(name, 0) + more}


# ---- Reading -------------------------------------------------------------------------------------

ROWS = "SELECT * FROM read.customer_features WHERE tenant = %(tenant)s ORDER BY key"

HISTORY = """
SELECT l.position, e.envelope FROM crm.event e JOIN crm.log l USING (seq)
WHERE e.tenant = %(tenant)s AND e.type = ANY(%(types)s) ORDER BY e.subject, l.position
"""
"""What happened to each customer, one customer after the other."""


def counted(
    history: Iterable[Recorded[Any]], effective_at: datetime, recorded_at: datetime
) -> list[Recorded[Any]]:
    """Keep what had happened by one instant, as it was known at another, as it happened."""
    kept = [r for r in history if r.time <= effective_at and r.recordedtime <= recorded_at]
    return sorted(kept, key=lambda recorded: (recorded.time, recorded.position))


def standing(rows: Mapping[str, Row]) -> dict[str, Row]:
    """Give one row for each customer who stands for itself, with all that is merged into it."""
    groups: dict[str, list[Row]] = {}
    for key in sorted(rows):
        root, seen = key, {key}
        while (into := rows[root]["merged_into"]) in rows and into not in seen:
            root = into
            seen.add(root)
        groups.setdefault(root, []).append(rows[key])
    return {root: together(rows[root], group) for root, group in sorted(groups.items())}


def together(first: Row, rows: list[Row]) -> Row:
    """Show several rows that are the same customer as one."""
    if len(rows) == 1:
        return first
    firsts = [row["first_contact_at"] for row in rows if row["first_contact_at"] is not None]
    lasts = [row["last_contact_at"] for row in rows if row["last_contact_at"] is not None]
    counts = ("breached_clocks", "escalations", "downgrades", "cancellations")
    sums = ("refunds", "contact_weeks", "complaint_days")
    lists = ("open_cases", "referrals", "ratings")
    return (
        first
        | {name: sum(row[name] for row in rows) for name in counts}
        | {name: total([row[name] for row in rows]) for name in sums}
        | {name: sorted(each for row in rows for each in row[name]) for name in lists}
        | {
            "purchase_days": all_days(row["purchase_days"] for row in rows),
            "products": {
                product: all_days(row["products"].get(product, {}) for row in rows)
                for product in sorted({product for row in rows for product in row["products"]})
            },
            "first_contact_at": min(firsts, default=None),
            "last_contact_at": max(lasts, default=None),
            "withdrawn": {consent: at for row in rows for consent, at in row["withdrawn"].items()},
        }
    )


def all_days(each: Iterable[Mapping[str, Amounts]]) -> dict[str, Amounts]:
    """Add up what was paid, day by day."""
    days: dict[str, Amounts] = {}
    for paid_then in each:
        for day, amounts in paid_then.items():
            days[day] = total([days.get(day, {}), amounts])
    return days


def total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up counts by their names."""
    added: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            added[name] = added.get(name, 0) + count
    return added


def features(customer: str, row: Row, at: datetime) -> Features:
    """Sum a row up as of an instant; the row must hold nothing that happened later."""
    days = by_day(row["purchase_days"])
    bought = history(days, at.date())
    spent = total([*days.values(), {name: -back for name, back in row["refunds"].items()}])
    contacts = sum(row["contact_weeks"].values())
    first, last, today = row["first_contact_at"], row["last_contact_at"], at.date()
    grades = [grade for _, grade in row["ratings"]]
    before = grades[:-1]
    return Features(
        customer=customer,
        at=at,
        kind=row["kind"],
        stage=row["stage"],
        tier=row["tier"],
        segment=row["segment"],
        history=bought,
        spent=spent,
        spend=spend(list(days.values())[1:]),
        products={name: by_day(paid_then) for name, paid_then in row["products"].items()},
        purchases=len(days),
        purchase_silence_days=float((today - max(days)).days) if days else None,
        purchase_gap_days=(max(days) - min(days)).days / (len(days) - 1) if len(days) > 1 else None,
        purchase_trend=trend(dict.fromkeys(days, 1), today, PURCHASE_TREND_DAYS),
        contacts=contacts,
        contact_silence_days=None if last is None else days_between(last, at),
        contact_gap_days=days_between(first, last) / (contacts - 1) if contacts > 1 else None,
        contact_trend=trend(by_date(row["contact_weeks"]), today, 7 * CONTACT_TREND_WEEKS),
        complaints=sum(row["complaint_days"].values()),
        recent_complaints=within(by_date(row["complaint_days"]), today, RECENT_DAYS),
        satisfaction=grades[-1] if grades else None,
        satisfaction_trend=grades[-1] - sum(before) / len(before) if before else None,
        open_cases=len(row["open_cases"]),
        breached_clocks=row["breached_clocks"],
        escalations=row["escalations"],
        downgrades=row["downgrades"],
        cancellations=row["cancellations"],
        referrals=len(row["referrals"]),
        withdrawn=frozenset(consent.partition("/")[0] for consent in row["withdrawn"]),
    )


def spend(repeats: list[Amounts]) -> dict[str, Spend]:
    """Give the number and the mean of repeat purchases by currency."""
    paid: dict[str, list[int]] = {}
    for day in repeats:
        for currency, amount in day.items():
            paid.setdefault(currency, []).append(amount)
    return {name: Spend(len(each), sum(each) / len(each)) for name, each in sorted(paid.items())}


def by_day(days: Mapping[str, Amounts]) -> dict[date, Amounts]:
    """Read the days on which something was paid, in order."""
    return {date.fromisoformat(day): amounts for day, amounts in sorted(days.items())}


def by_date(counts: Mapping[str, int]) -> dict[date, int]:
    """Read the days of counts."""
    return {date.fromisoformat(day): count for day, count in counts.items()}


def trend(counts: Mapping[date, int], today: date, days: int) -> float | None:
    """Compare the last days with as many before; None when there is nothing to compare with."""
    recent = within(counts, today, days)
    before = within(counts, today - timedelta(days=days), days)
    return None if before == 0 else recent / before - 1.0


def within(counts: Mapping[date, int], today: date, days: int) -> int:
    """Count what lies in the last days before and including a day."""
    begin = today - timedelta(days=days)
    return sum(count for day, count in counts.items() if begin < day <= today)


def days_between(one: datetime, other: datetime) -> float:
    """Give the time between two instants in days."""
    return (other - one).total_seconds() / 86_400
