"""What customers ask about their data, carried out for all their ids: restriction and objection."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from commands.execute import execute
from commands.ports import Request, Who
from commands.privacy import (
    LiftRestriction,
    ObjectToProcessing,
    RestrictProcessing,
    RightsCommand,
    WithdrawObjection,
)
from domain.privacy_request import Kind
from domain.rejected import Rejected
from domain.rights import Ground
from infra.database import Pool
from infra.ids import uuid7
from infra.privacy.requests import carried_out, everybody
from infra.runtime import Runtime

LIMITED = """
SELECT subject, grounds, objections FROM crm.rights
WHERE tenant = %s AND (grounds <> '{}' OR objections <> '{}') ORDER BY subject LIMIT %s
"""

Asking = Callable[..., RightsCommand]
"""Makes the command for one id of a customer."""


class Limited(NamedTuple):
    """A customer whose data is restricted, or who objects to something."""

    customer: str
    grounds: list[str]
    objections: list[str]


def restrict(runtime: Runtime, who: Who, customer: str, ground: Ground) -> list[str]:
    """Only store a customer's data from now on; gives its ids. Raises `Rejected`."""
    return ask(runtime, who, customer, partial(RestrictProcessing, ground=ground), "restriction")


def lift(runtime: Runtime, who: Who, customer: str, ground: Ground) -> list[str]:
    """End one ground of a restriction; gives the customer's ids. Raises `Rejected`."""
    if ground == "legal_hold":
        raise Rejected("rights.legal_hold", "That restriction ends with the legal hold.")
    return ask(runtime, who, customer, partial(LiftRestriction, ground=ground))


def object_to(runtime: Runtime, who: Who, customer: str, purpose: str) -> list[str]:
    """Stop processing for a purpose; gives the customer's ids. Raises `Rejected`."""
    return ask(runtime, who, customer, partial(ObjectToProcessing, purpose=purpose), "objection")


def withdraw_objection(runtime: Runtime, who: Who, customer: str, purpose: str) -> list[str]:
    """End an objection; gives the customer's ids. Raises `Rejected`."""
    return ask(runtime, who, customer, partial(WithdrawObjection, purpose=purpose))


def legal_hold(*, restricts: bool) -> Asking:
    """Restrict whoever is to be erased and is under a legal hold, or end that."""
    kind = RestrictProcessing if restricts else LiftRestriction
    return partial(kind, ground="legal_hold")


def ask(
    runtime: Runtime, who: Who, customer: str, asking: Asking, request: Kind | None = None
) -> list[str]:
    """Ask for something of a customer and all who are merged into it. Raises `Rejected`.

    It carries a person's `request` out, of a kind, whether that was noted before or not.
    """
    subjects = everybody(runtime, who.tenant, customer)
    ask_of_all(runtime, who, subjects, asking)
    if request is not None:
        carried_out(runtime, who, subjects, request)
    return subjects


def ask_of_all(runtime: Runtime, who: Who, subjects: Sequence[str], asking: Asking) -> None:
    """Ask for something of several ids, in one transaction. Raises `Rejected`."""
    requests = [Request(asking(customer=subject), uuid7()) for subject in subjects]
    for verdict in execute(requests, who, runtime.ports):
        if verdict.status != "accepted":
            raise Rejected(verdict.code, verdict.sentence)


def limited(pool: Pool, tenant: str, limit: int) -> list[Limited]:
    """List the customers whose data is restricted, or who object to something."""
    with pool.connection() as conn:
        return [Limited(*row) for row in conn.execute(LIMITED, [tenant, limit])]
