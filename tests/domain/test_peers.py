"""The faults of other engines, each as a test that they fail; and that no vector is left out."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from domain.clocks import dues
from tests.domain.calendars import B9, MINUTE, U, at, weekly
from tests.domain.cases import case, clock, terms
from tests.domain.test_calendar import AFTER, AT_CLOSING_TIME, BETWEEN

HOUR = timedelta(hours=1)


def test_a_start_on_a_closed_day_does_not_keep_its_time_of_day():
    """Another engine: Saturday 15:00 gives Monday 16:00, and Saturday 20:00 Tuesday 10:00."""
    assert U.after(at("2024-01-20 15:00"), HOUR) == at("2024-01-22 10:00")
    assert U.after(at("2024-01-20 20:00"), HOUR) == at("2024-01-22 10:00")


def test_a_window_need_not_begin_at_a_full_hour():
    """Another engine knows whole hours only."""
    early = weekly("UTC", "08:15:30-16:45")
    assert early.after(at("2024-01-15 00:00"), HOUR) == at("2024-01-15 09:15:30")


def test_thirty_days_take_no_longer_than_an_instant():
    """Another engine walks second by second; here the work does not grow with the time between."""
    steps = {"count": 0}

    class Counting(datetime):
        def __lt__(self, other):
            steps["count"] += 1
            return datetime.__lt__(self, other)

    start, end = at("2024-01-15 09:30"), at("2024-02-14 09:30")
    B9.between(start, end)
    counting = Counting(2024, 2, 14, 9, 30, tzinfo=UTC)
    assert B9.between(start, counting) == B9.between(start, end)
    assert 0 < steps["count"] < 50


def test_silence_is_counted_from_the_last_unanswered_message_not_from_the_beginning():
    """Another engine counts idle days from the creation, whatever happened since."""
    told = (
        "2024-01-15 09:00 opened",
        "2024-01-15 09:30 agent_answered",
        "2024-01-17 10:00 customer_wrote",
    )
    waiting = clock(case(terms(U, first_response=60, next_response=60), *told), "next_response")
    assert waiting.deadline == at("2024-01-17 11:00")


def test_a_breach_is_an_event_of_its_own_instant_not_of_the_next_hourly_run():
    """Another engine looks once an hour, and keeps no event of a breach."""
    told = ("2024-01-15 09:00 opened", "2024-01-15 10:20 resolved")
    service = case(terms(U, resolution=60), *told)
    [breach] = dues(service)
    assert (breach.mark, breach.at) == ("breached", at("2024-01-15 10:00"))
    assert breach.at + 20 * MINUTE == at("2024-01-15 10:20")


def test_every_vector_is_a_test():
    numbers = {row[0] for row in (*AFTER, *AT_CLOSING_TIME, *BETWEEN)}
    for file in Path(__file__).parent.glob("test_*.py"):
        for first, joint, last in re.findall(
            r"def test_vectors?_(\d+)(?:_(and|to)_(\d+))?_", file.read_text("utf-8")
        ):
            numbers |= {int(first), int(last or first)}
            if joint == "to":
                numbers |= set(range(int(first), int(last)))
    assert numbers == set(range(1, 44))
