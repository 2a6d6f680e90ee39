"""Deadlines follow from event times alone, in whatever order the events come."""

import json
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given

from commands.cases import (
    AssignCase,
    CategoriseCase,
    ChangePriority,
    CloseCase,
    EscalateCase,
    NoteAgentAnswer,
    NoteCustomerMessage,
    OpenCase,
    ReopenCase,
    ResolveCase,
    ResumeCase,
    WaitWithCase,
)
from commands.command import ByEmail, ByExternalId
from domain.case import AgreementMatched, CaseEvent
from domain.sla import DEFAULT, TARGETS
from domain.terms import KINDS, terms_of
from projections.sla_clocks import FACTS, sla_clocks
from tests.desk import PROMISE
from tests.strategies import bounded, stories
from tests.world import NOON, World

CASE = ByExternalId(system="desk", id="1")
OPEN = OpenCase(case=CASE, customer=ByEmail(email="ann@example.org"), channel="email")
ANSWER = NoteAgentAnswer(case=CASE, agent="max")
WAIT, RESUME = WaitWithCase(case=CASE, waiting_for="customer"), ResumeCase(case=CASE)
RESOLVE, CLOSE, REOPEN = ResolveCase(case=CASE), CloseCase(case=CASE), ReopenCase(case=CASE)
URGENT = ChangePriority(case=CASE, priority="urgent")
NORMAL = TARGETS["normal"]


def at(hour):
    return NOON + timedelta(hours=hour)


def row_after(*asked):
    """The case's row after commands, each asked at an hour counted from noon."""
    world = World()
    world.now += timedelta(days=365)
    for command, hour in asked:
        assert world.ask(command, at=at(hour)).status == "accepted"
    (row,) = sla_clocks.fold(world.history()).values()
    return row


def used(row, name):
    """The seconds that a clock has used."""
    return next(clock["used"] for clock in row["clocks"] if clock["clock"] == name)


def test_the_deadlines_follow_from_the_priority_and_the_opening():
    row = row_after((OPEN, 0))
    assert row["opened_at"] == NOON
    assert row["first_answer_due"] == NOON + NORMAL.first_response
    assert row["resolution_due"] == NOON + NORMAL.resolution


def test_more_urgent_is_sooner():
    targets = [TARGETS[priority] for priority in ("urgent", "high", "normal", "low")]
    assert targets == sorted(targets)


def test_another_priority_has_other_deadlines_from_the_opening_on():
    row = row_after((OPEN, 0), (URGENT, 0.25))
    assert row["first_answer_due"] == NOON + TARGETS["urgent"].first_response
    assert row["resolution_due"] == NOON + TARGETS["urgent"].resolution


def test_a_target_that_is_used_up_already_is_missed_at_the_change_and_not_before():
    row = row_after((OPEN, 0), (URGENT, 5))
    assert (row["first_answer_due"], row["resolution_due"]) == (at(5), at(5))


def test_a_promise_that_was_kept_is_not_broken_by_a_later_priority():
    row = row_after((OPEN, 0), (ANSWER, 1), (URGENT, 5), (WAIT, 6), (RESUME, 7), (RESOLVE, 8))
    assert row["first_answer_at"] == at(1)
    assert row["first_answer_due"] == NOON + NORMAL.first_response


def test_a_priority_that_is_told_late_but_was_there_before_the_answer_counts():
    row = row_after((OPEN, 0), (ANSWER, 5), (URGENT, 0.25))
    assert row["first_answer_due"] == NOON + TARGETS["urgent"].first_response


def test_the_first_answer_is_the_one_that_was_given_first_not_the_one_told_first():
    row = row_after((OPEN, 0), (ANSWER, 5), (ANSWER, 2), (ANSWER, 3))
    assert (row["first_answer_at"], row["answers"]) == (at(2), 3)


def test_waiting_does_not_count_for_the_resolution_but_for_the_first_answer_it_does():
    row = row_after((OPEN, 0), (WAIT, 2), (RESUME, 7), (WAIT, 8), (RESUME, 9))
    assert used(row, "resolution") == 3 * 3600
    assert row["resolution_due"] == NOON + NORMAL.resolution + timedelta(hours=6)
    assert row["first_answer_due"] == NOON + NORMAL.first_response


def test_waiting_for_somebody_else_goes_on_with_the_same_pause():
    third = WaitWithCase(case=CASE, waiting_for="third_party")
    row = row_after((OPEN, 0), (WAIT, 2), (third, 4), (RESUME, 7))
    assert row["resolution_due"] == NOON + NORMAL.resolution + timedelta(hours=5)


def test_while_it_waits_the_row_says_since_when():
    row = row_after((OPEN, 0), (WAIT, 2))
    assert (row["status"], row["paused_since"]) == ("waiting", at(2))


@pytest.mark.parametrize("end", [RESOLVE, CLOSE])
def test_a_pause_ends_with_the_case(end):
    row = row_after((OPEN, 0), (WAIT, 2), (end, 3))
    assert row["paused_since"] is None
    assert used(row, "resolution") == 2 * 3600


def test_a_pause_that_is_told_to_end_before_it_began_goes_on():
    """It happened before the pause: nothing ended it, so it still lasts."""
    row = row_after((OPEN, 0), (WAIT, 5), (RESUME, 2))
    assert (row["paused_since"], used(row, "resolution")) == (at(5), 5 * 3600)


def test_the_time_for_which_a_case_counted_as_done_is_not_held_against_it():
    row = row_after((OPEN, 0), (RESOLVE, 1), (CLOSE, 2), (REOPEN, 25))
    assert row["resolution_due"] == NOON + NORMAL.resolution + timedelta(hours=24)
    assert (row["status"], row["resolved_at"], row["closed_at"]) == ("open", None, None)
    assert row["reopened"] == 1


def test_a_case_that_was_closed_unresolved_and_reopened_goes_on_too():
    row = row_after((OPEN, 0), (CLOSE, 2), (REOPEN, 5), (RESOLVE, 6))
    assert row["resolution_due"] == NOON + NORMAL.resolution + timedelta(hours=3)
    assert row["resolved_at"] == at(6)


def test_the_row_tells_who_does_what_about_the_case():
    row = row_after(
        (OPEN, 0),
        (CategoriseCase(case=CASE, category="delivery"), 1),
        (AssignCase(case=CASE, agent="max", team="first line"), 1),
        (NoteCustomerMessage(case=CASE, message="Hello?"), 2),
        (NoteCustomerMessage(case=CASE, message="Anybody?"), 3),
        (EscalateCase(case=CASE, level=2, reason="angry"), 4),
    )
    assert (row["category"], row["agent"], row["team"]) == ("delivery", "max", "first line")
    assert (row["messages"], row["answers"], row["level"]) == (2, 0, 2)
    assert row["channel"] == "email"


@given(stories())
@bounded(60)
def test_clocks_and_columns_never_disagree(world):
    for row in sla_clocks.fold(world.history()).values():
        running = [clock for clock in row["clocks"] if clock["state"] == "running"]
        assert row["breach_due"] == min(
            (c["deadline"] for c in running if c["deadline"]), default=None
        )
        assert (row["status"] == "closed") == (row["closed_at"] is not None)
        for clock in row["clocks"]:
            assert clock["used"] >= 0
            assert clock["deadline"] is None or clock["deadline"] >= row["opened_at"]
            assert (clock["ended_at"] is None) == (clock["state"] in ("running", "paused"))
            if clock["target"] is not None and clock["breached_at"] is None:
                assert clock["used"] <= clock["target"]


def test_what_happens_to_a_case_has_the_names_that_triggers_use():
    assert {FACTS[kind.name] for kind in CaseEvent.__args__} >= KINDS
    assert FACTS["case.handed_over.v1"] == FACTS["case.assigned.v1"] == "assigned"


def test_terms_are_kept_without_what_goes_without_saying_and_are_the_same_terms():
    for terms in (DEFAULT, PROMISE.terms):
        whole = terms.model_dump_json()
        assert terms_of(terms.written) == terms_of(whole) == terms
        assert len(terms.written) < len(whole)


def test_equal_terms_of_many_cases_are_read_once():
    told = {"agreement": str(UUID(int=1)), "version": 1, "reason": "tier is gold"}
    one, other = (
        AgreementMatched.model_validate(told | {"terms": json.loads(PROMISE.terms.written)}).terms
        for _ in range(2)
    )
    assert one is other
    assert one == PROMISE.terms
