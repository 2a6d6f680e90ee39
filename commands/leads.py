"""What can be asked about leads."""

from commands.command import Change, Command, CustomerIdRef, LeadRef, Reader
from domain import lead as rules
from domain.customer import promote
from domain.lead import Lead, LeadEvent
from domain.values import Instant, Label, Money, Percent, Text


class LeadCommand(Command):
    """A command that changes one lead."""

    lead: LeadRef

    def change(self, lead: Lead) -> list[LeadEvent]:
        """Say what happens to the lead."""
        raise NotImplementedError

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        lead = the.lead(self.lead)
        return [(lead, self.change(lead))]


class CaptureLead(Command, name="lead.capture", publishes="lead.captured.v1"):
    """Note a chance to sell something to a customer."""

    lead: LeadRef
    customer: CustomerIdRef
    source: Label
    campaign: Label | None = None
    product: Label | None = None
    pipeline: Label = "sales"
    stage: Label | None = None

    def decide(self, the: Reader) -> list[Change]:
        """Put the lead at a stage of its pipeline, the first one unless another is named."""
        pipeline = the.pipeline(self.pipeline)
        stage = pipeline.stage(self.stage or pipeline.stages[0].name)
        captured = rules.LeadCaptured(
            customer=the.customer_id(self.customer),
            source=self.source,
            campaign=self.campaign,
            product=self.product,
            pipeline=pipeline.name,
            stage=stage.name,
            probability=stage.probability,
        )
        lead = the.lead(self.lead)
        return [(lead, rules.capture(lead, captured))]


class ScoreLead(LeadCommand, name="lead.score", publishes="lead.scored.v1"):
    """Judge how promising a lead is, 0 to 100."""

    score: Percent
    model: Label = "manual"

    def change(self, lead: Lead) -> list[LeadEvent]:
        """Say what happens to the lead."""
        return rules.score(lead, self.score, self.model)


class AssignLead(LeadCommand, name="lead.assign", publishes="lead.assigned.v1"):
    """Give a lead to somebody."""

    owner: Label
    territory: Label | None = None

    def change(self, lead: Lead) -> list[LeadEvent]:
        """Say what happens to the lead."""
        return rules.assign(lead, self.owner, self.territory)


class PlanActivity(LeadCommand, name="lead.plan_activity", publishes="lead.activity_planned.v1"):
    """Plan something to be done about a lead."""

    activity: Label
    kind: Label
    due: Instant
    note: Text = ""

    def change(self, lead: Lead) -> list[LeadEvent]:
        """Say what happens to the lead."""
        planned = rules.ActivityPlanned(**self.model_dump(exclude={"lead"}))
        return rules.plan_activity(lead, planned)


class FinishActivity(LeadCommand, name="lead.finish_activity", publishes="lead.activity_done.v1"):
    """Tell that a planned activity took place."""

    activity: Label
    outcome: Label

    def change(self, lead: Lead) -> list[LeadEvent]:
        """Say what happens to the lead."""
        return rules.finish_activity(lead, self.activity, self.outcome)


class QualifyLead(LeadCommand, name="lead.qualify", publishes="lead.qualified.v1"):
    """Decide that a lead is worth working on."""

    def change(self, lead: Lead) -> list[LeadEvent]:
        """Say what happens to the lead."""
        return rules.qualify(lead)


class DisqualifyLead(LeadCommand, name="lead.disqualify", publishes="lead.disqualified.v1"):
    """Decide that a lead is not worth working on."""

    reason: Label

    def change(self, lead: Lead) -> list[LeadEvent]:
        """Say what happens to the lead."""
        return rules.disqualify(lead, self.reason)


class MoveLead(Command, name="lead.move_stage", publishes="lead.stage_moved.v1"):
    """Bring a lead to another stage of its pipeline."""

    lead: LeadRef
    stage: Label

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        lead = the.lead(self.lead)
        rules.must_exist(lead)
        return [(lead, rules.move_stage(lead, the.pipeline(lead.pipeline), self.stage))]


class EstimateValue(LeadCommand, name="lead.estimate_value", publishes="lead.value_estimated.v1"):
    """Say what the deal would be worth."""

    value: Money

    def change(self, lead: Lead) -> list[LeadEvent]:
        """Say what happens to the lead."""
        return rules.estimate_value(lead, self.value)


class WinLead(Command, name="lead.win", publishes="lead.won.v1"):
    """The customer bought; whoever buys is a friend from then on."""

    lead: LeadRef
    value: Money | None = None

    def decide(self, the: Reader) -> list[Change]:
        """Win the lead and promote its customer, both or neither."""
        lead = the.lead(self.lead)
        won = rules.win(lead, self.value)
        customer = the.customer(lead.customer)
        return [(lead, won), (customer, promote(customer, "friend") if won else [])]


class LoseLead(LeadCommand, name="lead.lose", publishes="lead.lost.v1"):
    """The customer did not buy."""

    reason: Label

    def change(self, lead: Lead) -> list[LeadEvent]:
        """Say what happens to the lead."""
        return rules.lose(lead, self.reason)


class ReopenLead(LeadCommand, name="lead.reopen", publishes="lead.reopened.v1"):
    """Work on a decided lead again."""

    reason: Label

    def change(self, lead: Lead) -> list[LeadEvent]:
        """Say what happens to the lead."""
        return rules.reopen(lead, self.reason)


LEAD_COMMANDS: tuple[type[Command], ...] = (
    CaptureLead,
    ScoreLead,
    AssignLead,
    PlanActivity,
    FinishActivity,
    QualifyLead,
    DisqualifyLead,
    MoveLead,
    EstimateValue,
    WinLead,
    LoseLead,
    ReopenLead,
)
