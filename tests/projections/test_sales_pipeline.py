"""What is in the pipeline: one row per lead, from which the time in each stage follows."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given

from commands.command import ByEmail, ByExternalId
from commands.leads import (
    AssignLead,
    CaptureLead,
    DisqualifyLead,
    EstimateValue,
    FinishActivity,
    LoseLead,
    MoveLead,
    PlanActivity,
    QualifyLead,
    ReopenLead,
    ScoreLead,
    WinLead,
)
from projections.sales_pipeline import GROUPS, PERIODS, sales_pipeline, summary
from tests.strategies import bounded, stories
from tests.world import NOON, World

LEAD = ByExternalId(system="desk", id="1")
EUR_5 = {"amount": 500, "currency": "EUR"}
CAPTURE = CaptureLead(
    lead=LEAD, customer=ByEmail(email="ann@example.org"), source="fair", campaign="spring"
)


def row_after(*asked):
    """The lead's row after commands, each asked at an hour counted from noon."""
    world = World()
    world.now += timedelta(days=30)
    for command, hour in asked:
        assert world.ask(command, at=NOON + timedelta(hours=hour)).status == "accepted"
    (row,) = sales_pipeline.fold(world.history()).values()
    return row


def hours_in_stages(row, until):
    """The time in each stage: from when it was entered until the next one was."""
    entered = sorted((datetime.fromisoformat(s["entered_at"]), s["stage"]) for s in row["stages"])
    ends = [at for at, _ in entered[1:]] + [row["decided_at"] or NOON + timedelta(hours=until)]
    hours = {}
    for (start, stage), end in zip(entered, ends, strict=True):
        hours[stage] = hours.get(stage, 0) + (end - start) / timedelta(hours=1)
    return hours


def test_a_captured_lead_is_at_its_stage():
    row = row_after((CAPTURE, 0))
    assert row["status"] == "open"
    assert (row["stage"], row["probability"], row["stage_since"]) == ("new", 10, NOON)
    assert (row["source"], row["campaign"], row["product"]) == ("fair", "spring", None)
    assert row["captured_at"] == NOON
    assert row["decided_at"] is None


def test_the_time_in_each_stage_follows_from_the_row():
    to_offer, back = MoveLead(lead=LEAD, stage="offer"), MoveLead(lead=LEAD, stage="new")
    row = row_after((CAPTURE, 0), (to_offer, 2), (back, 5), (to_offer, 6))
    assert hours_in_stages(row, until=10) == {"new": 3, "offer": 7}
    assert (row["stage"], row["stage_since"]) == ("offer", NOON + timedelta(hours=6))


def test_the_time_in_the_last_stage_ends_with_the_decision():
    to_offer, won = MoveLead(lead=LEAD, stage="offer"), WinLead(lead=LEAD, value=EUR_5)
    row = row_after((CAPTURE, 0), (to_offer, 2), (won, 8))
    assert hours_in_stages(row, until=100) == {"new": 2, "offer": 6}


def test_a_stage_that_is_told_late_takes_its_time_from_the_others_but_stays_where_it_was_put():
    """The stage is what was decided last; how long each lasted follows from when it happened."""
    to_offer, back = MoveLead(lead=LEAD, stage="offer"), MoveLead(lead=LEAD, stage="new")
    row = row_after((CAPTURE, 0), (to_offer, 8), (back, 4))
    assert row["stage"] == "new"
    assert hours_in_stages(row, until=10) == {"new": 8, "offer": 2}


@given(stories())
@bounded(60)
def test_the_times_in_the_stages_are_never_negative_and_fill_the_whole_time(world):
    for row in sales_pipeline.fold(world.history()).values():
        first = min(datetime.fromisoformat(s["entered_at"]) for s in row["stages"])
        last = max(datetime.fromisoformat(s["entered_at"]) for s in row["stages"])
        if row["decided_at"] is None or row["decided_at"] >= last:
            hours = hours_in_stages(row, until=24)
            end = row["decided_at"] or NOON + timedelta(hours=24)
            assert min(hours.values()) >= 0
            assert sum(hours.values()) == pytest.approx((end - first) / timedelta(hours=1))


def test_work_on_a_lead_shows():
    due = NOON + timedelta(days=1)
    plan = PlanActivity(lead=LEAD, activity="call-1", kind="call", due=due, note="ask for Ann")
    row = row_after(
        (CAPTURE, 0),
        (ScoreLead(lead=LEAD, score=70), 1),
        (AssignLead(lead=LEAD, owner="mia", territory="north"), 2),
        (plan, 3),
        (FinishActivity(lead=LEAD, activity="call-1", outcome="reached"), 4),
        (QualifyLead(lead=LEAD), 5),
        (EstimateValue(lead=LEAD, value=EUR_5), 6),
    )
    assert (row["score"], row["owner"], row["territory"]) == (70, "mia", "north")
    assert (row["amount"], row["currency"], row["qualified"]) == (500, "EUR", True)
    assert row["activities"] == {
        "call-1": {"kind": "call", "due": due.isoformat(), "outcome": "reached"}
    }


@pytest.mark.parametrize(
    ("decision", "status", "reason"),
    [
        (WinLead(lead=LEAD, value=EUR_5), "won", None),
        (LoseLead(lead=LEAD, reason="price"), "lost", "price"),
        (DisqualifyLead(lead=LEAD, reason="a student"), "disqualified", "a student"),
    ],
)
def test_a_decided_lead_tells_how_when_and_why_until_it_is_reopened(decision, status, reason):
    row = row_after((CAPTURE, 0), (decision, 3))
    assert (row["status"], row["reason"]) == (status, reason)
    assert row["decided_at"] == NOON + timedelta(hours=3)
    again = row_after((CAPTURE, 0), (decision, 3), (ReopenLead(lead=LEAD, reason="call back"), 5))
    assert (again["status"], again["reason"], again["decided_at"]) == ("open", None, None)


def test_a_won_lead_is_worth_what_was_paid():
    won = WinLead(lead=LEAD, value={"amount": 900, "currency": "USD"})
    row = row_after((CAPTURE, 0), (EstimateValue(lead=LEAD, value=EUR_5), 1), (won, 2))
    assert (row["amount"], row["currency"]) == (900, "USD")


def test_totals_are_grouped_by_what_is_known_and_by_nothing_else():
    assert all(name in summary(name) for name in (*GROUPS, *PERIODS))
    with pytest.raises(ValueError, match="not by customer"):
        summary("customer")
    with pytest.raises(ValueError, match="not by"):
        summary("1; DROP TABLE read.sales_pipeline")
