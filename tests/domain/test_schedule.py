"""How long personal data is kept: what is due when, and what no schedule may say."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from domain.schedule import Schedule, SchedulesHeld, SchedulesSet, Since, due
from domain.schedule import set_schedules as set_them
from domain.span import days_at_least, later, months_later
from tests.scenario import given

MESSAGES = Schedule(name="messages", groups=("content",), trigger="last_event", period="3 years")
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "months", "expected"),
    [
        (datetime(2026, 1, 31), 1, datetime(2026, 2, 28)),
        (datetime(2024, 1, 31), 1, datetime(2024, 2, 29)),
        (datetime(2026, 2, 28), 1, datetime(2026, 3, 28)),
        (datetime(2026, 12, 31), 2, datetime(2027, 2, 28)),
        (datetime(2024, 2, 29), 12, datetime(2025, 2, 28)),
        (datetime(2026, 11, 30, 23, 59), 1, datetime(2026, 12, 30, 23, 59)),
    ],
)
def test_a_month_later_is_the_same_day_or_the_last_one_there_is(at, months, expected):
    assert months_later(at, months) == expected


def test_spans_are_of_the_calendar_and_end_with_it():
    assert later(NOON, "30 days") == NOON + timedelta(days=30)
    assert later(NOON, "1 day") == NOON + timedelta(days=1)
    assert later(NOON, "2 years") == NOON.replace(year=2028)
    assert later(NOON, "9999 years") == datetime.max.replace(tzinfo=UTC)
    assert later(NOON, "9999 days").year == 2053


@pytest.mark.parametrize("span", ["1 day", "1 month", "7 months", "1 year", "4 years"])
def test_a_span_is_never_shorter_than_its_least_number_of_days(span):
    starts = (NOON + timedelta(days=days) for days in range(0, 1500, 13))
    assert min(later(at, span) - at for at in starts) >= timedelta(days=days_at_least(span))


def test_all_ids_of_a_customer_count_as_one():
    early, late = Since(NOON - timedelta(days=9)), Since(NOON)
    assert due(MESSAGES, [early, late]) == NOON.replace(year=2029)
    assert due(MESSAGES, [late, early, Since(None)]) == NOON.replace(year=2029)
    assert due(MESSAGES, [early, Since(NOON, goes_on=True)]) is None
    assert due(MESSAGES, [Since(None)]) is None
    assert due(MESSAGES, []) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"groups": ()},
        {"groups": ("content", "content")},
        {"groups": ("shoes",)},
        {"trigger": "full_moon"},
        {"trigger": "consent_withdrawn"},
        {"purpose": "news"},
        {"period": "soon"},
        {"period": "0 days"},
        {"period": "3"},
        {"holds": "litigation"},
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(ValidationError):
        Schedule(**(MESSAGES.model_dump() | wrong))


def test_schedules_replace_one_another_in_versions():
    other = MESSAGES.model_copy(update={"name": "other"})
    nothing = given(SchedulesHeld("x"))
    nothing.when(set_them, (MESSAGES,)).then(SchedulesSet(version=1, schedules=(MESSAGES,)))
    one = given(SchedulesHeld("x"), SchedulesSet(version=1, schedules=(MESSAGES,)))
    one.when(set_them, (MESSAGES,)).then()
    one.when(set_them, (other, MESSAGES)).then(SchedulesSet(version=2, schedules=(other, MESSAGES)))
    one.when(set_them, ()).then(SchedulesSet(version=2, schedules=()))
    one.when(set_them, (MESSAGES, MESSAGES)).rejected("schedule.twice")
