"""The law's own clock: when a request is due, and what cannot stop it."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.case import Case
from domain.clocks import Fact, serve
from domain.privacy_request import CLOCK, category, due, must_be_request, terms
from domain.rejected import Rejected

RECEIVED = datetime(2026, 1, 31, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("law", "extended", "expected"),
    [
        ("gdpr", False, datetime(2026, 2, 28, 9, tzinfo=UTC)),
        ("gdpr", True, datetime(2026, 4, 30, 9, tzinfo=UTC)),
        ("ccpa", False, datetime(2026, 3, 17, 9, tzinfo=UTC)),
        ("ccpa", True, datetime(2026, 5, 1, 9, tzinfo=UTC)),
    ],
)
def test_each_law_has_its_own_time_and_its_own_extension(law, extended, expected):
    assert due(law, RECEIVED, extended=extended) == expected


def clock(*facts, law="gdpr", longer_at=None):
    told = [
        (Fact(RECEIVED, "opened", "normal"), None),
        (Fact(RECEIVED, "matched"), terms(law, RECEIVED)),
    ]
    told += [
        (Fact(RECEIVED + timedelta(days=days), kind, value), None) for days, kind, value in facts
    ]
    if longer_at is not None:
        longer = terms(law, RECEIVED, extended=True)
        told.append((Fact(RECEIVED + timedelta(days=longer_at), "matched"), longer))
    return serve(told).current(CLOCK)


def test_nothing_but_carrying_it_out_stops_the_clock():
    assert clock().deadline == due("gdpr", RECEIVED)
    for kind, value in (("waiting", "customer"), ("closed", ""), ("priority_changed", "low"),
                        ("linked", "duplicates"), ("agent_answered", "")):  # fmt: skip
        running = clock((3, kind, value))
        assert (running.state, running.deadline) == ("running", due("gdpr", RECEIVED)), kind
    assert clock((3, "resolved", "")).state == "fulfilled"
    assert clock((3, "resolved", "")).breached_at is None


def test_it_is_breached_the_moment_the_month_is_over():
    late = clock((28, "resolved", ""))
    assert late.breached_at is None  # at nine on the 28th, to the second
    later = clock((28.0001, "resolved", ""))
    assert later.breached_at == due("gdpr", RECEIVED)


def test_the_longer_time_counts_from_receipt():
    assert clock(longer_at=20).deadline == due("gdpr", RECEIVED, extended=True)
    assert clock(law="ccpa", longer_at=44).deadline == due("ccpa", RECEIVED, extended=True)


def test_only_a_request_that_is_open_can_be_worked_on():
    asked = Case("x", status="open", category=category("access"))
    must_be_request(asked)
    for case, code in (
        (Case("x", status="open", category="complaint"), "privacy_request.unknown"),
        (Case("x"), "privacy_request.unknown"),
        (Case("x", status="resolved", category=category("access")), "privacy_request.done"),
    ):
        with pytest.raises(Rejected) as no:
            must_be_request(case)
        assert no.value.code == code
