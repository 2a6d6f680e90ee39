"""The clocks of a case: the boundary from both sides, changes under way, and laws."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calendar import ALWAYS
from domain.case import CaseEvent
from domain.clocks import Fact, after, dues, serve
from domain.rejected import Rejected
from domain.sla import DEFAULT
from domain.terms import KINDS, ClockRule, Terms, Triggers, WarnAt
from tests.domain.calendars import B9, HOUR, MINUTE, U, at
from tests.domain.cases import case, clock, terms, verdict

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
