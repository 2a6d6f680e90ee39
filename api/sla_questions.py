"""What can be asked about service levels."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from api.questions import AtInstant, Question, Strict
from domain.terms import Terms
from domain.values import Id, Instant, Label
from infra.read_models.sla import TIERS
from projections.sla_service import GROUPS


def known_group(name: str) -> str:
    """Refuse a grouping that does not exist."""
    if name not in GROUPS:
        raise ValueError(f"it can be one of {', '.join(GROUPS)}")
    return name


class Wall(AtInstant):
    """Clocks that are running or paused as of an instant."""

    verdict: Literal["running", "paused", "breached", "forgotten"] | None = None
    team: Label | None = None
    limit: int = Field(100, ge=1, le=1000)


class Queue(AtInstant):
    """Cases that wait; `tiers` says who goes first."""

    tiers: list[Label] = Field(list(TIERS))
    team: Label | None = None
    limit: int = Field(100, ge=1, le=1000)


class CallerPlace(AtInstant):
    """Somebody who calls: by e-mail address, telephone number, or system and id."""

    email: str | None = None
    phone: str | None = None
    system: str | None = None
    id: str | None = None
    tiers: list[Label] = Field(list(TIERS))

    def named(self) -> dict[str, str]:
        """Give by what the caller is known."""
        return self.model_dump(include={"email", "phone", "system", "id"}, exclude_none=True)


class Compliance(AtInstant):
    """Promises that were given in a period, by one of their properties."""

    group_by: Annotated[str, AfterValidator(known_group)] = Field(
        "clock", json_schema_extra={"enum": list(GROUPS)}
    )
    agreement: Id | None = None
    since: Instant | None = None
    until: Instant | None = None


class Credits(Question):
    """Ledgers of credits."""

    agreement: Id | None = None
    customer: Id | None = None
    period: Label | None = None
    limit: int = Field(100, ge=1, le=1000)


class Review(AtInstant):
    """The review of one agreement."""

    since: Instant | None = None
    form: Literal["json", "markdown"] = "json"


class WhatIf(Strict):
    """Other terms, and the past cases to try them on."""

    terms: Terms
    agreement: Id | None = None
    since: Instant | None = None
    until: Instant | None = None
    at: Instant | None = None
