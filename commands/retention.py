"""What can be asked about keeping customers: models to fit, rules to set, segments to assign."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from commands.command import Change, Command, CustomerIdRef, Reader
from domain import retention_policy, segment, value_model
from domain.contract_retention import Contracts
from domain.gamma_gamma import Spend, usable
from domain.purchase_history import History, regrouped
from domain.purchase_models import (
    Fit,
    fit_purchases,
    fit_retention,
    fit_silence,
    fit_spend,
    named,
)
from domain.rejected import Rejected
from domain.retention_policy import RetentionPolicy
from domain.rights import PROFILING, must_allow
from domain.segment import SegmentAssigned
from domain.silence_model import Seen
from domain.value_model import ValueModelFitted
from domain.values import Instant, Label

Weeks = Annotated[float, Field(ge=0, le=10_000)]
Count = Annotated[int, Field(ge=0, le=10**9)]


class Data(BaseModel):
    """What a model is fitted to: nothing in it tells who a customer is."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Purchases(Data):
    """Frequency, recency, age and the number of customers alike; time is in weeks."""

    model: Literal["bg_nbd", "mbg_nbd", "pareto_nbd"]
    histories: tuple[tuple[Count, Weeks, Weeks, Count], ...]

    def fit(self) -> Fit:
        """Find the most likely parameters. Raises `Rejected` for a poor fit."""
        counted = ((History(x, recency, age), n) for x, recency, age, n in self.histories)
        return fit_purchases(self.model, regrouped(counted))


class Spending(Data):
    """The number of repeat purchases of each customer, and their mean amount in minor units."""

    model: Literal["gamma_gamma"]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    spends: tuple[tuple[Count, Annotated[float, Field(ge=0, le=1e15)]], ...]

    def fit(self) -> Fit:
        """Find the most likely parameters. Raises `Rejected` for a poor fit."""
        return fit_spend(usable(Spend(*spend) for spend in self.spends))


class Silences(Data):
    """Customers as of an earlier day: weeks of silence, purchases, spent, whether silent since."""

    model: Literal["silence"]
    seen: tuple[tuple[Weeks, Annotated[int, Field(ge=1)], float, bool], ...]
    seen_share: Annotated[float, Field(gt=0, lt=1)]
    asked_share: Annotated[float, Field(gt=0, lt=1)]

    def fit(self) -> Fit:
        """Find the most likely parameters. Raises `Rejected` for a poor fit."""
        return fit_silence([Seen(*each) for each in self.seen], self.seen_share, self.asked_share)


class Renewals(Data):
    """How many contracts ended after 0, 1, 2 … renewals, and how many go on with as many."""

    model: Literal["sbg"]
    ended: tuple[Count, ...]
    going_on: tuple[Count, ...]

    @model_validator(mode="after")
    def _of_one_length(self) -> Self:
        if len(self.ended) != len(self.going_on):
            raise ValueError("ended and going_on must be of one length")
        return self

    def fit(self) -> Fit:
        """Find the most likely parameters. Raises `Rejected` for a poor fit."""
        return fit_retention(Contracts(self.ended, self.going_on))


class FitValueModel(Command, name="value_model.fit", publishes="value_model.fitted.v1"):
    """Fit a model to what customers did in a period, and keep it as the next version."""

    data_from: Instant
    data_until: Instant
    data: Annotated[Purchases | Spending | Silences | Renewals, Field(discriminator="model")]

    def decide(self, the: Reader) -> list[Change]:
        """Fit, and keep the fit unless it is what is known already."""
        name, fit = model_name(self.data), self.data.fit()
        place, known = the.value_model(name)
        fitted = ValueModelFitted(
            model=name,
            version=0,
            data_from=self.data_from,
            data_until=self.data_until,
            parameters=named(fit),
            log_likelihood=fit.log_likelihood,
            customers=fit.customers,
            iterations=fit.iterations,
            diagnostics=dict(fit.diagnostics),
        )
        return [(place, value_model.fit(known, fitted))]


def model_name(data: Purchases | Spending | Silences | Renewals) -> str:
    """Name the model that a fit belongs to: what people spend is told apart by currency."""
    return f"{data.model}.{data.currency}" if isinstance(data, Spending) else data.model


class SetRetentionPolicy(Command, name="retention_policy.set", publishes="retention_policy.set.v1"):
    """Agree on how to keep customers, from now on."""

    policy: RetentionPolicy

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        place, held = the.retention_policy()
        return [(place, retention_policy.set_policy(held, self.policy))]


class AssignSegment(Command, name="segment.assign", publishes="segment.assigned.v1"):
    """Count a customer among a segment."""

    customer: CustomerIdRef
    segment: Label
    policy_version: int

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        customer = the.customer_id(self.customer)
        must_allow(the.rights(customer), PROFILING)
        membership = the.membership(customer)
        assigned = SegmentAssigned(
            customer=customer, segment=self.segment, policy_version=self.policy_version
        )
        return [(membership, segment.assign(membership, assigned))]


def policy_now(the: Reader, version: int | None = None) -> RetentionPolicy:
    """Give the policy that counts; refuse conclusions from an older one."""
    _, held = the.retention_policy()
    if held.policy is None:
        raise Rejected("retention_policy.unknown", "There is no retention policy yet.")
    if version not in (None, held.version):
        raise Rejected(
            "retention_policy.changed", f"The retention policy is at version {held.version} now."
        )
    return held.policy


RETENTION_COMMANDS: tuple[type[Command], ...] = (FitValueModel, SetRetentionPolicy, AssignSegment)
