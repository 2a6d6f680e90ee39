"""Sums rows of the customer features up: who is the same customer, and what the numbers are.

A row must hold nothing that happened after the instant that is asked about; whoever asks about the
past folds only the events that count (`counted`).
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from domain.customer_features import Features
from domain.events import Recorded
from domain.gamma_gamma import Spend
from domain.purchase_history import history
from projections.customer_features import Paid
from projections.projection import Row

RECENT_DAYS = 90
PURCHASE_TREND_DAYS = 182
CONTACT_TREND_WEEKS = 4

Amounts = Mapping[str, int]
"""Amounts in minor units, by currency."""


def counted(
    history: Iterable[Recorded[Any]], effective_at: datetime, recorded_at: datetime
) -> list[Recorded[Any]]:
    """Keep what had happened by one instant, as it was known at another, as it happened."""
    kept = [r for r in history if r.time <= effective_at and r.recordedtime <= recorded_at]
    return sorted(kept, key=lambda recorded: (recorded.time, recorded.position))


def standing(rows: Mapping[str, Row]) -> dict[str, Row]:
    """Give one row for each customer who stands for itself, with all that is merged into it."""
    into = {key: row["merged_into"] for key, row in rows.items()}
    groups: dict[str, list[Row]] = {}
    for key in sorted(rows):
        groups.setdefault(root_of(into, key), []).append(rows[key])
    return {root: together(rows[root], group) for root, group in sorted(groups.items())}


def root_of(into: Mapping[str, str | None], key: str) -> str:
    """Follow whom a customer was merged into, to who stands for it; never in a circle."""
    seen = {key}
    while (following := into.get(key)) is not None and following in into and following not in seen:
        key = following
        seen.add(key)
    return key


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
            "paid": total(row["paid"] for row in rows),
            "products": {
                product: total(row["products"].get(product, {}) for row in rows)
                for product in sorted({product for row in rows for product in row["products"]})
            },
            "first_contact_at": min(firsts, default=None),
            "last_contact_at": max(lasts, default=None),
            "withdrawn": {consent: at for row in rows for consent, at in row["withdrawn"].items()},
        }
    )


def total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up counts by their names."""
    added: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            added[name] = added.get(name, 0) + count
    return added


def features(customer: str, row: Row, at: datetime) -> Features:
    """Sum a row up as of an instant; the row must hold nothing that happened later."""
    days = by_day(row["paid"])
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


def by_day(paid: Paid) -> dict[date, Amounts]:
    """Read what was paid, day by day and in order."""
    days: dict[date, dict[str, int]] = {}
    for then, amount in sorted(paid.items()):
        day, _, currency = then.partition(" ")
        days.setdefault(date.fromisoformat(day), {})[currency] = amount
    return {**days}


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
