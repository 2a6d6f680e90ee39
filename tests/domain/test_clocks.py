"""The clocks of a case: vectors of other engines, the boundary from both sides, and changes."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calendar import ALWAYS, Calendar
from domain.case import CaseEvent
from domain.clocks import Clock, Fact, Service, after, dues, serve
from domain.rejected import Rejected
from domain.sla import DEFAULT
from domain.terms import KINDS, ClockRule, Terms, Triggers, WarnAt
from tests.domain.calendars import B8, B9, D9, F, H, U, at, weekly

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def terms(calendar: Calendar, forgotten_after: timedelta = timedelta(days=30), **targets) -> Terms:
    """Clocks with one target in minutes each, whatever the priority."""
    rules = tuple(
        ClockRule(clock=clock, targets={"normal": timedelta(minutes=minutes)})
        for clock, minutes in targets.items()
    )
    return Terms(calendar=calendar, clocks=rules, forgotten_after=forgotten_after)


def case(by: Terms, *lines: str) -> Service:
    """Tell a case in lines such as `2013-03-21 09:30 waiting customer`."""
    facts: list[tuple[Fact, Terms | None]] = []
    for line in lines:
        day, time, kind, *value = line.split(" ", 3)
        given_value = value[0] if value else {"opened": "normal"}.get(kind, "")
        facts.append((Fact(at(f"{day} {time}"), kind, given_value), None))
    return serve([facts[0], (Fact(facts[0][0].at, "matched"), by), *facts[1:]])


def clock(service: Service, name: str) -> Clock:
    found = service.current(name)
    assert found is not None
    return found


def used_and_left(service: Service, name: str) -> tuple[float, float]:
    """In minutes."""
    found = clock(service, name)
    assert found.target is not None
    return found.used / MINUTE, (found.target - found.used) / MINUTE


def verdict(service: Service, name: str) -> str:
    found = clock(service, name)
    return "breached" if found.breached_at else found.state


# ---- Vectors -------------------------------------------------------------------------------------


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


# ---- The boundary --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resolved", "expected"),
    [
        ("16:59:59", "fulfilled"),
        ("17:00:00", "fulfilled"),
        ("23:30:00", "fulfilled"),
        ("2024-01-16 09:00:00", "fulfilled"),
        ("2024-01-16 09:00:00.000001", "breached"),
    ],
)
def test_a_target_is_breached_when_more_than_it_is_used(resolved, expected):
    line = resolved if " " in resolved else f"2024-01-15 {resolved}"
    service = case(terms(U, resolution=480), "2024-01-15 09:00 opened", f"{line} resolved")
    assert verdict(service, "resolution") == expected


instants = st.integers(0, 14 * 86_400).map(lambda s: at("2024-01-15") + timedelta(seconds=s))


@given(instants, instants, st.integers(0, 5000))
def test_deadline_and_verdict_never_disagree(one, other, minutes):
    opened, ended = sorted((one, other))
    by = terms(B9, resolution=minutes)
    service = serve([(Fact(opened, "opened", "normal"), None), (Fact(opened, "matched"), by)])
    deadline = clock(service, "resolution").deadline
    resolved = after(service, Fact(ended, "resolved"))
    assert deadline is not None
    assert (verdict(resolved, "resolution") == "breached") == (ended > deadline)
    assert clock(resolved, "resolution").breached_at in (None, deadline)


def test_a_resolution_between_two_runs_of_a_job_after_the_deadline_is_a_breach():
    """Another engine finds the case resolved at its next sweep, and counts it as in time."""
    service = case(
        terms(U, resolution=60), "2024-01-15 10:00 opened", "2024-01-15 11:00:01 resolved"
    )
    assert clock(service, "resolution").breached_at == at("2024-01-15 11:00")
    assert [due.mark for due in dues(service)] == ["breached"], "and it is still acted upon"


# ---- Marks ---------------------------------------------------------------------------------------


WARNING = Terms(
    calendar=U,
    clocks=(
        ClockRule(
            clock="resolution",
            targets={"normal": 4 * HOUR, "urgent": HOUR},
            warnings=(WarnAt(percent=50), WarnAt(after=3 * HOUR)),
            critical_percent=200,
        ),
    ),
)


def test_every_mark_has_its_instant():
    service = case(WARNING, "2024-01-15 15:00 opened")
    assert [(due.mark, due.at) for due in dues(service)] == [
        ("warned:50%", at("2024-01-16 09:00")),
        ("warned:3:00:00", at("2024-01-16 10:00")),
        ("breached", at("2024-01-16 11:00")),
        ("critical", at("2024-01-16 15:00")),
    ]


def test_a_mark_that_was_acted_upon_is_not_due_again():
    told = ("2024-01-15 15:00 opened", "2024-01-16 09:00 mark_reached resolution/1/warned:50%")
    assert dues(case(WARNING, *told))[0].mark == "warned:3:00:00"


def test_nobody_is_warned_of_what_is_done():
    done = case(WARNING, "2024-01-15 09:00 opened", "2024-01-15 12:30 resolved")
    assert [passed.mark for passed in clock(done, "resolution").passed] == [
        "warned:50%",
        "warned:3:00:00",
    ]
    assert dues(done) == []


def test_nothing_is_due_while_it_is_closed():
    """Nobody is woken for a target that sleeps: every due instant is one of an open office."""
    for minute in range(0, 7 * 24 * 60, 97):
        opened = at("2024-01-15") + minute * MINUTE
        service = serve(
            [(Fact(opened, "opened", "normal"), None), (Fact(opened, "matched"), WARNING)]
        )
        for due in dues(service):
            assert U.between(due.at, due.at + MINUTE) == MINUTE


# ---- Periods -------------------------------------------------------------------------------------


def test_the_next_period_starts_at_the_target_of_the_one_before():
    told = ["2024-01-15 09:00 opened", "2024-01-15 09:30 agent_answered"]
    by = terms(U, update=120)
    early = case(by, *told)
    assert clock(early, "update").deadline == at("2024-01-15 13:00"), "not two hours from 09:30"
    again = case(by, *told, "2024-01-15 10:30 agent_answered")
    assert again.clocks == early.clocks, "one update is enough for a period"
    second = case(by, *told, "2024-01-15 11:30 agent_answered")
    assert clock(second, "update").deadline == at("2024-01-15 15:00")


def test_a_late_update_keeps_the_rhythm():
    late = case(terms(U, update=120), "2024-01-15 09:00 opened", "2024-01-15 12:00 agent_answered")
    assert late.clocks[0].breached_at == at("2024-01-15 11:00")
    assert clock(late, "update").deadline == at("2024-01-15 13:00")
    very = case(terms(U, update=120), "2024-01-15 09:00 opened", "2024-01-15 14:30 agent_answered")
    assert clock(very, "update").deadline == at("2024-01-15 15:00")


# ---- Changes under way ---------------------------------------------------------------------------


BY_PRIORITY = Terms(
    calendar=U,
    clocks=(
        ClockRule(
            clock="resolution", targets={"normal": 4 * HOUR, "urgent": HOUR, "low": 8 * HOUR}
        ),
    ),
)


def test_another_priority_keeps_the_time_used():
    told = ("2024-01-15 09:00 opened", "2024-01-15 09:30 priority_changed urgent")
    found = clock(case(BY_PRIORITY, *told), "resolution")
    assert found.deadline == at("2024-01-15 10:00")
    assert [h.kind for h in found.history] == ["activated", "retargeted"]


def test_a_shorter_target_that_is_used_up_is_breached_at_the_change_and_not_before():
    told = ("2024-01-15 09:00 opened", "2024-01-15 11:00 priority_changed urgent")
    assert clock(case(BY_PRIORITY, *told), "resolution").breached_at == at("2024-01-15 11:00")


def test_a_breach_stays_a_breach_under_a_longer_target():
    told = ("2024-01-15 09:00 opened", "2024-01-15 14:00 priority_changed low")
    service = case(BY_PRIORITY, *told, "2024-01-15 15:00 resolved")
    assert clock(service, "resolution").breached_at == at("2024-01-15 13:00")


def test_a_change_during_a_pause_finds_the_clock_paused():
    told = ("2024-01-15 09:00 opened", "2024-01-15 09:30 waiting customer")
    paused = case(BY_PRIORITY, *told, "2024-01-15 12:00 priority_changed urgent")
    assert clock(paused, "resolution").state == "paused"
    resumed = after(paused, Fact(at("2024-01-15 13:00"), "resumed"))
    assert clock(resumed, "resolution").deadline == at("2024-01-15 13:30")


def test_another_agreement_goes_on_with_the_time_used():
    service = case(terms(U, resolution=240), "2024-01-15 16:00 opened")
    other = terms(ALWAYS, resolution=180, update=60)
    again = after(service, Fact(at("2024-01-15 18:00"), "matched"), other)
    assert clock(again, "resolution").used == HOUR, "by the calendar that held until then"
    assert clock(again, "resolution").deadline == at("2024-01-15 20:00")
    assert clock(again, "update").deadline == at("2024-01-15 19:00"), "a new promise starts now"
    back = after(again, Fact(at("2024-01-15 18:30"), "matched"), terms(U, resolution=240))
    assert clock(back, "update").state == "cancelled"


def test_a_reopened_case_goes_on_with_the_same_clock():
    told = ("2024-01-15 09:00 opened", "2024-01-15 12:00 resolved", "2024-01-16 10:00 reopened")
    service = case(terms(U, first_response=60, resolution=240), *told)
    assert clock(service, "resolution").deadline == at("2024-01-16 11:00")
    assert clock(service, "resolution").instance == 1
    assert clock(service, "first_response").instance == 1


def test_a_duplicate_owes_nothing_more():
    told = ("2024-01-15 09:00 opened", "2024-01-15 10:00 linked duplicates")
    service = case(terms(U, first_response=60, resolution=240), *told)
    assert {c.state for c in service.clocks} == {"cancelled"}
    related = case(terms(U, resolution=240), told[0], "2024-01-15 10:00 linked relates_to")
    assert clock(related, "resolution").state == "running"


# ---- Forgotten pauses ----------------------------------------------------------------------------


def test_a_case_that_was_paused_and_never_resumed_is_not_met_but_forgotten():
    """An audit of another engine found 11 of 50 cases `met` that nobody had ever resumed."""
    by = terms(U, forgotten_after=8 * HOUR, resolution=240)
    told = ("2024-01-15 09:00 opened", "2024-01-15 10:00 waiting customer")
    assert clock(case(by, *told, "2024-01-16 11:00 resolved"), "resolution").is_forgotten
    assert not clock(case(by, *told, "2024-01-16 10:00 resolved"), "resolution").is_forgotten
    resumed = case(by, *told, "2024-01-16 11:00 resumed", "2024-01-16 11:05 resolved")
    assert not clock(resumed, "resolution").is_forgotten
    assert "forgotten" in [h.kind for h in clock(resumed, "resolution").history]


def test_a_pause_is_due_to_be_remembered():
    by = terms(U, forgotten_after=8 * HOUR, resolution=240)
    service = case(by, "2024-01-15 09:00 opened", "2024-01-15 10:00 waiting customer")
    assert [(due.mark, due.at) for due in dues(service)] == [("forgotten", at("2024-01-16 10:00"))]


# ---- Clocks of one's own -------------------------------------------------------------------------


def test_a_clock_can_be_declared_by_what_starts_pauses_and_stops_it():
    handover = ClockRule(
        clock="second level",
        targets={"normal": 2 * HOUR},
        triggers=Triggers(
            start=("assigned=second",),
            pause=("waiting=third_party",),
            resume=("resumed",),
            stop=("agent_answered",),
            repeat="independent",
        ),
    )
    service = case(
        Terms(calendar=U, clocks=(handover,)),
        "2024-01-15 09:00 opened",
        "2024-01-15 09:30 assigned first",
        "2024-01-15 10:00 assigned second",
        "2024-01-15 10:30 waiting customer",
        "2024-01-15 11:00 resumed",
        "2024-01-15 11:30 agent_answered",
        "2024-01-15 12:00 assigned second",
    )
    assert [(c.instance, c.state, c.used) for c in service.clocks] == [
        (1, "fulfilled", 1.5 * HOUR),
        (2, "running", timedelta(0)),
    ]


def test_triggers_can_name_all_that_happens_to_a_case():
    mechanics = {"agreement_matched", "mark_reached", "notification_requested"}
    happens = {kind.name.split(".")[1] for kind in CaseEvent.__args__}
    assert happens - mechanics - {"handed_over"} == KINDS, "to a team: told as `assigned`"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: Triggers(start=("bored",), stop=("resolved",)), "agreement.trigger"),
        (lambda: ClockRule(clock="mine", targets={"low": HOUR}), "agreement.clock_unknown"),
        (lambda: ClockRule(clock="resolution", targets={}), "agreement.no_target"),
        (lambda: terms(U, update=0), "agreement.no_period"),
        (lambda: terms(U, next_response=5), "agreement.clock_missing"),
        (lambda: Terms(calendar=U, clocks=()), "agreement.clocks"),
        (WarnAt, "agreement.warning"),
    ],
)
def test_terms_that_make_no_sense_are_rejected(make, code):
    with pytest.raises(Rejected) as no:
        make()
    assert no.value.code == code


# ---- Laws ----------------------------------------------------------------------------------------

kinds = st.sampled_from(
    [
        ("customer_wrote", ""),
        ("agent_answered", ""),
        ("waiting", "customer"),
        ("resumed", ""),
        ("resolved", ""),
        ("reopened", ""),
        ("closed", ""),
        ("priority_changed", "urgent"),
        ("priority_changed", "normal"),
    ]
)
ALL_CLOCKS = Terms(
    calendar=B9,
    clocks=tuple(
        ClockRule(clock=name, targets={"normal": 4 * HOUR, "urgent": 90 * MINUTE})
        for name in ("first_response", "next_response", "update", "resolution")
    ),
)
stories = st.lists(st.tuples(st.integers(1, 40_000), kinds), max_size=12)


def told(story) -> list[tuple[Fact, Terms | None]]:
    now = at("2024-03-28 08:00")
    facts: list[tuple[Fact, Terms | None]] = [
        (Fact(now, "opened", "normal"), None),
        (Fact(now, "matched"), ALL_CLOCKS),
    ]
    for seconds, (kind, value) in story:
        now += timedelta(seconds=seconds)
        facts.append((Fact(now, kind, value), None))
    return facts


@given(stories)
def test_time_used_is_the_open_time_of_the_intervals(story):
    for found in serve(told(story)).clocks:
        summed = sum((B9.between(a, b) for a, b in found.intervals), timedelta(0))
        assert found.used == summed
        assert all(a < b for a, b in found.intervals)
        ends = [b for _, b in found.intervals[:-1]]
        starts = [a for a, _ in found.intervals[1:]]
        assert all(end <= start for end, start in zip(ends, starts, strict=True))


@given(stories)
def test_instances_are_counted_and_only_the_last_one_goes_on(story):
    clocks = serve(told(story)).clocks
    for name in {found.name for found in clocks}:
        same = [found for found in clocks if found.name == name]
        assert [found.instance for found in same] == list(range(1, len(same) + 1))
        assert all(found.state in ("fulfilled", "cancelled") for found in same[:-1])


@given(stories, stories)
def test_what_comes_later_never_mends_a_breach(story, more):
    before = {
        (found.name, found.instance): found.breached_at
        for found in serve(told(story)).clocks
        if found.breached_at
    }
    later = {(f.name, f.instance): f.breached_at for f in serve(told(story + more)).clocks}
    assert {key: later[key] for key in before} == before


def test_a_case_without_an_agreement_goes_by_the_default_around_the_clock():
    service = serve([(Fact(at("2024-01-13 22:00"), "opened", "urgent"), None)])
    assert service.terms is DEFAULT
    assert clock(service, "first_response").deadline == at("2024-01-13 22:30")
    assert clock(service, "resolution").deadline == at("2024-01-14 02:00")
