"""Working time when the clocks of a zone are put forward and back."""

from datetime import UTC, date, datetime, timedelta

import pytest

from domain.calendar import zone
from tests.domain.calendars import (
    BERLIN,
    EVERY_DAY,
    HOUR,
    MINUTE,
    ZONES,
    at,
    local,
    walked,
    weekly,
)


@pytest.mark.parametrize(
    ("name", "day", "window", "opens"),
    [
        ("America/Los_Angeles", date(2014, 3, 9), "02:30-12:00", at("2014-03-09 10:30")),
        ("America/Los_Angeles", date(2014, 11, 2), "01:30-12:00", at("2014-11-02 08:30")),
        ("America/Sao_Paulo", date(2015, 10, 18), "00:00-12:00", at("2015-10-18 03:00")),
    ],
)
def test_vector_25_a_time_in_the_gap_moves_on_and_a_doubtful_one_is_the_first(
    name, day, window, opens
):
    calendar = weekly(name, window, EVERY_DAY)
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone(name)).astimezone(UTC)
    assert calendar.after(midnight - HOUR, timedelta(0)) == opens


@pytest.mark.parametrize(
    ("day", "seconds"), [("2024-03-31", 10_800), ("2024-10-27", 18_000), ("2024-06-02", 14_400)]
)
def test_vector_42_a_night_window_is_shorter_in_spring_and_longer_in_autumn(day, seconds):
    calendar = weekly(BERLIN, "01:00-05:00", EVERY_DAY)
    start = local(f"{day} 00:00", BERLIN)
    assert calendar.between(start, start + 12 * HOUR).total_seconds() == seconds


def transitions(name: str) -> list[datetime]:
    """The hours of 2024 to 2030 in which the offset of a zone changes."""
    hours = int((at("2031-01-01") - at("2024-01-01")) / HOUR)
    instants = [at("2024-01-01") + n * HOUR for n in range(hours)]
    offsets = [instant.astimezone(zone(name)).utcoffset() for instant in instants]
    return [instants[n] for n in range(1, hours) if offsets[n] != offsets[n - 1]]


@pytest.mark.parametrize("name", ZONES)
def test_around_every_change_the_open_time_is_what_the_hands_of_a_clock_show(name):
    expected = {"Europe/Berlin": 14, "America/New_York": 14, "Australia/Lord_Howe": 14}
    changes = transitions(name)
    assert len(changes) == expected.get(name, 0)
    calendars = [weekly(name, window, EVERY_DAY) for window in ("00:00-24:00", "05:00-23:00")]
    for change in changes or [at("2024-03-31 01:00"), at("2024-10-27 01:00")]:
        start, end = change - 30 * HOUR, change + 30 * HOUR
        for calendar in calendars:
            assert calendar.between(start, end) == walked(calendar, start, end)


@pytest.mark.parametrize("name", ZONES)
def test_around_every_change_both_directions_agree(name):
    for change in transitions(name) or [at("2024-03-31 01:00")]:
        for window in ("00:00-24:00", "01:15-02:45", "02:00-02:30", "22:00-03:00"):
            calendar = weekly(name, window, EVERY_DAY)
            start = change - 26 * HOUR
            for minutes in range(0, 180, 7):
                found = calendar.after(start, timedelta(minutes=minutes))
                assert calendar.between(start, found) == timedelta(minutes=minutes)
                assert calendar.between(start, found + MINUTE) > timedelta(minutes=minutes)
