"""What can be asked about agreements, and about the credits that they owe."""

from typing import ClassVar

from pydantic import Field

from commands.command import AgreementRef, CaseRef, Change, Command, CustomerIdRef, Fact, Reader
from domain import agreement as rules
from domain import credit
from domain import customer as customers
from domain.agreement import Agreement, AgreementEvent, Promise
from domain.customer import CustomerRegistered
from domain.values import Instant, Label


class AgreementCommand(Command):
    """A command that changes one agreement."""

    by_channels: ClassVar[bool] = False

    agreement: AgreementRef

    def change(self, agreement: Agreement, the: Reader) -> list[AgreementEvent]:
        """Say what happens to the agreement."""
        raise NotImplementedError

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes; an agreement is about the organisation itself."""
        agreement = the.agreement(self.agreement)
        place = Fact(id=agreement.id, subject=the.customer_of_itself().id)
        return [(place, self.change(agreement, the))]


class DefineAgreement(AgreementCommand, name="agreement.define", publishes="agreement.defined.v1"):
    """Make an agreement."""

    promise: Promise
    applies_from: Instant

    def decide(self, the: Reader) -> list[Change]:
        """With its first agreement an organisation becomes a customer: its own partner."""
        organisation = the.customer_of_itself()
        introduced = CustomerRegistered(kind="organisation", stage="partner", channel="itself")
        known = customers.register(organisation, introduced)
        return [(organisation, known), *super().decide(the)]

    def change(self, agreement: Agreement, the: Reader) -> list[AgreementEvent]:
        """Say what happens to the agreement."""
        defined = rules.AgreementDefined(promise=self.promise, applies_from=self.applies_from)
        return rules.define(agreement, defined, the.agreements())


class ReviseAgreement(AgreementCommand, name="agreement.revise", publishes="agreement.revised.v1"):
    """Let an agreement say something else from a date on."""

    promise: Promise
    applies_from: Instant
    reason: Label

    def change(self, agreement: Agreement, the: Reader) -> list[AgreementEvent]:
        """Say what happens to the agreement."""
        revised = rules.AgreementRevised(
            promise=self.promise, applies_from=self.applies_from, reason=self.reason
        )
        return rules.revise(agreement, revised, the.agreements())


class RetireAgreement(AgreementCommand, name="agreement.retire", publishes="agreement.retired.v1"):
    """Stop putting new cases under an agreement."""

    applies_from: Instant
    reason: Label

    def change(self, agreement: Agreement, _the: Reader) -> list[AgreementEvent]:
        """Say what happens to the agreement."""
        retired = rules.AgreementRetired(applies_from=self.applies_from, reason=self.reason)
        return rules.retire(agreement, retired)


class ReviewAgreement(AgreementCommand, name="agreement.review", publishes="agreement.reviewed.v1"):
    """Note that the parties have looked at what was promised and what was kept."""

    outcome: Label

    def change(self, agreement: Agreement, _the: Reader) -> list[AgreementEvent]:
        """Say what happens to the agreement."""
        return rules.review(agreement, self.outcome)


class ReverseCredit(Command, name="credit.reverse", publishes="credit.reversed.v1"):
    """Take back a credit that a breach has earned."""

    by_channels: ClassVar[bool] = False

    agreement: AgreementRef
    customer: CustomerIdRef
    period: Label
    case: CaseRef
    clock: Label
    instance: int = Field(ge=1, le=1_000_000)
    reason: Label

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        agreement, customer = the.agreement(self.agreement), the.customer_id(self.customer)
        ledger = the.ledger(agreement.id, customer, self.period)
        breach = (the.case_id(self.case), self.clock, self.instance)
        return [(ledger, credit.reverse(ledger, breach, self.reason))]


AGREEMENT_COMMANDS: tuple[type[Command], ...] = (
    DefineAgreement,
    ReviseAgreement,
    RetireAgreement,
    ReviewAgreement,
    ReverseCredit,
)
