"""A customer: a person or an organisation, from the first anonymous visit on.

Everything in the system is about a customer. Merging never rewrites: the merged customer keeps its
own events and points to the one that stands for it, until an unmerge removes the link.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal, assert_never

from domain.erasure import CustomerErased, erased
from domain.events import Event
from domain.personal import ContactText, ContentText, IdentityFields, IdentityText, known
from domain.rejected import Rejected
from domain.values import Id, Identifier, Label, Money

Kind = Literal["person", "organisation"]
Stage = Literal["stranger", "acquaintance", "friend", "partner"]
STAGES: tuple[Stage, ...] = ("stranger", "acquaintance", "friend", "partner")
Relation = Literal["works_for", "refers", "resells_for"]
Scale = Literal["csat", "nps"]
SCORES: dict[Scale, range] = {"csat": range(1, 6), "nps": range(11)}

# ---- Events: the names and fields are a storage format -------------------------------------------


class CustomerRegistered(Event, name="customer.registered.v1"):
    """We know of this customer now."""

    kind: Kind
    stage: Stage
    channel: Label


class IdentifierAdded(Event, name="customer.identifier_added.v1"):
    """A channel knows the customer by this from now on; `number` counts within the customer."""

    number: int
    kind: Literal["email", "phone", "external"]
    system: Label | Literal[""]
    value: ContactText


class IdentifierRemoved(Event, name="customer.identifier_removed.v1"):
    """The identifier with this number does not lead to the customer any more."""

    number: int
    kind: Literal["email", "phone", "external"]
    system: Label | Literal[""]
    value: ContactText


class ProfileChanged(Event, name="customer.profile_changed.v1"):
    """Facts about the customer: None did not change, "" and {} are not known any more.

    `attributes` are all that hold from now on, so that the newest event tells the whole of them.
    """

    kind: Kind | None = None
    full_name: IdentityText | None = None
    language: IdentityText | None = None
    country: IdentityText | None = None
    attributes: IdentityFields | None = None


class StageChanged(Event, name="customer.stage_changed.v1"):
    """The relationship has another depth now."""

    stage: Stage


class TierAssigned(Event, name="customer.tier_assigned.v1"):
    """The customer is served as a member of this tier."""

    tier: Label


class ConsentGranted(Event, name="customer.consent_granted.v1"):
    """The customer agreed to a purpose over a channel, having read this version of the text."""

    purpose: Label
    channel: Label
    text_version: Label


class ConsentWithdrawn(Event, name="customer.consent_withdrawn.v1"):
    """The customer took a consent back; we may not know which version of the text they had read."""

    purpose: Label
    channel: Label
    text_version: Label | None = None


class CustomerMerged(Event, name="customer.merged.v1"):
    """This customer is the same as another, which stands for both."""

    into: Id
    reason: Label


class CustomerAbsorbed(Event, name="customer.absorbed.v1"):
    """This customer stands for another one, too."""

    other: Id
    reason: Label


class CustomerUnmerged(Event, name="customer.unmerged.v1"):
    """The merge was a mistake: this customer stands for itself again."""

    out_of: Id
    reason: Label


class CustomerReleased(Event, name="customer.released.v1"):
    """This customer does not stand for the other one any more."""

    other: Id
    reason: Label


class PurchaseRecorded(Event, name="customer.purchase_recorded.v1"):
    """The customer bought something; a return has a negative amount and quantity."""

    amount: Money
    quantity: int = 1
    product: Label | None = None


class SatisfactionRated(Event, name="customer.satisfaction_rated.v1"):
    """The customer told how satisfied they are: CSAT 1 to 5, NPS 0 to 10."""

    scale: Scale
    score: int
    comment: ContentText = ""
    about: Id | None = None


class CustomerLinked(Event, name="customer.linked.v1"):
    """The customer is related to another party."""

    other: Id
    relation: Relation


class CustomerUnlinked(Event, name="customer.unlinked.v1"):
    """That relation has ended."""

    other: Id
    relation: Relation


CustomerEvent = (
    CustomerRegistered
    | IdentifierAdded
    | IdentifierRemoved
    | ProfileChanged
    | StageChanged
    | TierAssigned
    | ConsentGranted
    | ConsentWithdrawn
    | CustomerMerged
    | CustomerAbsorbed
    | CustomerUnmerged
    | CustomerReleased
    | PurchaseRecorded
    | SatisfactionRated
    | CustomerLinked
    | CustomerUnlinked
    | CustomerErased
)

# ---- State: only what later decisions need -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as the next decision sees it."""

    id: str
    exists: bool = False
    stage: Stage = "stranger"
    tier: str | None = None
    merged_into: str | None = None
    identifiers: dict[Identifier, int] = field(default_factory=dict)
    """The identifiers that lead here, and the number of each."""
    numbered: int = 0
    profile: dict[str, Any] = field(default_factory=dict)
    absorbed: frozenset[str] = frozenset()
    links: frozenset[tuple[str, str]] = frozenset()
    erased: bool = False


def evolve(customer: Customer, event: CustomerEvent) -> Customer:
    """What the customer is after the event."""
    match event:
        case CustomerRegistered():
            return replace(customer, exists=True, stage=event.stage, profile={"kind": event.kind})
        case IdentifierAdded():
            added = Identifier(event.kind, event.system, str(event.value))
            identifiers = {**customer.identifiers, added: event.number}
            return replace(customer, identifiers=identifiers, numbered=event.number)
        case IdentifierRemoved():
            kept = {i: n for i, n in customer.identifiers.items() if n != event.number}
            return replace(customer, identifiers=kept)
        case ProfileChanged():
            changed = {name: known(value) for name, value in event if value is not None}
            return replace(customer, profile={**customer.profile, **changed})
        case StageChanged():
            return replace(customer, stage=event.stage)
        case TierAssigned():
            return replace(customer, tier=event.tier)
        case CustomerMerged():
            return replace(customer, merged_into=event.into)
        case CustomerUnmerged():
            return replace(customer, merged_into=None)
        case CustomerAbsorbed():
            return replace(customer, absorbed=customer.absorbed | {event.other})
        case CustomerReleased():
            return replace(customer, absorbed=customer.absorbed - {event.other})
        case CustomerLinked():
            return replace(customer, links=customer.links | {(event.other, event.relation)})
        case CustomerUnlinked():
            return replace(customer, links=customer.links - {(event.other, event.relation)})
        case CustomerErased():
            return replace(customer, erased=True, identifiers={}, profile={})
        case ConsentGranted() | ConsentWithdrawn() | PurchaseRecorded() | SatisfactionRated():
            return customer
    assert_never(event)


# ---- Decisions: asked twice, nothing new happens -------------------------------------------------


def must_exist(customer: Customer) -> None:
    """Refuse to work on a customer that nobody has registered, or who was forgotten."""
    if not customer.exists:
        raise Rejected("customer.unknown", "There is no such customer.")
    if customer.erased:
        raise erased()


def meet(
    unknown: Customer, identifier: Identifier, introduced: CustomerRegistered | None = None
) -> list[CustomerEvent]:
    """Meet somebody for the first time, known by one identifier: a stranger, if not introduced."""
    channel = identifier.system or identifier.kind
    stranger = CustomerRegistered(kind="person", stage="stranger", channel=channel)
    return [introduced or stranger, *add_identifier(replace(unknown, exists=True), identifier)]


def register(customer: Customer, introduced: CustomerRegistered) -> list[CustomerEvent]:
    """Get to know a customer, or get to know them better."""
    return promote(customer, introduced.stage) if customer.exists else [introduced]


def add_identifier(customer: Customer, identifier: Identifier) -> list[CustomerEvent]:
    """Let a channel's identifier lead to this customer."""
    must_exist(customer)
    if identifier in customer.identifiers:
        return []
    added = {"number": customer.numbered + 1, **identifier._asdict()}
    return [IdentifierAdded.model_validate(added)]


def remove_identifier(customer: Customer, identifier: Identifier) -> list[CustomerEvent]:
    """Let an identifier lead to nobody."""
    must_exist(customer)
    if identifier not in customer.identifiers:
        return []
    removed = {"number": customer.identifiers[identifier], **identifier._asdict()}
    return [IdentifierRemoved.model_validate(removed)]


def change_profile(customer: Customer, change: ProfileChanged) -> list[CustomerEvent]:
    """Learn something about the customer; attributes add to those that are known."""
    must_exist(customer)
    given = change.model_dump(exclude_none=True)
    if not given:
        raise Rejected("customer.profile_empty", "A profile change must change something.")
    if "attributes" in given:
        all_of_them = {**(customer.profile.get("attributes") or {}), **given["attributes"]}
        given["attributes"] = {name: text for name, text in all_of_them.items() if text}
    changed = {
        name: value
        for name, value in given.items()
        if (value or None) != (customer.profile.get(name) or None)
    }
    return [ProfileChanged(**changed)] if changed else []


def change_stage(customer: Customer, stage: Stage) -> list[CustomerEvent]:
    """Deepen or loosen the relationship."""
    must_exist(customer)
    return [] if customer.stage == stage else [StageChanged(stage=stage)]


def promote(customer: Customer, at_least: Stage) -> list[CustomerEvent]:
    """Bring the relationship to a stage, unless it is deeper already."""
    must_exist(customer)
    if STAGES.index(customer.stage) >= STAGES.index(at_least):
        return []
    return change_stage(customer, at_least)


def assign_tier(customer: Customer, tier: str) -> list[CustomerEvent]:
    """Serve the customer as a member of a tier."""
    must_exist(customer)
    return [] if customer.tier == tier else [TierAssigned(tier=tier)]


def state_consent(
    customer: Customer, stated: ConsentGranted | ConsentWithdrawn
) -> list[CustomerEvent]:
    """Note that the customer agreed, or does not any more.

    Every statement is kept: they come late and out of order, and which one holds follows from when
    each was made. A withdrawal may well arrive before the consent that it ends.
    """
    must_exist(customer)
    return [stated]


def merge(
    customer: Customer, into: Customer, reason: str
) -> tuple[list[CustomerEvent], list[CustomerEvent]]:
    """Let `into` stand for `customer`, too: the events of each of the two."""
    must_exist(customer)
    must_exist(into)
    if customer.id == into.id:
        raise Rejected("customer.merge_self", "A customer cannot be merged with itself.")
    if customer.merged_into == into.id:
        return [], []
    if customer.merged_into is not None:
        raise Rejected(
            "customer.already_merged",
            f"This customer is already merged into {customer.merged_into}; unmerge it first.",
        )
    if into.merged_into is not None:
        raise Rejected(
            "customer.merge_target_merged",
            f"The target is itself merged into {into.merged_into}; merge into that one.",
        )
    return (
        [CustomerMerged(into=into.id, reason=reason)],
        [CustomerAbsorbed(other=customer.id, reason=reason)],
    )


def unmerge(
    customer: Customer, out_of: Customer, reason: str
) -> tuple[list[CustomerEvent], list[CustomerEvent]]:
    """Undo a merge: the events of each of the two."""
    must_exist(customer)
    must_exist(out_of)
    if customer.merged_into is None:
        return [], []
    if customer.merged_into != out_of.id:
        raise Rejected(
            "customer.not_merged_there", f"This customer is merged into {customer.merged_into}."
        )
    return (
        [CustomerUnmerged(out_of=out_of.id, reason=reason)],
        [CustomerReleased(other=customer.id, reason=reason)],
    )


def record_purchase(customer: Customer, purchase: PurchaseRecorded) -> list[CustomerEvent]:
    """Note a purchase; each one counts, so the message id is what tells two apart."""
    must_exist(customer)
    return [purchase]


def rate_satisfaction(customer: Customer, rating: SatisfactionRated) -> list[CustomerEvent]:
    """Note what the customer thinks of us."""
    must_exist(customer)
    scale, scores = rating.scale.upper(), SCORES[rating.scale]
    if rating.score not in scores:
        span = f"{scores.start} to {scores.stop - 1}"
        sentence = f"A {scale} score is {span}, not {rating.score}."
        raise Rejected("customer.score_out_of_scale", sentence)
    return [rating]


def link(customer: Customer, other: Customer, relation: Relation) -> list[CustomerEvent]:
    """Relate the customer to another party."""
    must_exist(customer)
    must_exist(other)
    if customer.id == other.id:
        raise Rejected("customer.link_self", "A customer cannot be linked to itself.")
    if (other.id, relation) in customer.links:
        return []
    return [CustomerLinked(other=other.id, relation=relation)]


def unlink(customer: Customer, other: str, relation: Relation) -> list[CustomerEvent]:
    """End a relation."""
    must_exist(customer)
    if (other, relation) not in customer.links:
        return []
    return [CustomerUnlinked(other=other, relation=relation)]
