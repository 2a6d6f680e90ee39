"""What only the system itself asks of customers: no channel and no route can."""

from commands.command import Change, Command, Reader
from domain import rights as rules
from domain.erasure import CustomerErased
from domain.personal import Group
from domain.rights import Rights
from domain.schedule import Schedule, set_schedules
from domain.values import Id, Label


class EraseCustomer(Command, name="customer.erase", publishes="customer.erased.v1"):
    """Note that a customer was forgotten. Its keys are destroyed before this is asked."""

    customer: Id
    erasure: Id

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        customer = the.customer(self.customer)
        if customer.erased or not customer.exists:
            return []
        return [(customer, [CustomerErased(erasure=self.erasure)])]


class ExpireData(Command, name="rights.expire", publishes="rights.data_expired.v1"):
    """Note that a schedule has destroyed keys. They are gone before this is asked."""

    customer: Id
    schedule: Label | None = None
    groups: tuple[Group, ...]
    erasure: Id

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        rights = the.rights(self.customer)
        return [(rights, rules.expire(rights, rules.DataExpired(**vars(self))))]


class SetSchedules(Command, name="schedule.set", publishes="schedule.set.v1"):
    """Keep personal data as long as these schedules say, from now on. Two people have agreed."""

    schedules: tuple[Schedule, ...]

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        place, held = the.schedules()
        return [(place, set_schedules(held, self.schedules))]


class RightsCommand(Command):
    """A command about what a customer has asked about its data."""

    customer: Id

    def change(self, rights: Rights) -> list[rules.RightsEvent]:
        """Say what changes."""
        raise NotImplementedError

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes, of a customer who exists."""
        rights = the.rights(the.customer_id(self.customer))
        return [(rights, self.change(rights))]


class RestrictProcessing(RightsCommand, name="rights.restrict", publishes="rights.restricted.v1"):
    """Only store a customer's data from now on (GDPR 18), on one ground of possibly several."""

    ground: rules.Ground

    def change(self, rights: Rights) -> list[rules.RightsEvent]:
        """Say what changes."""
        return rules.restrict(rights, self.ground)


class LiftRestriction(
    RightsCommand, name="rights.lift_restriction", publishes="rights.restriction_lifted.v1"
):
    """Note that a ground for restricting a customer's data does not exist any more."""

    ground: rules.Ground

    def change(self, rights: Rights) -> list[rules.RightsEvent]:
        """Say what changes."""
        return rules.lift(rights, self.ground)


class ObjectToProcessing(RightsCommand, name="rights.object", publishes="rights.objected.v1"):
    """Stop processing a customer's data for a purpose (GDPR 21)."""

    purpose: Label = rules.PROFILING

    def change(self, rights: Rights) -> list[rules.RightsEvent]:
        """Say what changes."""
        return rules.object_to(rights, self.purpose)


class WithdrawObjection(
    RightsCommand, name="rights.withdraw_objection", publishes="rights.objection_withdrawn.v1"
):
    """Note that a customer does not object to a purpose any more."""

    purpose: Label = rules.PROFILING

    def change(self, rights: Rights) -> list[rules.RightsEvent]:
        """Say what changes."""
        return rules.withdraw_objection(rights, self.purpose)


class RectifyData(RightsCommand, name="rights.rectify", publishes="rights.rectified.v1"):
    """Note that what some events say of a customer was wrong (GDPR 16)."""

    events: tuple[Id, ...]
    fields: tuple[Label, ...]
    reason: Label

    def change(self, rights: Rights) -> list[rules.RightsEvent]:
        """Say what changes."""
        return rules.rectify(rights, rules.DataRectified(**vars(self)))
