"""The rules of cases, one by one."""

import pytest

from domain import case as rules
from domain.case import (
    AgentAnswered,
    Case,
    CaseAssigned,
    CaseCategorised,
    CaseClosed,
    CaseEscalated,
    CaseLinked,
    CaseOpened,
    CasePriorityChanged,
    CaseReopened,
    CaseResolved,
    CaseResumed,
    CaseWaiting,
    CustomerWrote,
    MarkReached,
)
from tests.scenario import after, given
from tests.world import NOON

CASE = Case("ca000000-0000-0000-0000-000000000000")
OTHER = Case("cb000000-0000-0000-0000-000000000000")
ANN = "a0000000-0000-0000-0000-000000000000"
BOB = "b0000000-0000-0000-0000-000000000000"

OPENED = CaseOpened(customer=ANN, channel="email", category="billing", priority="normal")
WAITING = CaseWaiting(waiting_for="customer")
RESOLVED = CaseResolved(resolution="solved")
CLOSED = CaseClosed()
REOPENED = CaseReopened(reason="not solved")
OTHER_OPENED = after(OTHER, OPENED)

BEFORE_IT_IS_RESOLVED = [
    (rules.change_priority, ("urgent",)),
    (rules.wait, ("customer",)),
    (rules.resume, ()),
    (rules.escalate, (1, "angry")),
]
BEFORE_IT_IS_CLOSED = [
    *BEFORE_IT_IS_RESOLVED,
    (rules.categorise, ("delivery",)),
    (rules.assign, ("max", "first line")),
    (rules.customer_wrote, ("Hello?",)),
    (rules.agent_answered, ("max", "Hello!")),
    (rules.resolve, ("solved",)),
    (rules.link, (OTHER_OPENED, "follows")),
]
named = {"ids": lambda each: getattr(each, "__name__", "")}


@pytest.mark.parametrize(
    ("decide", "asked"),
    [*BEFORE_IT_IS_CLOSED, (rules.reopen, ("not solved",)), (rules.close, ())],
    **named,
)
def test_nothing_can_be_done_with_a_case_that_nobody_has_opened(decide, asked):
    given(CASE).when(decide, *asked).rejected("case.unknown", "no such case")


@pytest.mark.parametrize("resolved", [[], [RESOLVED]], ids=["unresolved", "resolved"])
@pytest.mark.parametrize(("decide", "asked"), BEFORE_IT_IS_CLOSED, **named)
def test_a_closed_case_takes_nothing_but_reopening(decide, asked, resolved):
    given(CASE, OPENED, *resolved, CLOSED).when(decide, *asked).rejected("case.closed")


@pytest.mark.parametrize(("decide", "asked"), BEFORE_IT_IS_RESOLVED, **named)
def test_a_resolved_case_must_be_reopened_before_it_is_worked_on(decide, asked):
    given(CASE, OPENED, RESOLVED).when(decide, *asked).rejected("case.resolved", "reopened")


def test_a_case_is_opened_once():
    given(CASE).when(rules.open_case, OPENED).then(OPENED)
    urgent = OPENED.model_copy(update={"priority": "urgent"})
    given(CASE, OPENED).when(rules.open_case, urgent).then()
    given(CASE, OPENED, CLOSED).when(rules.open_case, OPENED).then()


def test_a_case_does_not_change_its_customer():
    bob = OPENED.model_copy(update={"customer": BOB})
    given(CASE, OPENED).when(rules.open_case, bob).rejected("case.other_customer")


def test_a_case_is_categorised_when_the_category_changes():
    given(CASE, OPENED).when(rules.categorise, "delivery").then(
        CaseCategorised(category="delivery")
    )
    given(CASE, OPENED).when(rules.categorise, "billing").then()


def test_the_priority_may_rise_and_fall():
    given(CASE, OPENED).when(rules.change_priority, "urgent").then(
        CasePriorityChanged(priority="urgent")
    )
    given(CASE, OPENED).when(rules.change_priority, "low").then(CasePriorityChanged(priority="low"))
    given(CASE, OPENED).when(rules.change_priority, "normal").then()
    urgent = OPENED.model_copy(update={"priority": "urgent"})
    given(CASE, urgent).when(rules.change_priority, "urgent").then()


def test_somebody_is_responsible_alone_or_within_a_team():
    max_alone = CaseAssigned(agent="max")
    given(CASE, OPENED).when(rules.assign, "max", None).then(max_alone)
    given(CASE, OPENED, max_alone).when(rules.assign, "max", "first line").then(
        CaseAssigned(agent="max", team="first line")
    )


@pytest.mark.parametrize("history", [[], [WAITING], [RESOLVED]])
def test_every_message_counts_until_the_case_is_closed(history):
    given(CASE, OPENED, *history).when(rules.customer_wrote, "Hello?").then_each_time(
        CustomerWrote(message="Hello?")
    )
    given(CASE, OPENED, *history).when(rules.agent_answered, "max", "Hello!").then_each_time(
        AgentAnswered(agent="max", message="Hello!")
    )


def test_a_case_waits_for_one_party_at_a_time():
    given(CASE, OPENED).when(rules.wait, "customer").then(WAITING)
    given(CASE, OPENED, WAITING).when(rules.wait, "third_party").then(
        CaseWaiting(waiting_for="third_party")
    )


def test_a_waiting_case_goes_on_and_any_other_need_not():
    given(CASE, OPENED, WAITING).when(rules.resume).then(CaseResumed())
    given(CASE, OPENED).when(rules.resume).then()


@pytest.mark.parametrize("ended", [CaseResumed(), RESOLVED, CLOSED])
def test_a_case_that_waited_may_wait_again(ended):
    reopened = [] if ended == CaseResumed() else [REOPENED]
    given(CASE, OPENED, WAITING, ended, *reopened).when(rules.wait, "customer").then(WAITING)


def test_escalation_only_rises():
    level_1, level_2 = (CaseEscalated(level=n, reason="angry") for n in (1, 2))
    given(CASE, OPENED).when(rules.escalate, 1, "angry").then(level_1)
    given(CASE, OPENED).when(rules.escalate, 2, "angry").then(level_2)
    given(CASE, OPENED, level_2).when(rules.escalate, 3, "press").then(
        CaseEscalated(level=3, reason="press")
    )
    given(CASE, OPENED, level_2).when(rules.escalate, 2, "again").then()
    given(CASE, OPENED, level_2).when(rules.escalate, 1, "calm").rejected(
        "case.level_lower", "at level 2; it cannot go down to 1"
    )


@pytest.mark.parametrize("history", [[], [WAITING], [CaseEscalated(level=1, reason="angry")]])
def test_a_case_is_resolved_once(history):
    given(CASE, OPENED, *history).when(rules.resolve, "solved").then(RESOLVED)


@pytest.mark.parametrize("done", [[RESOLVED], [CLOSED], [RESOLVED, CLOSED]])
def test_a_resolved_or_closed_case_can_be_reopened(done):
    given(CASE, OPENED, *done).when(rules.reopen, "not solved").then(REOPENED)
    given(CASE, OPENED, *done, REOPENED).when(rules.resolve, "solved").then(RESOLVED)


@pytest.mark.parametrize("history", [[], [WAITING]])
def test_a_case_that_is_worked_on_need_not_be_reopened(history):
    given(CASE, OPENED, *history).when(rules.reopen, "?").then()


@pytest.mark.parametrize("history", [[], [WAITING], [RESOLVED]])
def test_a_case_may_be_closed_at_any_time_resolved_or_not(history):
    given(CASE, OPENED, *history).when(rules.close).then(CLOSED)


FOLLOWS = CaseLinked(other=OTHER.id, relation="follows")


def test_a_case_is_linked_to_another_in_several_ways():
    given(CASE, OPENED).when(rules.link, OTHER_OPENED, "follows").then(FOLLOWS)
    given(CASE, OPENED, FOLLOWS).when(rules.link, OTHER_OPENED, "duplicates").then(
        CaseLinked(other=OTHER.id, relation="duplicates")
    )


def test_a_case_may_be_linked_to_a_closed_one():
    given(CASE, OPENED).when(rules.link, after(OTHER, OPENED, CLOSED), "follows").then(FOLLOWS)


def test_a_case_is_not_linked_to_one_that_nobody_has_opened():
    given(CASE, OPENED).when(rules.link, OTHER, "follows").rejected("case.unknown")


def test_a_case_is_not_linked_to_itself():
    given(CASE, OPENED).when(rules.link, after(CASE, OPENED), "follows").rejected("case.link_self")


def test_a_mark_is_reached_only_by_a_case_of_which_all_was_seen():
    mark = MarkReached(clock="resolution", instance=1, mark="breached", due=NOON)
    given(CASE, OPENED).when(rules.reach_mark, mark, 1).then_each_time(mark)
    given(CASE, OPENED, WAITING).when(rules.reach_mark, mark, 1).rejected("case.moved")
    given(CASE).when(rules.reach_mark, mark, 0).rejected("case.unknown")


def test_a_case_keeps_what_later_decisions_need():
    history = [
        OPENED,
        CaseCategorised(category="delivery"),
        CasePriorityChanged(priority="high"),
        CaseAssigned(agent="max", team="first line"),
        CaseEscalated(level=2, reason="angry"),
        FOLLOWS,
        WAITING,
    ]
    assert after(CASE, *history) == Case(
        id=CASE.id,
        customer=ANN,
        status="waiting",
        channel="email",
        category="delivery",
        priority="high",
        assigned=("max", "first line"),
        waiting_for="customer",
        level=2,
        links=frozenset({(OTHER.id, "follows")}),
        events=7,
    )
