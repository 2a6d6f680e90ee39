"""What a customer has asked about its data: to restrict it, to profile nobody; and what expired.

These facts are a stream of their own beside the customer's. Whoever reads is kept to them where it
reads: restricted data is shown to the hold role alone, and nobody is profiled who objects.
"""

from dataclasses import dataclass, replace
from typing import Literal, assert_never, get_args

from domain.events import Event
from domain.personal import Group
from domain.rejected import Rejected
from domain.values import Id, Label

Ground = Literal["accuracy", "unlawful", "claims", "objection", "legal_hold"]
"""Why data is restricted: GDPR 18(1) a to d, or a legal hold on somebody who is to be erased."""
GROUNDS: tuple[Ground, ...] = get_args(Ground)
PROFILING = "profiling"
"""The purpose whose objection keeps a customer out of features and alerts."""

# ---- Events: the names and fields are a storage format -------------------------------------------


class ProcessingRestricted(Event, name="rights.restricted.v1"):
    """The customer's data may only be stored, on this ground."""

    customer: Id
    ground: Ground


class RestrictionLifted(Event, name="rights.restriction_lifted.v1"):
    """That ground does not exist any more."""

    customer: Id
    ground: Ground


class ProcessingObjected(Event, name="rights.objected.v1"):
    """The customer objects to a purpose."""

    customer: Id
    purpose: Label


class ObjectionWithdrawn(Event, name="rights.objection_withdrawn.v1"):
    """The customer does not object to that purpose any more."""

    customer: Id
    purpose: Label


class DataExpired(Event, name="rights.data_expired.v1"):
    """The keys of some groups were destroyed by a schedule, as the certificate of this id tells.

    What a restored backup had brought back is destroyed again without a schedule.
    """

    customer: Id
    schedule: Label | None = None
    groups: tuple[Group, ...]
    erasure: Id


class DataRectified(Event, name="rights.rectified.v1"):
    """What these events say in these fields was wrong; other events say what is right.

    It is shown to nobody any more but to whoever audits what was known, and when.
    """

    customer: Id
    events: tuple[Id, ...]
    fields: tuple[Label, ...]
    reason: Label


RightsEvent = (
    ProcessingRestricted
    | RestrictionLifted
    | ProcessingObjected
    | ObjectionWithdrawn
    | DataExpired
    | DataRectified
)

# ---- State: only what later decisions need -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rights:
    """What holds for a customer's data, as the next decision sees it."""

    id: str
    customer: str = ""
    grounds: frozenset[Ground] = frozenset()
    objections: frozenset[str] = frozenset()
    expired: frozenset[Group] = frozenset()
    rectified: frozenset[tuple[str, str]] = frozenset()
    """The events that were wrong, and in which fields."""


def evolve(rights: Rights, event: RightsEvent) -> Rights:
    """What holds after the event."""
    rights = replace(rights, customer=event.customer)
    match event:
        case ProcessingRestricted():
            return replace(rights, grounds=rights.grounds | {event.ground})
        case RestrictionLifted():
            return replace(rights, grounds=rights.grounds - {event.ground})
        case ProcessingObjected():
            return replace(rights, objections=rights.objections | {event.purpose})
        case ObjectionWithdrawn():
            return replace(rights, objections=rights.objections - {event.purpose})
        case DataExpired():
            return replace(rights, expired=rights.expired | set(event.groups))
        case DataRectified():
            return replace(rights, rectified=rights.rectified | places(event))
    assert_never(event)


def places(rectified: DataRectified) -> set[tuple[str, str]]:
    """Give each event and field that was wrong."""
    return {(event, field) for event in rectified.events for field in rectified.fields}


# ---- Decisions: asked twice, nothing new happens -------------------------------------------------


def restrict(rights: Rights, ground: Ground) -> list[RightsEvent]:
    """Let the data only be stored from now on."""
    if ground in rights.grounds:
        return []
    return [ProcessingRestricted(customer=rights.customer, ground=ground)]


def lift(rights: Rights, ground: Ground) -> list[RightsEvent]:
    """Note that a ground does not exist any more; others go on."""
    if ground not in rights.grounds:
        return []
    return [RestrictionLifted(customer=rights.customer, ground=ground)]


def object_to(rights: Rights, purpose: str) -> list[RightsEvent]:
    """Stop processing for a purpose."""
    if purpose in rights.objections:
        return []
    return [ProcessingObjected(customer=rights.customer, purpose=purpose)]


def withdraw_objection(rights: Rights, purpose: str) -> list[RightsEvent]:
    """Note that the customer does not object any more."""
    if purpose not in rights.objections:
        return []
    return [ObjectionWithdrawn(customer=rights.customer, purpose=purpose)]


def expire(rights: Rights, expired: DataExpired) -> list[RightsEvent]:
    """Note which groups a schedule has destroyed."""
    return [] if rights.expired >= set(expired.groups) else [expired]


def rectify(rights: Rights, rectified: DataRectified) -> list[RightsEvent]:
    """Note that what some events say was wrong."""
    return [] if rights.rectified >= places(rectified) else [rectified]


def must_allow(rights: Rights, purpose: str) -> None:
    """Refuse to process restricted data, or for a purpose that the customer objects to."""
    if rights.grounds:
        raise Rejected("rights.restricted", "This customer's data is restricted: it is kept only.")
    if purpose in rights.objections:
        raise Rejected("rights.objection", f"This customer objects to {purpose}.")
