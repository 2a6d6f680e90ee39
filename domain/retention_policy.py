"""What a tenant agreed on for keeping its customers: rules as data, in versions.

Tiers and segments are lists of rules of which the first that fits counts; health is a scorecard
per segment; alerts say from which score on somebody must act, and by when.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from domain.customer_features import NUMBERS
from domain.customer_value import MORE_VALUES
from domain.events import Event
from domain.purchase_history import History
from domain.values import Label, Percent

FEATURES = NUMBERS | {*History._fields, *MORE_VALUES}


def known(name: str) -> str:
    """Refuse the name of a feature that there is not."""
    if name not in FEATURES and not re.fullmatch(r"spent\.[A-Z]{3}", name):
        raise ValueError(f"there is no feature {name!r}")
    return name


Feature = Annotated[Label, AfterValidator(known)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Data(BaseModel):
    """A part of a policy."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Condition(Data):
    """A feature lies in a range; what cannot be told of a customer does not."""

    feature: Feature
    at_least: Finite | None = None
    at_most: Finite | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a condition needs at_least or at_most")
        return self


class TopShare(Data):
    """A customer is among the first by a feature; equal ones are in or out together."""

    feature: Feature
    percent: Annotated[float, Field(gt=0, le=100)]


class Rule(Data):
    """Who meets all of it belongs there."""

    name: Label
    all_of: tuple[Condition, ...] = ()
    top: TopShare | None = None


class Grouping(Data):
    """The first rule that fits counts; whom none fits is left to `otherwise`."""

    rules: tuple[Rule, ...]
    otherwise: Label


class Measure(Data):
    """Grades a feature from `worst` (0) to `best` (100); `missing` grades what cannot be told."""

    feature: Feature
    worst: Finite
    best: Finite
    missing: Percent | None = None

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.worst == self.best:
            raise ValueError("worst and best must differ")
        return self


class Component(Data):
    """A part of the health of a customer: the mean of its measures."""

    name: Label
    weight: Annotated[int, Field(ge=1, le=1000)]
    measures: Annotated[tuple[Measure, ...], Field(min_length=1)]


class Scorecard(Data):
    """How health is reckoned in a segment; None is for everybody else."""

    segment: Label | None = None
    components: Annotated[tuple[Component, ...], Field(min_length=1)]


class AlertRule(Data):
    """From which score on somebody must act: the risk by a model, or 100 less health."""

    name: Label
    basis: Literal["silence", "purchases", "health"]
    threshold: Annotated[int, Field(ge=1, le=100)]
    value_at_risk_min: Annotated[int, Field(ge=0)] = 0
    """In minor units of the policy's currency; below it nobody is bothered."""


class ContractTerms(Data):
    """What a contract is sold as, and how often it is paid."""

    product: Label
    period_days: Annotated[int, Field(ge=1, le=3660)]
    grace_days: Annotated[int, Field(ge=0, le=3660)] = 14


class RetentionPolicy(Data):
    """All of it. BG/NBD is not offered: it is certain of everybody who bought once."""

    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    model: Literal["mbg_nbd", "pareto_nbd"] = "mbg_nbd"
    horizon_weeks: Annotated[int, Field(ge=1, le=520)] = 39
    yearly_discount_percent: Annotated[float, Field(ge=0, le=100)] = 10.0
    contract: ContractTerms | None = None
    """None where nothing is sold by contract."""
    margin_percent: Annotated[float, Field(ge=0, le=100)] = 100.0
    contact_cost: Annotated[int, Field(ge=0, le=10**9)] = 0
    """In minor units: what a contact of a customer costs us. Both make the feature `profit`."""
    tiers: Grouping | None = None
    segments: Grouping | None = None
    scorecards: tuple[Scorecard, ...] = ()
    alerts: tuple[AlertRule, ...] = ()
    due_days: Annotated[int, Field(ge=1, le=365)] = 7
    cool_down_days: Annotated[int, Field(ge=0, le=3650)] = 90
    objections: tuple[Label, ...] = ("profiling",)
    """Who took back a consent for one of these purposes is not scored."""


# ---- Its life ------------------------------------------------------------------------------------


class RetentionPolicySet(Event, name="retention_policy.set.v1"):
    """From now on this counts."""

    version: int
    policy: RetentionPolicy


RetentionPolicyEvent = RetentionPolicySet


@dataclass(frozen=True, slots=True)
class RetentionPolicyHeld:
    """The policy as the next decision sees it."""

    id: str
    version: int = 0
    policy: RetentionPolicy | None = None


def evolve(held: RetentionPolicyHeld, event: RetentionPolicyEvent) -> RetentionPolicyHeld:
    """What counts after the event."""
    return RetentionPolicyHeld(held.id, event.version, event.policy)


def set_policy(held: RetentionPolicyHeld, policy: RetentionPolicy) -> list[RetentionPolicyEvent]:
    """Let a policy count from now on."""
    if held.policy == policy:
        return []
    return [RetentionPolicySet(version=held.version + 1, policy=policy)]
