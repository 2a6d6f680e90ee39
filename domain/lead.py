"""A lead: a chance to sell something to a customer. Open, then won, lost or disqualified."""

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, assert_never

from domain.events import Event
from domain.personal import ContentText
from domain.rejected import Rejected
from domain.values import Id, Instant, Label, Money, Percent

Status = Literal["unknown", "open", "won", "lost", "disqualified"]


class PipelineStage(NamedTuple):
    """A step on the way to the deal, with its chance of winning in percent."""

    name: str
    probability: int


class Pipeline(NamedTuple):
    """A named way that leads take; configuration, not an event."""

    name: str
    stages: tuple[PipelineStage, ...]

    def stage(self, name: str) -> PipelineStage:
        """Find a stage by its name."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        known = ", ".join(stage.name for stage in self.stages)
        raise Rejected(
            "lead.stage_unknown",
            f"The pipeline {self.name} has no stage {name!r}; its stages are: {known}.",
        )


# ---- Events: the names and fields are a storage format -------------------------------------------


class LeadCaptured(Event, name="lead.captured.v1"):
    """A chance came up."""

    customer: Id
    source: Label
    campaign: Label | None = None
    product: Label | None = None
    pipeline: Label
    stage: Label
    probability: Percent


class LeadScored(Event, name="lead.scored.v1"):
    """Somebody or something judged how promising the lead is."""

    score: Percent
    model: Label


class LeadAssigned(Event, name="lead.assigned.v1"):
    """The lead has an owner now."""

    owner: Label
    territory: Label | None = None


class ActivityPlanned(Event, name="lead.activity_planned.v1"):
    """Something is to be done about the lead."""

    activity: Label
    kind: Label
    due: Instant
    note: ContentText = ""


class ActivityDone(Event, name="lead.activity_done.v1"):
    """A planned activity took place."""

    activity: Label
    outcome: Label


class LeadQualified(Event, name="lead.qualified.v1"):
    """The lead is worth working on."""


class LeadDisqualified(Event, name="lead.disqualified.v1"):
    """The lead is not worth working on."""

    reason: Label


class LeadStageMoved(Event, name="lead.stage_moved.v1"):
    """The lead has come to another stage of its pipeline."""

    stage: Label
    probability: Percent


class LeadValueEstimated(Event, name="lead.value_estimated.v1"):
    """What the deal would be worth."""

    value: Money


class LeadWon(Event, name="lead.won.v1"):
    """The customer bought; `value` is what the deal was worth in the end."""

    value: Money


class LeadLost(Event, name="lead.lost.v1"):
    """The customer did not buy."""

    reason: Label


class LeadReopened(Event, name="lead.reopened.v1"):
    """A decided lead is worked on again, at the stage where it was."""

    reason: Label


LeadEvent = (
    LeadCaptured
    | LeadScored
    | LeadAssigned
    | ActivityPlanned
    | ActivityDone
    | LeadQualified
    | LeadDisqualified
    | LeadStageMoved
    | LeadValueEstimated
    | LeadWon
    | LeadLost
    | LeadReopened
)

# ---- State: only what later decisions need -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lead:
    """A lead as the next decision sees it."""

    id: str
    customer: str = ""
    status: Status = "unknown"
    qualified: bool = False
    pipeline: str = ""
    stage: str = ""
    score: int | None = None
    owner: tuple[str, str | None] | None = None
    value: Money | None = None
    activities: dict[str, str | None] = field(default_factory=dict)
    """Planned activities and their outcome, None while they are to be done."""


def evolve(lead: Lead, event: LeadEvent) -> Lead:
    """What the lead is after the event."""
    match event:
        case LeadCaptured():
            return replace(
                lead,
                customer=event.customer,
                status="open",
                pipeline=event.pipeline,
                stage=event.stage,
            )
        case LeadScored():
            return replace(lead, score=event.score)
        case LeadAssigned():
            return replace(lead, owner=(event.owner, event.territory))
        case ActivityPlanned():
            return replace(lead, activities={**lead.activities, event.activity: None})
        case ActivityDone():
            return replace(lead, activities={**lead.activities, event.activity: event.outcome})
        case LeadQualified():
            return replace(lead, qualified=True)
        case LeadDisqualified():
            return replace(lead, status="disqualified", qualified=False)
        case LeadStageMoved():
            return replace(lead, stage=event.stage)
        case LeadValueEstimated():
            return replace(lead, value=event.value)
        case LeadWon():
            return replace(lead, status="won", value=event.value)
        case LeadLost():
            return replace(lead, status="lost")
        case LeadReopened():
            return replace(lead, status="open")
    assert_never(event)


# ---- Decisions: asked twice, nothing new happens -------------------------------------------------


def must_exist(lead: Lead) -> None:
    """Refuse to work on a lead that nobody has captured."""
    if lead.status == "unknown":
        raise Rejected("lead.unknown", "There is no such lead.")


def must_be_open(lead: Lead) -> None:
    """Refuse to work on a lead that is decided."""
    must_exist(lead)
    if lead.status != "open":
        raise Rejected("lead.decided", f"A {lead.status} lead must be reopened first.")


def capture(lead: Lead, captured: LeadCaptured) -> list[LeadEvent]:
    """Note that a chance came up."""
    if lead.status == "unknown":
        return [captured]
    if lead.customer != captured.customer:
        raise Rejected("lead.other_customer", "This lead is already known with another customer.")
    return []


def score(lead: Lead, points: int, model: str) -> list[LeadEvent]:
    """Judge how promising the lead is."""
    must_be_open(lead)
    return [] if lead.score == points else [LeadScored(score=points, model=model)]


def assign(lead: Lead, owner: str, territory: str | None) -> list[LeadEvent]:
    """Give the lead to somebody."""
    must_be_open(lead)
    if lead.owner == (owner, territory):
        return []
    return [LeadAssigned(owner=owner, territory=territory)]


def plan_activity(lead: Lead, planned: ActivityPlanned) -> list[LeadEvent]:
    """Plan something to be done."""
    must_be_open(lead)
    return [] if planned.activity in lead.activities else [planned]


def finish_activity(lead: Lead, activity: str, outcome: str) -> list[LeadEvent]:
    """Tell that a planned activity took place."""
    must_exist(lead)
    if activity not in lead.activities:
        raise Rejected("lead.activity_unknown", f"No activity {activity!r} is planned.")
    if lead.activities[activity] is not None:
        return []
    return [ActivityDone(activity=activity, outcome=outcome)]


def qualify(lead: Lead) -> list[LeadEvent]:
    """Decide that the lead is worth working on."""
    must_be_open(lead)
    return [] if lead.qualified else [LeadQualified()]


def disqualify(lead: Lead, reason: str) -> list[LeadEvent]:
    """Decide that the lead is not worth working on."""
    if lead.status == "disqualified":
        return []
    must_be_open(lead)
    return [LeadDisqualified(reason=reason)]


def move_stage(lead: Lead, pipeline: Pipeline, stage: str) -> list[LeadEvent]:
    """Bring the lead to another stage of its pipeline."""
    must_be_open(lead)
    found = pipeline.stage(stage)
    if lead.stage == stage:
        return []
    return [LeadStageMoved(stage=stage, probability=found.probability)]


def estimate_value(lead: Lead, value: Money) -> list[LeadEvent]:
    """Say what the deal would be worth."""
    must_be_open(lead)
    return [] if lead.value == value else [LeadValueEstimated(value=value)]


def win(lead: Lead, value: Money | None) -> list[LeadEvent]:
    """The customer bought, for `value` or else for what was estimated."""
    if lead.status == "won" and value in (None, lead.value):
        return []
    must_be_open(lead)
    worth = value or lead.value
    if worth is None:
        raise Rejected("lead.value_missing", "A lead cannot be won without a value.")
    return [LeadWon(value=worth)]


def lose(lead: Lead, reason: str) -> list[LeadEvent]:
    """The customer did not buy."""
    if lead.status == "lost":
        return []
    must_be_open(lead)
    return [LeadLost(reason=reason)]


def reopen(lead: Lead, reason: str) -> list[LeadEvent]:
    """Work on a decided lead again."""
    must_exist(lead)
    return [] if lead.status == "open" else [LeadReopened(reason=reason)]
