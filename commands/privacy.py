"""What only the system itself asks of customers: no channel and no route can."""

from commands.command import Change, Command, Reader
from domain.erasure import CustomerErased
from domain.values import Id


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
