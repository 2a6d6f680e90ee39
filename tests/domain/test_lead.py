"""The rules of leads, one by one."""

from datetime import UTC, datetime

import pytest

from domain import lead as rules
from domain.lead import (
    ActivityDone,
    ActivityPlanned,
    Lead,
    LeadAssigned,
    LeadCaptured,
    LeadDisqualified,
    LeadLost,
    LeadQualified,
    LeadReopened,
    LeadScored,
    LeadStageMoved,
    LeadValueEstimated,
    LeadWon,
    Pipeline,
    PipelineStage,
)
from domain.values import Money
from tests.scenario import after, given

LEAD = Lead("10000000-0000-0000-0000-000000000000")
ANN = "a0000000-0000-0000-0000-000000000000"
BOB = "b0000000-0000-0000-0000-000000000000"
SALES = Pipeline("sales", (PipelineStage("new", 10), PipelineStage("offer", 60)))

CAPTURED = LeadCaptured(customer=ANN, source="fair", pipeline="sales", stage="new", probability=10)
VALUED = LeadValueEstimated(value=Money(amount=500_00, currency="EUR"))
WON = LeadWon(value=Money(amount=500_00, currency="EUR"))
LOST = LeadLost(reason="price")
DISQUALIFIED = LeadDisqualified(reason="a student")
CALL = ActivityPlanned(activity="call-1", kind="call", due=datetime(2026, 2, 1, tzinfo=UTC))
EUR_900 = Money(amount=900_00, currency="EUR")

WORK = [
    (rules.score, (50, "manual")),
    (rules.assign, ("mia", None)),
    (rules.plan_activity, (CALL,)),
    (rules.qualify, ()),
    (rules.disqualify, ("a student",)),
    (rules.move_stage, (SALES, "offer")),
    (rules.estimate_value, (EUR_900,)),
    (rules.win, (EUR_900,)),
    (rules.lose, ("price",)),
]
named = {"ids": lambda each: getattr(each, "__name__", "")}


@pytest.mark.parametrize(
    ("decide", "asked"),
    [*WORK, (rules.finish_activity, ("call-1", "reached")), (rules.reopen, ("again",))],
    **named,
)
def test_nothing_can_be_done_with_a_lead_that_nobody_has_captured(decide, asked):
    given(LEAD).when(decide, *asked).rejected("lead.unknown", "no such lead")


@pytest.mark.parametrize("decided", [WON, LOST, DISQUALIFIED], ids=lambda event: event.name)
@pytest.mark.parametrize(("decide", "asked"), WORK, **named)
def test_a_decided_lead_must_be_reopened_before_it_is_worked_on(decide, asked, decided):
    done = {(rules.lose, LOST), (rules.disqualify, DISQUALIFIED)}
    if (decide, decided) in done:
        given(LEAD, CAPTURED, decided).when(decide, *asked).then()
    else:
        given(LEAD, CAPTURED, decided).when(decide, *asked).rejected("lead.decided", "reopened")


@pytest.mark.parametrize("decided", [WON, LOST, DISQUALIFIED], ids=lambda event: event.name)
def test_a_reopened_lead_is_worked_on_again(decided):
    reopened = LeadReopened(reason="budget is back")
    given(LEAD, CAPTURED, decided).when(rules.reopen, "budget is back").then(reopened)
    given(LEAD, CAPTURED, decided, reopened).when(rules.score, 50, "manual").then(
        LeadScored(score=50, model="manual")
    )


def test_an_open_lead_need_not_be_reopened():
    given(LEAD, CAPTURED).when(rules.reopen, "?").then()


def test_a_lead_is_captured_once():
    given(LEAD).when(rules.capture, CAPTURED).then(CAPTURED)
    offer = CAPTURED.model_copy(update={"stage": "offer"})
    given(LEAD, CAPTURED).when(rules.capture, offer).then()


def test_a_lead_does_not_change_its_customer():
    bob = CAPTURED.model_copy(update={"customer": BOB})
    given(LEAD, CAPTURED).when(rules.capture, bob).rejected("lead.other_customer")


def test_a_score_that_has_not_changed_is_no_news():
    scored = LeadScored(score=50, model="manual")
    given(LEAD, CAPTURED).when(rules.score, 50, "manual").then(scored)
    given(LEAD, CAPTURED, scored).when(rules.score, 0, "night").then(
        LeadScored(score=0, model="night")
    )


def test_a_lead_has_one_owner_and_perhaps_a_territory():
    mia = LeadAssigned(owner="mia")
    given(LEAD, CAPTURED).when(rules.assign, "mia", None).then(mia)
    given(LEAD, CAPTURED, mia).when(rules.assign, "mia", "north").then(
        LeadAssigned(owner="mia", territory="north")
    )


def test_an_activity_is_planned_and_done_once():
    done = ActivityDone(activity="call-1", outcome="reached")
    given(LEAD, CAPTURED).when(rules.plan_activity, CALL).then(CALL)
    given(LEAD, CAPTURED, CALL).when(rules.finish_activity, "call-1", "reached").then(done)
    given(LEAD, CAPTURED, CALL, done).when(rules.finish_activity, "call-1", "other").then()
    given(LEAD, CAPTURED, CALL, done).when(rules.plan_activity, CALL).then()


def test_an_activity_may_be_told_after_the_lead_is_decided():
    given(LEAD, CAPTURED, CALL, LOST).when(rules.finish_activity, "call-1", "reached").then(
        ActivityDone(activity="call-1", outcome="reached")
    )


def test_only_a_planned_activity_can_be_done():
    given(LEAD, CAPTURED, CALL).when(rules.finish_activity, "visit-1", "met").rejected(
        "lead.activity_unknown", "visit-1"
    )


def test_a_lead_is_qualified_once():
    given(LEAD, CAPTURED).when(rules.qualify).then(LeadQualified())


def test_a_disqualified_lead_that_is_reopened_must_be_qualified_anew():
    history = [CAPTURED, LeadQualified(), DISQUALIFIED, LeadReopened(reason="again")]
    given(LEAD, *history).when(rules.qualify).then(LeadQualified())


def test_a_lead_that_was_lost_and_is_reopened_is_still_qualified():
    history = [CAPTURED, LeadQualified(), LOST, LeadReopened(reason="again")]
    given(LEAD, *history).when(rules.qualify).then()


def test_a_lead_is_disqualified_for_a_reason():
    given(LEAD, CAPTURED).when(rules.disqualify, "a student").then(DISQUALIFIED)


def test_a_lead_moves_forward_and_back_within_its_pipeline():
    offer = LeadStageMoved(stage="offer", probability=60)
    given(LEAD, CAPTURED).when(rules.move_stage, SALES, "offer").then(offer)
    given(LEAD, CAPTURED, offer).when(rules.move_stage, SALES, "new").then(
        LeadStageMoved(stage="new", probability=10)
    )


def test_a_lead_that_is_at_the_stage_already_does_not_move():
    given(LEAD, CAPTURED).when(rules.move_stage, SALES, "new").then()


def test_a_stage_must_exist_in_the_pipeline_and_the_refusal_names_those_that_do():
    given(LEAD, CAPTURED).when(rules.move_stage, SALES, "champagne").rejected(
        "lead.stage_unknown", "its stages are: new, offer."
    )


def test_a_value_is_estimated_when_it_changes():
    given(LEAD, CAPTURED).when(rules.estimate_value, VALUED.value).then(VALUED)
    given(LEAD, CAPTURED, VALUED).when(rules.estimate_value, EUR_900).then(
        LeadValueEstimated(value=EUR_900)
    )
    usd = Money(amount=500_00, currency="USD")
    given(LEAD, CAPTURED, VALUED).when(rules.estimate_value, usd).then(
        LeadValueEstimated(value=usd)
    )


def test_a_lead_is_won_for_what_was_paid_or_else_for_what_was_estimated():
    given(LEAD, CAPTURED, VALUED).when(rules.win, EUR_900).then(LeadWon(value=EUR_900))
    given(LEAD, CAPTURED, VALUED).when(rules.win, None).then(LeadWon(value=VALUED.value))


def test_a_deal_may_be_worth_nothing_but_not_be_without_a_value():
    nothing = Money(amount=0, currency="EUR")
    given(LEAD, CAPTURED).when(rules.win, nothing).then(LeadWon(value=nothing))
    given(LEAD, CAPTURED).when(rules.win, None).rejected("lead.value_missing", "without a value")


def test_a_won_lead_is_not_won_again_for_another_value():
    given(LEAD, CAPTURED, WON).when(rules.win, WON.value).then()
    given(LEAD, CAPTURED, WON).when(rules.win, None).then()
    given(LEAD, CAPTURED, WON).when(rules.win, EUR_900).rejected("lead.decided", "A won lead")


def test_a_lead_is_lost_for_a_reason():
    given(LEAD, CAPTURED).when(rules.lose, "price").then(LOST)


def test_a_lead_keeps_what_later_decisions_need():
    mia = LeadAssigned(owner="mia", territory="north")
    history = [CAPTURED, LeadScored(score=7, model="m"), mia, LeadQualified(), CALL, VALUED]
    moved = LeadStageMoved(stage="offer", probability=60)
    assert after(LEAD, *history, moved, WON) == Lead(
        id=LEAD.id,
        customer=ANN,
        status="won",
        qualified=True,
        pipeline="sales",
        stage="offer",
        score=7,
        owner=("mia", "north"),
        value=WON.value,
        activities={"call-1": None},
    )
