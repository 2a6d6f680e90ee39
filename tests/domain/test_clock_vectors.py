"""The clocks of a case, by the test vectors of other engines."""

import pytest

from domain.calendar import ALWAYS
from domain.clocks import Fact, after
from domain.terms import ClockRule, Terms, Triggers
from tests.domain.calendars import B8, D9, HOUR, MINUTE, F, H, U, at, weekly
from tests.domain.cases import case, clock, terms, used_and_left, verdict


@pytest.mark.parametrize(
    ("answered", "used", "left", "expected"),
    [("10:00", 30, 30, "fulfilled"), ("14:00", 270, -210, "breached")],
)
def test_vector_2_first_response(answered, used, left, expected):
    told = ("2013-03-21 09:30 opened", f"2013-03-21 {answered} agent_answered")
    service = case(terms(B8, first_response=60), *told)
    assert used_and_left(service, "first_response") == (used, left)
    assert verdict(service, "first_response") == expected


@pytest.mark.parametrize(
    ("answered", "used", "left", "expected"),
    [("11:00", 90, 30, "fulfilled"), ("12:00", 150, -30, "breached")],
)
def test_vector_3_update(answered, used, left, expected):
    told = ("2013-03-21 09:30 opened", f"2013-03-21 {answered} agent_answered")
    service = case(terms(B8, update=120), *told)
    first = service.clocks[0]
    assert (first.used / MINUTE, (first.target - first.used) / MINUTE) == (used, left)
    assert ("breached" if first.breached_at else first.state) == expected


def test_vector_4_a_customer_who_writes_is_owed_an_answer():
    """The vector's update clock that runs from the customer's message is `next_response` here."""
    told = (
        "2013-03-21 09:30 opened",
        "2013-03-21 12:00 agent_answered",
        "2013-03-21 12:05 customer_wrote",
    )
    by = terms(B8, first_response=120, next_response=120)
    service = case(by, *told)
    assert clock(service, "next_response").deadline == at("2013-03-21 14:05")
    assert used_and_left(service, "first_response") == (150, -30)
    answered = case(by, *told, "2013-03-21 12:10 agent_answered")
    assert clock(answered, "next_response").state == "fulfilled"
    assert clock(answered, "next_response").used == 5 * MINUTE
    assert used_and_left(answered, "first_response") == (150, -30)


@pytest.mark.parametrize(("closed", "used", "left"), [("11:30", 120, 60), ("13:00", 210, -30)])
def test_vector_5_solution(closed, used, left):
    told = ("2013-03-21 09:30 opened", f"2013-03-21 {closed} resolved")
    assert used_and_left(case(terms(B8, resolution=180), *told), "resolution") == (used, left)


def test_vector_6_pending_and_the_time_for_which_it_was_done_do_not_count():
    service = case(
        terms(D9, resolution=120),
        "2013-06-04 09:00 opened",
        "2013-06-04 09:30 waiting customer",
        "2013-06-04 09:45 resumed",
        "2013-06-04 10:00 resolved",
        "2013-06-04 10:30 reopened",
    )
    assert clock(service, "resolution").deadline == at("2013-06-04 11:45")


def test_vector_7_a_target_used_up_at_closing_time_is_due_at_the_next_opening():
    service = case(
        terms(D9, resolution=120),
        "2013-06-04 09:00 opened",
        "2013-06-04 10:00 waiting customer",
        "2013-06-04 15:00 resumed",
    )
    assert clock(service, "resolution").deadline == at("2013-06-05 07:00")


def test_vector_8_the_first_response_does_not_pause():
    service = case(
        terms(D9, first_response=120, resolution=250),
        "2013-06-04 09:00 opened",
        "2013-06-04 10:00 waiting customer",
        "2013-06-04 10:30 resumed",
        "2013-06-04 10:45 agent_answered",
        "2013-06-04 12:00 resolved",
    )
    assert used_and_left(service, "resolution") == (150, 100)
    assert used_and_left(service, "first_response") == (105, 15)


def test_vector_8_unless_the_agreement_says_so():
    pausing = Triggers(
        start=("opened",), pause=("waiting",), resume=("resumed",), stop=("agent_answered",)
    )
    rule = ClockRule(clock="first_response", targets={"normal": 120 * MINUTE}, triggers=pausing)
    service = case(
        Terms(calendar=D9, clocks=(rule,)),
        "2013-06-04 09:00 opened",
        "2013-06-04 10:00 waiting customer",
        "2013-06-04 10:30 resumed",
        "2013-06-04 10:45 agent_answered",
    )
    assert used_and_left(service, "first_response") == (75, 45)


@pytest.mark.parametrize(
    ("vector", "told", "used", "left"),
    [
        (9, [], 0, 240),
        (10, ["10:30 resumed", "11:00 waiting customer"], 30, 210),
        (11, ["10:30 resumed", "11:00 waiting customer", "11:30 resumed"], 60, 180),
    ],
)
def test_vectors_9_to_11_created_pending(vector, told, used, left):
    lines = ["09:00 opened", "09:00 waiting customer", *told, "12:00 resolved"]
    service = case(terms(D9, resolution=240), *(f"2013-06-04 {line}" for line in lines))
    assert used_and_left(service, "resolution") == (used, left)


def test_vector_14_the_oldest_unanswered_message_counts():
    told = (
        "2016-11-07 12:00:00 opened",
        "2016-11-07 12:30:00 agent_answered",
        "2016-11-07 13:26:36 customer_wrote",
    )
    by = terms(H, first_response=120, next_response=1200)
    once = case(by, *told)
    twice = case(by, *told, "2016-11-07 14:26:36 customer_wrote")
    assert clock(once, "next_response").deadline == at("2016-11-09 09:26:36")
    assert twice.clocks == once.clocks


def test_vector_18_pending_until_the_end_around_the_clock():
    told = (
        "2024-01-01 00:00 opened",
        "2024-01-01 01:30 waiting customer",
        "2024-01-01 02:00 resolved",
    )
    service = case(terms(ALWAYS, resolution=120), *told)
    assert used_and_left(service, "resolution") == (90, 30)
    [(start, end)] = clock(service, "resolution").intervals
    assert end - max(start, at("2024-01-01 00:30")) == 60 * MINUTE
    resumed = case(terms(ALWAYS, resolution=105), *told[:2], "2024-01-01 02:00 resumed")
    assert clock(resumed, "resolution").deadline == at("2024-01-01 02:15")


def test_vector_19_a_pause_over_midnight_is_one_pause():
    told = (
        "2024-01-01 12:00 opened",
        "2024-01-01 23:45 waiting customer",
        "2024-01-02 00:45 resumed",
        "2024-01-02 12:00 waiting customer",
        "2024-01-07 12:00 resumed",
        "2024-01-07 13:00 resolved",
    )
    found = clock(case(terms(ALWAYS, resolution=6000), *told), "resolution")
    assert found.used == 11.75 * HOUR + 11.25 * HOUR + HOUR
    assert len(found.intervals) == 3
    assert found.instance == 1


def test_vector_20_a_priority_without_a_target_promises_nothing_and_forgets_nothing():
    """Another engine erases all targets. Here the clock goes on, and the next target finds it."""
    told = ("2024-01-15 10:00 opened", "2024-01-15 11:00 priority_changed low")
    by = terms(U, resolution=240)
    service = case(by, *told)
    assert clock(service, "resolution").target is None
    assert clock(service, "resolution").deadline is None
    back = case(by, *told, "2024-01-15 12:00 priority_changed normal")
    assert clock(back, "resolution").deadline == at("2024-01-15 14:00")
    kinds = [happened.kind for happened in clock(back, "resolution").history]
    assert kinds == ["activated", "retargeted", "retargeted"]


def test_vector_29_two_messages_without_an_answer_are_one_breach():
    """Another engine counts two, one for each message that a sweep happens to see."""
    told = (
        "2024-01-15 06:00 opened",
        "2024-01-15 07:00 agent_answered",
        "2024-01-15 08:00 customer_wrote",
        "2024-01-15 09:00 customer_wrote",
        "2024-01-15 12:00 resolved",
    )
    service = case(terms(ALWAYS, first_response=120, next_response=60, resolution=240), *told)
    verdicts = [(c.name, c.breached_at is not None) for c in service.clocks]
    assert verdicts == [("first_response", False), ("resolution", True), ("next_response", True)]


def test_vector_34_a_second_more_is_the_next_day():
    told = ("2024-01-18 15:00 opened", "2024-01-18 15:00 waiting customer")
    by = terms(F, resolution=120)
    hour = case(by, *told, "2024-01-18 16:00 resumed")
    second_more = case(by, *told, "2024-01-18 16:00:01 resumed")
    assert clock(hour, "resolution").deadline == at("2024-01-19 10:00")
    assert clock(second_more, "resolution").deadline == at("2024-01-19 10:00:01")


def test_vector_35_the_deadline_moves_with_the_pause():
    told = ("2024-01-15 12:00 opened", "2024-01-15 12:30 waiting customer")
    resumed = case(terms(F, resolution=240), *told, "2024-01-15 13:00 resumed")
    assert clock(resumed, "resolution").deadline == at("2024-01-15 16:30")
    resolved = after(resumed, Fact(at("2024-01-15 13:30"), "resolved"))
    assert clock(resolved, "resolution").used == HOUR


def test_vector_36_a_pause_over_a_holiday():
    calendar = weekly("UTC", "10:00-18:00", holidays={at("2024-01-19 00:00").date(): "closed"})
    service = case(
        terms(calendar, resolution=240),
        "2024-01-18 17:30 opened",
        "2024-01-18 17:50 waiting customer",
        "2024-01-22 12:30 resumed",
        "2024-01-22 13:00 resolved",
    )
    assert calendar.between(at("2024-01-18 17:50"), at("2024-01-22 12:30")).seconds == 9600
    assert clock(service, "resolution").used.seconds == 3000


def test_vector_37_closing_the_next_day_changes_nothing():
    told = ("2024-01-15 12:00 opened", "2024-01-15 12:30 resolved")
    by = terms(F, resolution=240)
    closed = case(by, *told, "2024-01-16 12:00 closed")
    assert closed.clocks == case(by, *told).clocks
    assert clock(closed, "resolution").used == 30 * MINUTE


def test_vector_40_a_target_of_nothing_is_a_target():
    by = terms(U, first_response=0)
    told = "2024-01-15 10:00 opened"
    assert clock(case(by, told), "first_response").deadline == at("2024-01-15 10:00")
    at_once = case(by, told, "2024-01-15 10:00 agent_answered")
    later = case(by, told, "2024-01-15 10:00:01 agent_answered")
    assert verdict(at_once, "first_response") == "fulfilled"
    assert verdict(later, "first_response") == "breached"
