"""Forgetting a customer: what is noted of it, when the keys are destroyed already."""

from collections.abc import Iterable

from domain.events import Event
from domain.rejected import Rejected
from domain.values import Id


def erased() -> Rejected:
    """Refuse to keep more about a customer who was forgotten."""
    return Rejected("customer.erased", "This customer was erased; nothing more is kept about them.")


def expired(groups: Iterable[str]) -> Rejected:
    """Refuse to keep more of a group whose keys a schedule has destroyed."""
    told = ", ".join(sorted(groups))
    return Rejected(
        "customer.data_expired",
        f"What is kept of this customer in {told} has expired; nothing more of it is kept.",
    )


class CustomerErased(Event, name="customer.erased.v1"):
    """The customer was forgotten: its keys are destroyed, as the certificate of this id tells."""

    erasure: Id
