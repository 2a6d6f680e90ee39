"""The shapes of the answers about service levels, for OpenAPI."""

from datetime import datetime
from typing import Any, Literal

from api.models import Answer, row_of
from domain.values import Id
from projections.agreements import agreements

Agreement = row_of(agreements, "Agreement")


class Agreements(Answer):
    """All agreements, in the order in which they are tried on a case."""

    items: list[Agreement]  # type: ignore[valid-type]


class RunningClock(Answer):
    """A clock of a case that is worked on, and how long it has until its target is broken."""

    case_id: Id
    customer: Id
    status: str
    priority: str
    category: str
    channel: str
    agent: str | None
    team: str | None
    tier: str | None
    waiting_for: str | None
    agreement: Id | None
    agreement_version: int | None
    opened_at: datetime
    clock: str
    instance: int
    state: Literal["running", "paused"]
    target: float
    used: float
    deadline: datetime | None
    breached_at: datetime | None
    activated_at: datetime
    ended_at: None
    verdict: Literal["running", "paused", "breached", "forgotten"]
    seconds_left: float | None


class Wall(Answer):
    """Running clocks by time to breach, then the paused ones."""

    items: list[RunningClock]


class WaitingCase(Answer):
    """A case that waits for us: its place, and why it is there."""

    place: int
    case_id: Id
    customer: Id
    tier: str | None
    priority: str
    category: str
    team: str | None
    breach_due: datetime | None
    opened_at: datetime
    reason: str


class Queue(Answer):
    """The cases that wait for us, in the order in which to take them."""

    items: list[WaitingCase]


class CallerPlace(Answer):
    """Where somebody who calls stands; `cases` are those of theirs that wait."""

    customer: Id | None
    tier: str | None
    place: int
    waiting: int
    reason: str
    cases: list[WaitingCase]


class Kept(Answer):
    """What became of the promises of one group and clock; credits in minor units by currency."""

    group: str
    clock: str
    promises: int
    met: int
    breached: int
    forgotten: int
    open: int
    cancelled: int
    without_target: int
    kept_percent: float | None
    median_seconds: float | None
    p90_seconds: float | None
    credits: dict[str, int]


class Compliance(Answer):
    """What became of the promises of every group."""

    items: list[Kept]


class Ledger(Answer):
    """What an agreement owes a customer for a period, in minor units, with every entry."""

    id: Id
    customer: Id
    agreement: Id
    period: str
    currency: str
    owed: int
    reversed: int
    entries: list[dict[str, Any]]


class Credits(Answer):
    """Ledgers, the newest period first."""

    items: list[Ledger]


class WhatIf(Answer):
    """How many promises would have come to what, per clock, under other terms."""

    clocks: dict[str, dict[str, int]]


class Review(Answer):
    """What was promised, what was kept, what it cost, and what would have been."""

    agreement: Id
    title: str
    version: int
    since: datetime | None
    as_of: datetime
    objective: str
    services: list[str]
    parties: list[dict[str, str]]
    promised: dict[str, dict[str, str]]
    kept: list[Kept]
    cost: list[dict[str, Any]]
    what_if: dict[str, dict[str, dict[str, int]]]
    next_review: datetime | None
