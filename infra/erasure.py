"""Erasing a customer: asked by one person, approved by another, certified at the end.

The keys die first, everywhere; then what else could lead to the person is removed and searched for.
Every step can be repeated: an erasure that was interrupted goes on where it was.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog

from commands.execute import execute
from commands.ports import Request, Who
from commands.privacy import EraseCustomer
from domain.personal import GROUPS
from domain.rejected import Rejected
from infra.approvals import Approvals, Asked
from infra.certificate import certified, told_to
from infra.erasure_ledger import Entry
from infra.ids import uuid7
from infra.reader import Reader
from infra.runtime import Runtime
from infra.traces import discard_refused, remove, scan, words_of

BEGIN = """
INSERT INTO crm.erasure (id, tenant, subjects, state)
VALUES (%(id)s, %(tenant)s, %(subjects)s, %(state)s)
ON CONFLICT (id) DO UPDATE SET state = excluded.state WHERE erasure.state <> 'done'
"""
HELD = "SELECT subject FROM crm.hold WHERE tenant = %s AND subject = ANY(%s::uuid[])"
log = structlog.get_logger()


class Erasure(NamedTuple):
    """What became of a request to erase: `held`, or `done` with its certificate."""

    id: str
    state: str
    certificate: str | None


def ask(runtime: Runtime, who: Who, customer: str, reason: str) -> Asked:
    """Ask that a customer, and all who are merged into it, be erased. Raises `Rejected`."""
    subjects = Reader(runtime).same_customer(who.tenant, customer)
    if not subjects:
        raise Rejected("customer.unknown", "There is no such customer.")
    what = {"customer": customer, "subjects": subjects, "groups": GROUPS, "reason": reason}
    return Approvals(runtime.pool).ask(who, "erasure", what)


def erase(runtime: Runtime, tenant: str, id_: str) -> Erasure:
    """Carry an approved erasure out, or note that a legal hold keeps it. Raises `Rejected`."""
    known = find(runtime, tenant, id_)
    if known is not None and known.state == "done":
        return known
    asked = Approvals(runtime.pool).approved(tenant, id_, "erasure")
    subjects = list(asked.what["subjects"])
    held = under_hold(runtime, tenant, subjects)
    if held:
        begin(runtime, tenant, id_, subjects, "held")
        runtime.keyring.hold(tenant, subjects, held=True)
        log.info("erasure.held", erasure=id_, customers=len(held))
        return Erasure(id_, "held", None)
    begin(runtime, tenant, id_, subjects, "begun")
    runtime.ledger.add(Entry(tenant, subject, id_) for subject in subjects)
    certificate = destroy(runtime, tenant, id_, subjects, asked)
    Approvals(runtime.pool).done(tenant, id_)
    return Erasure(id_, "done", certificate)


def destroy(
    runtime: Runtime, tenant: str, id_: str, subjects: Sequence[str], asked: Asked | None
) -> str:
    """Destroy the keys, remove the traces, search, certify. Raises `Rejected`.

    What quotes the customers goes first: without the keys nobody knows what to search for.
    """
    recipients = runtime.keyring.access.recipients(tenant, subjects)
    shown_to = [each._asdict() for each in recipients]
    words = sorted(words_of(runtime, tenant, subjects))
    refused = discard_refused(runtime, tenant, [*words, *subjects])
    runtime.keyring.destroy(tenant, subjects, GROUPS, id_)
    who = Who(tenant, f"erasure:{id_}")
    for subject in subjects:
        command = EraseCustomer(customer=subject, erasure=id_)
        execute([Request(command, uuid7())], who, runtime.ports)
    removed = remove(runtime, tenant, subjects)
    searched = scan(runtime, tenant, subjects, words)
    if searched.found:
        raise Rejected("erasure.incomplete", f"Something is left in {', '.join(searched.found)}.")
    runtime.audit.checkpoint()
    told: dict[str, Any] = {
        "erasure": id_, "tenant": tenant, "subjects": subjects, "groups": GROUPS,
        "asked_by": asked and asked.asked_by, "approved_by": asked and asked.approved_by,
        "request": asked and asked.digest, "done_at": runtime.ports.now(),
        "keys": [key._asdict() for key in runtime.keyring.destroyed(tenant, id_)],
        "removed": removed._asdict() | {"refused_messages": refused},
        "scan": searched._asdict(), "recipients": shown_to, "told": told_to(runtime),
    }  # fmt: skip
    certificate = certified(runtime, told)
    query = "UPDATE crm.erasure SET state = 'done', certificate = %s WHERE id = %s"
    with runtime.pool.connection() as conn:
        conn.execute(query, [certificate, id_])
    log.info("erasure.done", erasure=id_, keys=len(told["keys"]))
    return certificate


def find(runtime: Runtime, tenant: str, id_: str) -> Erasure | None:
    """Give what is known of an erasure."""
    query = "SELECT id, state, certificate FROM crm.erasure WHERE tenant = %s AND id = %s"
    with runtime.pool.connection() as conn:
        row = conn.execute(query, [tenant, id_]).fetchone()
    return Erasure(*row) if row else None


def begin(runtime: Runtime, tenant: str, id_: str, subjects: Sequence[str], state: str) -> None:
    """Note that an erasure has begun, or waits for a hold to end."""
    arguments = {"id": id_, "tenant": tenant, "subjects": list(subjects), "state": state}
    with runtime.pool.connection() as conn:
        conn.execute(BEGIN, arguments)


def under_hold(runtime: Runtime, tenant: str, subjects: Sequence[str]) -> list[str]:
    """Tell which customers are under a legal hold."""
    with runtime.pool.connection() as conn:
        return [subject for (subject,) in conn.execute(HELD, [tenant, list(subjects)])]


def reapply(runtime: Runtime) -> int:
    """Erase again whom a restored database has brought back; gives how many customers."""
    with runtime.keys.connection() as conn:
        missing = runtime.ledger.missing(conn)
    for entry in missing:
        begin(runtime, entry.tenant, entry.erasure, [entry.subject], "begun")
        destroy(runtime, entry.tenant, entry.erasure, [entry.subject], None)
    return len(missing)
