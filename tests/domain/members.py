"""Customers for tests of rules: made of the numbers that a test is about."""

from datetime import UTC, datetime

from domain.customer_features import Features
from domain.customer_value import Member
from domain.gamma_gamma import Spend
from domain.purchase_history import History

AT = datetime(2026, 3, 1, tzinfo=UTC)


def features(customer: str, *, repeats: int = 0, recency=0.0, age=10.0, spent=0, **more):  # type: ignore[no-untyped-def]
    return Features(
        customer=customer,
        at=AT,
        history=History(repeats, recency, age),
        purchases=repeats + 1,
        purchase_silence_days=(age - recency) * 7,
        purchase_gap_days=recency * 7 / repeats if repeats else None,
        spent={"EUR": spent},
        spend={"EUR": Spend(repeats, spent / (repeats + 1))} if repeats else {},
    )._replace(**more)


def member(customer: str, extra: dict[str, float] | None = None, **more) -> Member:  # type: ignore[no-untyped-def]
    return Member(features(customer, **more), extra or {})
