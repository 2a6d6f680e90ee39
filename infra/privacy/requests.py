"""Requests of persons: opened, carried out, extended, and listed by when they are due."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.rows import dict_row

from commands.cases import ResolveCase
from commands.execute import execute
from commands.ports import Request, Who
from commands.privacy_requests import LAWS, ExtendPrivacyRequest, OpenPrivacyRequest
from domain.case import CaseOpened
from domain.privacy_request import CATEGORIES, CLOCK, Kind, Law
from domain.rejected import Rejected
from infra.audit.same_customer import same_customer
from infra.ids import uuid7
from infra.runtime import Runtime
from infra.seeing import seeing_held
from infra.store.envelope import decode

DONE = "carried out"

OPENED = """
SELECT envelope FROM crm.event
WHERE tenant = %s AND subject = ANY(%s::uuid[]) AND type = 'case.opened.v1' ORDER BY seq
"""
OPEN = """
SELECT key, customer, category, status, opened_at, agreement, agreement_version, clocks
FROM read.sla_clocks
WHERE tenant = %(tenant)s AND category = ANY(%(categories)s)
  AND (%(all)s OR status <> 'resolved') AND (%(key)s::uuid IS NULL OR key = %(key)s)
"""


class PrivacyRequest(NamedTuple):
    """A request of a person; ids alone."""

    id: str
    customer: str
    kind: Kind
    law: Law | None
    status: str
    received_at: datetime
    extended: bool
    due_at: datetime | None
    overdue: bool


def open_request(
    runtime: Runtime,
    who: Who,
    customer: str,
    kind: Kind,
    law: Law = "gdpr",
    *,
    received: datetime | None = None,
    channel: str = "itself",
    id_: str | None = None,
) -> str:
    """Note that a person asked for something; gives the id of the case. Raises `Rejected`."""
    case = id_ or uuid7()
    command = OpenPrivacyRequest(case=case, customer=customer, kind=kind, law=law, channel=channel)
    asked(runtime, who, Request(command, uuid7(), time=received))
    return case


def carried_out(runtime: Runtime, who: Who, subjects: Sequence[str], kind: Kind) -> None:
    """Note that what these ids of a customer asked for was done, asked for before or just now."""
    cases = list(requests_of(runtime, who.tenant, subjects, kind))
    for case in cases or [open_request(runtime, who, subjects[0], kind)]:
        resolve(runtime, who, case)


def resolve(runtime: Runtime, who: Who, case: str) -> None:
    """Note that a request was carried out; one that somebody has closed is left as it is."""
    execute([Request(ResolveCase(case=case, resolution=DONE), uuid7())], who, runtime.ports)


def extend(runtime: Runtime, who: Who, case: str, reason: str) -> PrivacyRequest:
    """Take the longer time that the law allows. Raises `Rejected`."""
    found = next(requests(runtime, who.tenant, runtime.ports.now(), case=case, done=True), None)
    if found is None:
        raise Rejected("privacy_request.unknown", "There is no such request of a customer.")
    command = ExtendPrivacyRequest(case=case, received=found.received_at, reason=reason)
    asked(runtime, who, Request(command, uuid7()))
    return found


def requests_of(
    runtime: Runtime, tenant: str, subjects: Sequence[str], kind: Kind
) -> Iterator[str]:
    """Give all cases of a customer's requests of a kind, from the events themselves."""
    with runtime.pool.connection() as conn:
        rows = conn.execute(OPENED, [tenant, list(subjects)], binary=True).fetchall()
    for recorded in (decode(envelope) for (envelope,) in rows):
        opened = recorded.event
        if isinstance(opened, CaseOpened) and CATEGORIES.get(opened.category) == kind:
            yield recorded.stream


def requests(
    runtime: Runtime, tenant: str, at: datetime, *, case: str | None = None, done: bool = False
) -> Iterator[PrivacyRequest]:
    """List requests by when they are due; those that are carried out only if asked for.

    Those of restricted customers as well: the law's clock runs for them, too.
    """
    arguments = {"tenant": tenant, "categories": list(CATEGORIES), "all": done, "key": case}
    with (
        seeing_held(),
        runtime.pool.connection() as conn,
        conn.cursor(row_factory=dict_row) as cursor,
    ):
        rows = cursor.execute(OPEN, arguments).fetchall()
    found = [request_of(row, at) for row in rows]
    return iter(sorted(found, key=lambda each: (each.due_at or at, each.id)))


def request_of(row: dict[str, Any], at: datetime) -> PrivacyRequest:
    """Read a request off the row of its case."""
    clock: dict[str, Any] = next((c for c in row["clocks"] if c["clock"] == CLOCK), {})
    deadline = clock.get("deadline")
    due_at = datetime.fromisoformat(deadline) if deadline else None
    ended = datetime.fromisoformat(clock["ended_at"]) if clock.get("ended_at") else at
    return PrivacyRequest(
        id=row["key"],
        customer=row["customer"],
        kind=CATEGORIES[row["category"]],
        law=LAWS.get(row["agreement"]),
        status=row["status"],
        received_at=row["opened_at"],
        extended=row["agreement_version"] == 2,
        due_at=due_at,
        overdue=due_at is not None and ended > due_at,
    )


def asked(runtime: Runtime, who: Who, request: Request) -> None:
    """Ask for one thing. Raises `Rejected`."""
    [verdict] = execute([request], who, runtime.ports)
    if verdict.status not in ("accepted", "duplicate"):
        raise Rejected(verdict.code, verdict.sentence)


def everybody(runtime: Runtime, tenant: str, customer: str) -> list[str]:
    """Give all ids of a customer. Raises `Rejected`."""
    subjects = same_customer(runtime, tenant, customer)
    if not subjects:
        raise Rejected("customer.unknown", "There is no such customer.")
    return subjects
