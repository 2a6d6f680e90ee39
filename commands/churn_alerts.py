"""What can be asked about churn alerts, from the first suspicion to the exit interview."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from commands.command import Change, Command, CustomerIdRef, Reader
from commands.retention import policy_now
from domain import churn_alert as rules
from domain.assessment import Assessment
from domain.churn_alert import ChurnAlerts, Driver, Ground, Play
from domain.rights import PROFILING, must_allow
from domain.values import Id, Instant, Label, Money, Text


class RaiseChurnAlert(Command, name="churn_alert.raise", publishes="churn_alert.raised.v1"):
    """Say that a customer may be leaving, and why."""

    customer: CustomerIdRef
    alert: Id
    rule: Label
    policy_version: int
    assessment: Assessment
    value_at_risk: Money | None = None
    segment: Label | None = None
    assessed_at: Instant

    def decide(self, the: Reader) -> list[Change]:
        """Raise it by the policy that counts now: that says until when something is due."""
        policy = policy_now(the, self.policy_version)
        customer = the.customer_id(self.customer)
        raised = rules.ChurnAlertRaised(
            customer=customer,
            alert=self.alert,
            rule=self.rule,
            policy_version=self.policy_version,
            assessment=self.assessment,
            value_at_risk=self.value_at_risk,
            segment=self.segment,
            assessed_at=self.assessed_at,
            due_at=self.assessed_at + timedelta(days=policy.due_days),
            watch_until=self.assessed_at + timedelta(weeks=policy.horizon_weeks),
        )
        must_allow(the.rights(customer), PROFILING)
        alerts = the.churn_alerts(customer)
        return [(alerts, rules.raise_alert(alerts, raised))]


class ChurnAlertCommand(Command):
    """A command about the churn alerts of one customer."""

    customer: CustomerIdRef

    def alerts(self, the: Reader) -> ChurnAlerts:
        """Give the alerts of the customer."""
        return the.churn_alerts(the.customer_id(self.customer))


class AssignChurnAlert(
    ChurnAlertCommand, name="churn_alert.assign", publishes="churn_alert.assigned.v1"
):
    """Make somebody of the save team responsible."""

    alert: Id
    agent: Label
    team: Label | None = None

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        alerts = self.alerts(the)
        return [(alerts, rules.assign(alerts, self.alert, self.agent, self.team))]


class ChoosePlay(
    ChurnAlertCommand, name="churn_alert.choose_play", publishes="churn_alert.play_chosen.v1"
):
    """Say what is done about an alert."""

    alert: Id
    play: Play
    note: Text = ""

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        alerts = self.alerts(the)
        chosen = rules.ChurnAlertPlayChosen(
            alert=self.alert, play=self.play, at=the.time(), note=self.note
        )
        return [(alerts, rules.choose_play(alerts, chosen))]


class ReviewChurnAlert(
    ChurnAlertCommand, name="churn_alert.review", publishes="churn_alert.reviewed.v1"
):
    """Let a person confirm or overturn an automatic conclusion."""

    alert: Id
    reviewer: Label
    upheld: bool
    note: Text = ""

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        alerts = self.alerts(the)
        reviewed = rules.ChurnAlertReviewed(
            alert=self.alert, reviewer=self.reviewer, upheld=self.upheld, note=self.note
        )
        return [(alerts, rules.review(alerts, reviewed, the.time()))]


class SettleChurnAlert(
    ChurnAlertCommand, name="churn_alert.settle", publishes="churn_alert.settled.v1"
):
    """Conclude an alert from a purchase, or from silence up to an instant."""

    alert: Id
    proof: Literal["purchase", "silence"]
    proven_at: Instant

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        alerts = self.alerts(the)
        cool_down = timedelta(days=policy_now(the).cool_down_days)
        return [(alerts, rules.settle(alerts, self.alert, self.proof, self.proven_at, cool_down))]


class HoldExitInterview(
    ChurnAlertCommand,
    name="churn_alert.hold_exit_interview",
    publishes="churn_alert.exit_interview_held.v1",
):
    """Note why a customer left: a driver for each question, and the words."""

    alert: Id
    answers: dict[Label, Driver]
    words: dict[Label, Text] = Field(default_factory=dict)

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        alerts = self.alerts(the)
        interview = rules.ExitInterviewHeld(
            alert=self.alert, answers=self.answers, words=self.words
        )
        return [(alerts, rules.hold_exit_interview(alerts, interview))]


class SuppressChurnAlerts(
    ChurnAlertCommand, name="churn_alert.suppress", publishes="churn_alert.suppressed.v1"
):
    """Draw no automatic conclusions about a customer from now on."""

    ground: Ground

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        alerts = self.alerts(the)
        return [(alerts, rules.suppress(alerts, self.ground))]


class AllowChurnAlerts(
    ChurnAlertCommand, name="churn_alert.allow", publishes="churn_alert.allowed.v1"
):
    """Note that a ground for drawing no conclusions does not exist any more."""

    ground: Ground

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        alerts = self.alerts(the)
        return [(alerts, rules.allow(alerts, self.ground))]


CHURN_ALERT_COMMANDS: tuple[type[Command], ...] = (
    RaiseChurnAlert,
    AssignChurnAlert,
    ChoosePlay,
    ReviewChurnAlert,
    SettleChurnAlert,
    HoldExitInterview,
    SuppressChurnAlerts,
    AllowChurnAlerts,
)
