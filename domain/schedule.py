"""How long personal data is kept: schedules as data, of which all that are due count.

A schedule names groups of keys, what sets its clock going, and the period after which the keys are
destroyed. All ids of a customer count as one; as long as anything goes on, nothing is due.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.events import Event
from domain.personal import Group
from domain.rejected import Rejected
from domain.span import Span, later
from domain.values import Label

Trigger = Literal["last_event", "cases_closed", "leads_lost", "consent_withdrawn"]


class Schedule(BaseModel):
    """One rule: these groups, after this, for so long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Label
    groups: Annotated[tuple[Group, ...], Field(min_length=1)]
    trigger: Trigger
    purpose: Label | None = None
    """Of the consent, where the trigger is one that was withdrawn."""
    period: Span
    hold: Label | None = None
    """Why nothing is destroyed under this schedule for now, if so."""

    @model_validator(mode="after")
    def _says_which_consent(self) -> Self:
        if (self.trigger == "consent_withdrawn") != (self.purpose is not None):
            raise ValueError("consent_withdrawn, and nothing else, needs a purpose")
        if len(set(self.groups)) < len(self.groups):
            raise ValueError("each group is named once")
        return self


class SchedulesSet(Event, name="schedule.set.v1"):
    """From now on personal data is kept as long as these say."""

    version: int
    schedules: tuple[Schedule, ...]


ScheduleEvent = SchedulesSet


@dataclass(frozen=True, slots=True)
class SchedulesHeld:
    """The schedules as the next decision sees them."""

    id: str
    version: int = 0
    schedules: tuple[Schedule, ...] = ()


def evolve(held: SchedulesHeld, event: ScheduleEvent) -> SchedulesHeld:
    """What counts after the event."""
    return SchedulesHeld(held.id, event.version, event.schedules)


def set_schedules(held: SchedulesHeld, schedules: tuple[Schedule, ...]) -> list[ScheduleEvent]:
    """Let schedules count from now on, in place of all that did."""
    if held.schedules == schedules:
        return []
    if len({schedule.name for schedule in schedules}) < len(schedules):
        raise Rejected("schedule.twice", "Each schedule has a name of its own.")
    return [SchedulesSet(version=held.version + 1, schedules=schedules)]


class Since(NamedTuple):
    """What one id of a customer says about a trigger: when it was last, and whether it goes on."""

    at: datetime | None
    goes_on: bool = False


def due(schedule: Schedule, ids: Iterable[Since]) -> datetime | None:
    """Tell when a customer's data is due to be destroyed; None while nothing sets the clock."""
    told = list(ids)
    instants = [since.at for since in told if since.at is not None]
    if not instants or any(since.goes_on for since in told):
        return None
    return later(max(instants), schedule.period)
