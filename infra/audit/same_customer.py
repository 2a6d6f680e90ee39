"""Which ids are the same customer, by their own streams: a read model may not know a merge yet.

Whoever forgets, restricts or exports a person must miss none of them, however far behind it is.
"""

from collections.abc import Iterable

from domain.customer import (
    Customer,
    CustomerAbsorbed,
    CustomerMerged,
    CustomerReleased,
    CustomerUnmerged,
    evolve,
)
from infra.runtime import Runtime

MERGES = CustomerAbsorbed, CustomerMerged, CustomerReleased, CustomerUnmerged


def same_customer(runtime: Runtime, tenant: str, customer: str) -> list[str]:
    """Give the ids that are one customer, the one who stands for all first; none if unknown."""
    found = merges_of(runtime, tenant, [customer])
    while found and found[0].merged_into is not None:
        found = merges_of(runtime, tenant, [found[0].merged_into])
    same = {each.id for each in found}
    first, new = [*same], found
    while new:
        absorbed = frozenset[str]().union(*(each.absorbed for each in new)) - same
        same |= absorbed
        new = merges_of(runtime, tenant, absorbed) if absorbed else []
    return [*first, *sorted(same.difference(first))]


def merges_of(runtime: Runtime, tenant: str, ids: Iterable[str]) -> list[Customer]:
    """Give customers as far as merges go."""
    found = []
    for id_, history in runtime.store.load(tenant, ids).items():
        if history[0].subject != id_:
            continue  # a case, or a lead
        customer = Customer(id_)
        for recorded in history:
            if isinstance(recorded.event, MERGES):
                customer = evolve(customer, recorded.event)
        found.append(customer)
    return found
