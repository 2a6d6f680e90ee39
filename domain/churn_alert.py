"""A churn alert: a customer may be leaving, and somebody has to do something about it.

The alerts of a customer are one stream, so that no second one is raised while one is open. An
alert ends with an outcome that what the customer did afterwards proves, not what anybody thinks.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, assert_never

from pydantic import Field

from domain.assessment import Assessment
from domain.events import Event
from domain.personal import ContentFields, ContentText
from domain.rejected import Rejected
from domain.values import Id, Instant, Label, Money

Play = Literal["call", "voucher", "service_recovery", "none"]
Outcome = Literal["saved", "lost", "false_alarm", "overturned"]
Proof = Literal["purchase", "silence", "review"]
Ground = Literal["objection", "restriction"]
Driver = Literal[
    "price", "product", "service", "competitor", "need_ended", "relationship", "payment", "other"
]
QUESTIONS: dict[str, str] = {
    "main_reason": "What was the main reason for leaving?",
    "second_reason": "What else played a part?",
    "first_sign": "What was the first thing that disappointed you?",
    "would_return": "What would have to change for you to come back?",
}
"""The exit interview: each answer is coded into a driver; the words themselves are personal."""

# ---- Events: the names and fields are a storage format -------------------------------------------


class ChurnAlertRaised(Event, name="churn_alert.raised.v1"):
    """A customer may be leaving; `watch_until` is when the silence is long enough to be sure."""

    customer: Id
    alert: Id
    rule: Label
    policy_version: int
    assessment: Assessment
    value_at_risk: Money | None = None
    segment: Label | None = None
    assessed_at: Instant
    due_at: Instant
    watch_until: Instant


class ChurnAlertAssigned(Event, name="churn_alert.assigned.v1"):
    """Somebody of the save team is responsible now."""

    alert: Id
    agent: Label
    team: Label | None = None


class ChurnAlertPlayChosen(Event, name="churn_alert.play_chosen.v1"):
    """This is what we do about it."""

    alert: Id
    play: Play
    at: Instant
    note: ContentText = ""


class ChurnAlertReviewed(Event, name="churn_alert.reviewed.v1"):
    """A person looked at what the machine had concluded, and let it stand or not."""

    alert: Id
    reviewer: Label
    upheld: bool
    note: ContentText = ""


class ChurnAlertSettled(Event, name="churn_alert.settled.v1"):
    """What became of it, and what proves it."""

    alert: Id
    outcome: Outcome
    proof: Proof
    proven_at: Instant
    cool_down_until: Instant


class ExitInterviewHeld(Event, name="churn_alert.exit_interview_held.v1"):
    """A customer who left told why: a driver for each question, and the words."""

    alert: Id
    answers: dict[Label, Driver]
    words: ContentFields = Field(default_factory=dict)


class ChurnAlertsSuppressed(Event, name="churn_alert.suppressed.v1"):
    """No automatic conclusions about this customer from now on."""

    customer: Id
    ground: Ground


class ChurnAlertsAllowed(Event, name="churn_alert.allowed.v1"):
    """That ground does not exist any more."""

    customer: Id
    ground: Ground


ChurnAlertEvent = (
    ChurnAlertRaised
    | ChurnAlertAssigned
    | ChurnAlertPlayChosen
    | ChurnAlertReviewed
    | ChurnAlertSettled
    | ExitInterviewHeld
    | ChurnAlertsSuppressed
    | ChurnAlertsAllowed
)

# ---- State: only what later decisions need -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """The one alert that is being worked on."""

    id: str
    assessed_at: datetime
    watch_until: datetime
    assigned: tuple[str, str | None] | None = None
    play: tuple[Play, datetime] | None = None
    reviewed: tuple[str, bool] | None = None


@dataclass(frozen=True, slots=True)
class ChurnAlerts:
    """All alerts about one customer, as the next decision sees them."""

    id: str
    customer: str = ""
    open: OpenAlert | None = None
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    interviewed: frozenset[str] = frozenset()
    cool_down_until: datetime | None = None
    grounds: frozenset[Ground] = frozenset()


def evolve(alerts: ChurnAlerts, event: ChurnAlertEvent) -> ChurnAlerts:
    """What the alerts are after the event."""
    match event:
        case ChurnAlertRaised():
            opened = OpenAlert(event.alert, event.assessed_at, event.watch_until)
            return replace(alerts, customer=event.customer, open=opened)
        case ChurnAlertAssigned():
            return working_on(alerts, assigned=(event.agent, event.team))
        case ChurnAlertPlayChosen():
            return working_on(alerts, play=(event.play, event.at))
        case ChurnAlertReviewed():
            return working_on(alerts, reviewed=(event.reviewer, event.upheld))
        case ChurnAlertSettled():
            outcomes = {**alerts.outcomes, event.alert: event.outcome}
            until = event.cool_down_until
            return replace(alerts, open=None, outcomes=outcomes, cool_down_until=until)
        case ExitInterviewHeld():
            return replace(alerts, interviewed=alerts.interviewed | {event.alert})
        case ChurnAlertsSuppressed():
            return replace(alerts, customer=event.customer, grounds=alerts.grounds | {event.ground})
        case ChurnAlertsAllowed():
            return replace(alerts, grounds=alerts.grounds - {event.ground})
    assert_never(event)


def working_on(alerts: ChurnAlerts, **changed: object) -> ChurnAlerts:
    """Change the open alert."""
    opened = alerts.open
    return alerts if opened is None else replace(alerts, open=replace(opened, **changed))  # type: ignore[arg-type]


# ---- Decisions: asked twice, nothing new happens -------------------------------------------------


def must_be_open(alerts: ChurnAlerts, alert: str) -> OpenAlert:
    """Refuse to work on an alert that is not open."""
    if alerts.open is None or alerts.open.id != alert:
        if alert in alerts.outcomes:
            raise Rejected("churn_alert.settled", "This alert is settled.")
        raise Rejected("churn_alert.unknown", "There is no such alert for this customer.")
    return alerts.open


def raise_alert(alerts: ChurnAlerts, raised: ChurnAlertRaised) -> list[ChurnAlertEvent]:
    """Raise an alert, unless one is open, cools down, or must not be."""
    if raised.alert in alerts.outcomes or (alerts.open and alerts.open.id == raised.alert):
        return []
    if alerts.open is not None:
        raise Rejected("churn_alert.open", f"Alert {alerts.open.id} is still open.")
    if alerts.grounds:
        told = " and ".join(sorted(alerts.grounds))
        raise Rejected("churn_alert.suppressed", f"No alerts about this customer: {told}.")
    until = alerts.cool_down_until
    if until is not None and raised.assessed_at < until:
        raise Rejected("churn_alert.cooling_down", f"No new alert before {until.isoformat()}.")
    return [raised]


def assign(alerts: ChurnAlerts, alert: str, agent: str, team: str | None) -> list[ChurnAlertEvent]:
    """Make somebody responsible."""
    if must_be_open(alerts, alert).assigned == (agent, team):
        return []
    return [ChurnAlertAssigned(alert=alert, agent=agent, team=team)]


def choose_play(alerts: ChurnAlerts, chosen: ChurnAlertPlayChosen) -> list[ChurnAlertEvent]:
    """Say what we do about it; a second thought replaces the first."""
    opened = must_be_open(alerts, chosen.alert)
    if opened.play is not None and opened.play[0] == chosen.play:
        return []
    if opened.assigned is None:
        raise Rejected("churn_alert.unassigned", "Somebody must be responsible for a play first.")
    return [chosen]


def review(
    alerts: ChurnAlerts, reviewed: ChurnAlertReviewed, at: datetime
) -> list[ChurnAlertEvent]:
    """Let a person confirm or overturn what the machine concluded (GDPR 22)."""
    if not reviewed.upheld and alerts.outcomes.get(reviewed.alert) == "overturned":
        return []
    opened = must_be_open(alerts, reviewed.alert)
    if opened.reviewed == (reviewed.reviewer, reviewed.upheld):
        return []
    if reviewed.upheld:
        return [reviewed]
    settled = ChurnAlertSettled(
        alert=reviewed.alert,
        outcome="overturned",
        proof="review",
        proven_at=at,
        cool_down_until=opened.watch_until,
    )
    return [reviewed, settled]


def settle(
    alerts: ChurnAlerts, alert: str, proof: Proof, at: datetime, cool_down: timedelta
) -> list[ChurnAlertEvent]:
    """Conclude an alert from what the customer did.

    A purchase after a play saved the customer; one without was a false alarm. Silence until the
    end of the watch means lost.
    """
    if alert in alerts.outcomes:
        return []
    opened = must_be_open(alerts, alert)
    if proof == "silence":
        if at < opened.watch_until:
            raise Rejected("churn_alert.too_early", "The customer may still come back.")
        outcome: Outcome = "lost"
    elif not opened.assessed_at < at <= opened.watch_until:
        raise Rejected("churn_alert.not_proven", "The purchase lies outside the time watched.")
    else:
        outcome = "saved" if acted_before(opened, at) else "false_alarm"
    return [
        ChurnAlertSettled(
            alert=alert, outcome=outcome, proof=proof, proven_at=at, cool_down_until=at + cool_down
        )
    ]


def acted_before(opened: OpenAlert, at: datetime) -> bool:
    """Tell whether something was done before the customer came back."""
    return opened.play is not None and opened.play[0] != "none" and opened.play[1] <= at


def hold_exit_interview(alerts: ChurnAlerts, interview: ExitInterviewHeld) -> list[ChurnAlertEvent]:
    """Note why a customer left."""
    if alerts.outcomes.get(interview.alert) != "lost":
        raise Rejected("churn_alert.not_lost", "Only a customer who is lost can tell why.")
    unknown = sorted((interview.answers.keys() | words_of(interview)) - QUESTIONS.keys())
    if unknown or not interview.answers:
        known_ones = ", ".join(QUESTIONS)
        raise Rejected("churn_alert.question_unknown", f"The questions are: {known_ones}.")
    return [] if interview.alert in alerts.interviewed else [interview]


def words_of(interview: ExitInterviewHeld) -> set[str]:
    """Give the questions that were answered in words."""
    return set(interview.words) if isinstance(interview.words, dict) else set()


def suppress(alerts: ChurnAlerts, ground: Ground) -> list[ChurnAlertEvent]:
    """Draw no automatic conclusions about this customer from now on."""
    if ground in alerts.grounds:
        return []
    return [ChurnAlertsSuppressed(customer=alerts.customer, ground=ground)]


def allow(alerts: ChurnAlerts, ground: Ground) -> list[ChurnAlertEvent]:
    """Note that a ground does not exist any more."""
    if ground not in alerts.grounds:
        return []
    return [ChurnAlertsAllowed(customer=alerts.customer, ground=ground)]
