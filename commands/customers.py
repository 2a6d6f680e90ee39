"""What can be asked about customers."""

from functools import reduce
from typing import Annotated

from pydantic import Field

from commands.command import (
    Change,
    ChosenIdentifier,
    Command,
    CustomerRef,
    Reader,
    Ref,
)
from domain import customer as rules
from domain.customer import Customer, CustomerEvent, Kind, Relation, Scale, Stage
from domain.rejected import Rejected
from domain.values import Id, Label, Money, Text

Attributes = Annotated[dict[Label, Text], Field(max_length=50)]


class CustomerCommand(Command):
    """A command that changes one customer."""

    customer: CustomerRef

    def change(self, customer: Customer) -> list[CustomerEvent]:
        """Say what happens to the customer."""
        raise NotImplementedError

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        customer = the.customer(self.customer)
        return [(customer, self.change(customer))]


class RegisterCustomer(Command, name="customer.register", publishes="customer.registered.v1"):
    """Get to know a customer; a stranger who gives more becomes an acquaintance."""

    customer: CustomerRef
    kind: Kind | None = None
    stage: Stage = "acquaintance"
    channel: Label = "api"
    full_name: Text | None = None
    language: Text | None = None
    country: Text | None = None
    attributes: Attributes | None = None

    def decide(self, the: Reader) -> list[Change]:
        """Register, or deepen what is known, and note the profile."""
        introduced = rules.CustomerRegistered(
            kind=self.kind or "person", stage=self.stage, channel=self.channel
        )
        customer = the.customer(self.customer, introduced)
        events = rules.register(customer, introduced)
        profile = self.model_dump(include=set(rules.ProfileChanged.model_fields))
        told = rules.ProfileChanged(**profile)
        if told != rules.ProfileChanged():
            registered = reduce(rules.evolve, events, customer)
            events = [*events, *rules.change_profile(registered, told)]
        return [(customer, events)]


class AddIdentifier(
    Command, name="customer.add_identifier", publishes="customer.identifier_added.v1"
):
    """Let another identifier lead to a customer."""

    customer: CustomerRef
    identifier: ChosenIdentifier

    def decide(self, the: Reader) -> list[Change]:
        """Add it, unless it leads to somebody else."""
        customer = the.customer(self.customer)
        identifier = self.identifier.identifier()
        owner = the.owner(identifier)
        if owner not in (None, customer.id):
            raise Rejected(
                "customer.identifier_taken",
                f"That {identifier.kind} leads to customer {owner}; merge the two or remove it.",
            )
        return [(customer, rules.add_identifier(customer, identifier))]


class RemoveIdentifier(
    Command, name="customer.remove_identifier", publishes="customer.identifier_removed.v1"
):
    """Let an identifier lead to nobody."""

    customer: CustomerRef
    identifier: ChosenIdentifier

    def decide(self, the: Reader) -> list[Change]:
        """Remove it, unless it leads to nobody already: that is no reason to meet a stranger."""
        identifier = self.identifier.identifier()
        if the.owner(identifier) is None:
            return []
        customer = the.customer(self.customer)
        return [(customer, rules.remove_identifier(customer, identifier))]


class ChangeProfile(
    CustomerCommand, name="customer.change_profile", publishes="customer.profile_changed.v1"
):
    """Learn something about a customer; only what is given changes, and "" takes it back."""

    kind: Kind | None = None
    full_name: Text | None = None
    language: Text | None = None
    country: Text | None = None
    attributes: Attributes | None = None

    def change(self, customer: Customer) -> list[CustomerEvent]:
        """Say what happens to the customer."""
        profile = self.model_dump(exclude={"customer"})
        return rules.change_profile(customer, rules.ProfileChanged(**profile))


class ChangeStage(
    CustomerCommand, name="customer.change_stage", publishes="customer.stage_changed.v1"
):
    """Deepen or loosen the relationship."""

    stage: Stage

    def change(self, customer: Customer) -> list[CustomerEvent]:
        """Say what happens to the customer."""
        return rules.change_stage(customer, self.stage)


class AssignTier(
    CustomerCommand, name="customer.assign_tier", publishes="customer.tier_assigned.v1"
):
    """Serve a customer as a member of a tier."""

    tier: Label

    def change(self, customer: Customer) -> list[CustomerEvent]:
        """Say what happens to the customer."""
        return rules.assign_tier(customer, self.tier)


class GrantConsent(
    CustomerCommand, name="customer.grant_consent", publishes="customer.consent_granted.v1"
):
    """Note that a customer agreed to a purpose over a channel."""

    purpose: Label
    channel: Label
    text_version: Label

    def change(self, customer: Customer) -> list[CustomerEvent]:
        """Say what happens to the customer."""
        granted = rules.ConsentGranted(**self.model_dump(exclude={"customer"}))
        return rules.state_consent(customer, granted)


class WithdrawConsent(
    CustomerCommand, name="customer.withdraw_consent", publishes="customer.consent_withdrawn.v1"
):
    """Note that a customer took a consent back."""

    purpose: Label
    channel: Label
    text_version: Label | None = None

    def change(self, customer: Customer) -> list[CustomerEvent]:
        """Say what happens to the customer."""
        withdrawn = rules.ConsentWithdrawn(**self.model_dump(exclude={"customer"}))
        return rules.state_consent(customer, withdrawn)


class MergeCustomer(Command, name="customer.merge", publishes="customer.merged.v1"):
    """Let `into` stand for `customer`, too."""

    customer: CustomerRef
    into: CustomerRef
    reason: Label

    def decide(self, the: Reader) -> list[Change]:
        """Change both, so that no two merges cross; a mistyped name does not become somebody."""
        for ref in (self.customer, self.into):
            if isinstance(ref, Ref) and the.owner(ref.identifier()) is None:
                raise Rejected("customer.unknown", "Both customers must be known to be merged.")
        customer, into = the.customer(self.customer), the.customer(self.into)
        merged, absorbed = rules.merge(customer, into, self.reason)
        return [(customer, merged), (into, absorbed)]


class UnmergeCustomer(Command, name="customer.unmerge", publishes="customer.unmerged.v1"):
    """Undo a merge; the customer stands for itself again."""

    customer: Id
    reason: Label

    def decide(self, the: Reader) -> list[Change]:
        """Change both."""
        customer = the.customer(self.customer)
        rules.must_exist(customer)
        out_of = the.customer(customer.merged_into or customer.id)
        unmerged, released = rules.unmerge(customer, out_of, self.reason)
        return [(customer, unmerged), (out_of, released)]


class RecordPurchase(
    CustomerCommand, name="customer.record_purchase", publishes="customer.purchase_recorded.v1"
):
    """Note that a customer bought something, or brought it back: then the numbers are negative."""

    amount: Money
    quantity: int = Field(default=1, ge=-1_000_000_000, le=1_000_000_000)
    product: Label | None = None

    def change(self, customer: Customer) -> list[CustomerEvent]:
        """Say what happens to the customer."""
        bought = rules.PurchaseRecorded(
            amount=self.amount, quantity=self.quantity, product=self.product
        )
        return rules.record_purchase(customer, bought)


class RateSatisfaction(
    CustomerCommand, name="customer.rate_satisfaction", publishes="customer.satisfaction_rated.v1"
):
    """Note how satisfied a customer is: CSAT 1 to 5, NPS 0 to 10."""

    scale: Scale
    score: int
    comment: Text = ""
    about: Id | None = None

    def change(self, customer: Customer) -> list[CustomerEvent]:
        """Say what happens to the customer."""
        rating = rules.SatisfactionRated(**self.model_dump(exclude={"customer"}))
        return rules.rate_satisfaction(customer, rating)


class LinkCustomer(Command, name="customer.link", publishes="customer.linked.v1"):
    """Relate a customer to another party."""

    customer: CustomerRef
    other: CustomerRef
    relation: Relation

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        customer, other = the.customer(self.customer), the.customer(self.other)
        return [(customer, rules.link(customer, other, self.relation))]


class UnlinkCustomer(Command, name="customer.unlink", publishes="customer.unlinked.v1"):
    """End a relation."""

    customer: CustomerRef
    other: CustomerRef
    relation: Relation

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        customer, other = the.customer(self.customer), the.customer_id(self.other)
        return [(customer, rules.unlink(customer, other, self.relation))]


CUSTOMER_COMMANDS: tuple[type[Command], ...] = (
    RegisterCustomer,
    AddIdentifier,
    RemoveIdentifier,
    ChangeProfile,
    ChangeStage,
    AssignTier,
    GrantConsent,
    WithdrawConsent,
    MergeCustomer,
    UnmergeCustomer,
    RecordPurchase,
    RateSatisfaction,
    LinkCustomer,
    UnlinkCustomer,
)
