"""Forgetting a customer: what is noted of it, when the keys are destroyed already."""

from domain.events import Event
from domain.rejected import Rejected
from domain.values import Id


def erased() -> Rejected:
    """Refuse to keep more about a customer who was forgotten."""
    return Rejected("customer.erased", "This customer was erased; nothing more is kept about them.")


class CustomerErased(Event, name="customer.erased.v1"):
    """The customer was forgotten: its keys are destroyed, as the certificate of this id tells."""

    erasure: Id
