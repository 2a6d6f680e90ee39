"""Which segment a customer belongs to; nothing changes for the customer by that alone."""

from dataclasses import dataclass

from domain.events import Event
from domain.values import Id, Label


class SegmentAssigned(Event, name="segment.assigned.v1"):
    """By this version of the rules the customer belongs to this segment from now on."""

    customer: Id
    segment: Label
    policy_version: int


SegmentEvent = SegmentAssigned


@dataclass(frozen=True, slots=True)
class Membership:
    """The segment of a customer as the next decision sees it."""

    id: str
    customer: str = ""
    segment: str | None = None


def evolve(membership: Membership, event: SegmentEvent) -> Membership:
    """Where the customer belongs after the event."""
    return Membership(membership.id, event.customer, event.segment)


def assign(membership: Membership, assigned: SegmentAssigned) -> list[SegmentEvent]:
    """Count the customer among a segment."""
    return [] if membership.segment == assigned.segment else [assigned]
