"""The life of churn alerts, rule by rule."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from domain import churn_alert as rules
from domain import segment, value_model
from domain.assessment import Assessment, Reason
from domain.churn_alert import (
    ChurnAlertAssigned,
    ChurnAlertPlayChosen,
    ChurnAlertRaised,
    ChurnAlertReviewed,
    ChurnAlerts,
    ChurnAlertsAllowed,
    ChurnAlertSettled,
    ChurnAlertsSuppressed,
    ExitInterviewHeld,
)
from domain.retention_policy import RetentionPolicy, RetentionPolicyHeld, RetentionPolicySet
from domain.retention_policy import set_policy as set_it
from domain.segment import Membership, SegmentAssigned
from domain.value_model import ValueModel, ValueModelFitted
from domain.values import Money
from tests.scenario import given

ANN = "a0000000-0000-0000-0000-000000000000"
FIRST = "f1000000-0000-0000-0000-000000000000"
SECOND = "f2000000-0000-0000-0000-000000000000"
NONE = ChurnAlerts("c0000000-0000-0000-0000-000000000000", ANN)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
COOL_DOWN = timedelta(days=30)


def day(number: float) -> datetime:
    return BEGIN + timedelta(days=number)


def raised(alert: str = FIRST, at: float = 0) -> ChurnAlertRaised:
    reasons = (
        Reason(code="probably_left", points=70, numbers={"silent_days": 84.0}),
        Reason(code="buys_rarely", points=11, numbers={"purchases": 3.0}),
    )
    return ChurnAlertRaised(
        customer=ANN,
        alert=alert,
        rule="silent",
        policy_version=1,
        assessment=Assessment(score=81, basis="mbg_nbd 1", reasons=reasons),
        value_at_risk=Money(amount=12_000, currency="EUR"),
        assessed_at=day(at),
        due_at=day(at + 7),
        watch_until=day(at + 100),
    )


def play(name: str, at: float, alert: str = FIRST) -> ChurnAlertPlayChosen:
    return ChurnAlertPlayChosen.model_validate({"alert": alert, "play": name, "at": day(at)})


def settled(outcome: str, at: float, proof: str = "purchase") -> ChurnAlertSettled:
    told = {"alert": FIRST, "outcome": outcome, "proof": proof, "proven_at": day(at)}
    return ChurnAlertSettled.model_validate(told | {"cool_down_until": day(at) + COOL_DOWN})


ASSIGNED = ChurnAlertAssigned(alert=FIRST, agent="kim", team="save")
LOST = settled("lost", 100, "silence")


def test_an_alert_is_raised_once() -> None:
    given(NONE).when(rules.raise_alert, raised()).then(raised())
    given(NONE, raised(), LOST).when(rules.raise_alert, raised()).then()


def test_reasons_that_do_not_sum_to_the_score_are_refused() -> None:
    with pytest.raises(ValidationError, match="must sum to the score"):
        Assessment(score=5, basis="x", reasons=(Reason(code="a", points=4, numbers={}),))


def test_no_second_alert_while_one_is_open() -> None:
    asked = given(NONE, raised(), ASSIGNED).when(rules.raise_alert, raised(SECOND, 50))
    asked.rejected("churn_alert.open", FIRST)


def test_after_an_outcome_alerts_cool_down() -> None:
    history = (raised(), settled("false_alarm", 20))
    given(NONE, *history).when(rules.raise_alert, raised(SECOND, 49)).rejected(
        "churn_alert.cooling_down", day(50).isoformat()
    )
    given(NONE, *history).when(rules.raise_alert, raised(SECOND, 50)).then(raised(SECOND, 50))


@pytest.mark.parametrize("ground", ["objection", "restriction"])
def test_no_conclusions_about_who_objects_or_is_restricted(ground: rules.Ground) -> None:
    told = ChurnAlertsSuppressed(customer=ANN, ground=ground)
    given(NONE).when(rules.suppress, ground).then(told)
    given(NONE, told).when(rules.raise_alert, raised()).rejected("churn_alert.suppressed", ground)
    allowed = ChurnAlertsAllowed(customer=ANN, ground=ground)
    given(NONE, told).when(rules.allow, ground).then(allowed)
    given(NONE, told, allowed).when(rules.raise_alert, raised()).then(raised())
    given(NONE).when(rules.allow, ground).then()


def test_one_ground_is_enough() -> None:
    grounds: tuple[rules.Ground, ...] = ("objection", "restriction")
    both = [ChurnAlertsSuppressed(customer=ANN, ground=ground) for ground in grounds]
    gone = ChurnAlertsAllowed(customer=ANN, ground="objection")
    given(NONE, *both, gone).when(rules.raise_alert, raised()).rejected("churn_alert.suppressed")


def test_somebody_becomes_responsible() -> None:
    given(NONE, raised()).when(rules.assign, FIRST, "kim", "save").then(ASSIGNED)
    given(NONE).when(rules.assign, FIRST, "kim", None).rejected("churn_alert.unknown")
    given(NONE, raised(), LOST).when(rules.assign, FIRST, "kim", None).rejected(
        "churn_alert.settled"
    )


def test_a_play_needs_somebody_and_may_be_changed() -> None:
    given(NONE, raised()).when(rules.choose_play, play("call", 3)).rejected(
        "churn_alert.unassigned"
    )
    given(NONE, raised(), ASSIGNED).when(rules.choose_play, play("call", 3)).then(play("call", 3))
    history = (raised(), ASSIGNED, play("call", 3))
    given(NONE, *history).when(rules.choose_play, play("voucher", 5)).then(play("voucher", 5))


@pytest.mark.parametrize(
    ("chosen", "bought", "outcome"),
    [
        ((), 20, "false_alarm"),
        ((play("none", 3),), 20, "false_alarm"),
        ((play("call", 25),), 20, "false_alarm"),
        ((play("call", 3),), 20, "saved"),
        ((play("voucher", 3),), 100, "saved"),
    ],
)
def test_a_purchase_after_a_play_is_a_save(
    chosen: tuple[ChurnAlertPlayChosen, ...], bought: float, outcome: str
) -> None:
    alerts = given(NONE, raised(), ASSIGNED, *chosen)
    asked = alerts.when(rules.settle, FIRST, "purchase", day(bought), COOL_DOWN)
    asked.then(settled(outcome, bought))


@pytest.mark.parametrize("bought", [0, -3, 100.5])
def test_a_purchase_outside_the_watch_proves_nothing(bought: float) -> None:
    asked = given(NONE, raised()).when(rules.settle, FIRST, "purchase", day(bought), COOL_DOWN)
    asked.rejected("churn_alert.not_proven")


def test_silence_to_the_end_of_the_watch_means_lost() -> None:
    history = (raised(), ASSIGNED, play("call", 3))
    early = given(NONE, *history).when(rules.settle, FIRST, "silence", day(99), COOL_DOWN)
    early.rejected("churn_alert.too_early")
    given(NONE, *history).when(rules.settle, FIRST, "silence", day(100), COOL_DOWN).then(LOST)


def test_a_person_may_overturn_what_the_machine_concluded() -> None:
    upheld = ChurnAlertReviewed(alert=FIRST, reviewer="lee", upheld=True)
    given(NONE, raised()).when(rules.review, upheld, day(2)).then(upheld)
    no = ChurnAlertReviewed(alert=FIRST, reviewer="lee", upheld=False)
    ended = ChurnAlertSettled(
        alert=FIRST,
        outcome="overturned",
        proof="review",
        proven_at=day(2),
        cool_down_until=day(100),
    )
    given(NONE, raised(), upheld).when(rules.review, no, day(2)).then(no, ended)


def test_only_who_left_tells_why() -> None:
    held = ExitInterviewHeld(
        alert=FIRST,
        answers={"main_reason": "price", "first_sign": "service"},
        words={"main_reason": "Too dear."},
    )
    given(NONE, raised(), LOST).when(rules.hold_exit_interview, held).then(held)
    given(NONE, raised()).when(rules.hold_exit_interview, held).rejected("churn_alert.not_lost")
    unknown = ExitInterviewHeld(alert=FIRST, answers={"shoe_size": "other"})
    given(NONE, raised(), LOST).when(rules.hold_exit_interview, unknown).rejected(
        "churn_alert.question_unknown", "main_reason"
    )


def test_the_words_of_an_interview_are_personal_and_the_drivers_are_not() -> None:
    assert ExitInterviewHeld.personal == {"words": "content"}


# ---- Facts about the organisation, and segments --------------------------------------------------


def test_a_policy_has_versions() -> None:
    first, second = RetentionPolicy(currency="EUR"), RetentionPolicy(currency="USD")
    held = RetentionPolicyHeld("d0000000-0000-0000-0000-000000000000")
    one = RetentionPolicySet(version=1, policy=first)
    given(held).when(set_it, first).then(one)
    given(held, one).when(set_it, second).then(RetentionPolicySet(version=2, policy=second))


def test_a_fit_has_versions_unless_nothing_changed() -> None:
    model = ValueModel("e0000000-0000-0000-0000-000000000000")
    fitted = ValueModelFitted(
        model="mbg_nbd",
        version=0,
        data_from=day(0),
        data_until=day(270),
        parameters={"r": 0.5, "alpha": 6.2, "a": 0.9, "b": 1.6},
        log_likelihood=-9582.1,
        customers=2357,
        iterations=20,
        diagnostics={"repeats_ratio": 1.008},
    )
    first = fitted.model_copy(update={"version": 1})
    given(model).when(value_model.fit, fitted).then(first)
    later = fitted.model_copy(update={"data_until": day(300)})
    second = later.model_copy(update={"version": 2})
    given(model, first).when(value_model.fit, later).then(second)


def test_a_segment_changes_only_when_it_is_another() -> None:
    membership = Membership("b0000000-0000-0000-0000-000000000000", ANN)
    vip = SegmentAssigned(customer=ANN, segment="vip", policy_version=1)
    given(membership).when(segment.assign, vip).then(vip)
    again = SegmentAssigned(customer=ANN, segment="vip", policy_version=2)
    given(membership, vip).when(segment.assign, again).then()
