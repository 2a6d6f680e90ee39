"""Erasing a customer: asked by one person, approved by another, certified at the end.

The keys die first, everywhere; then what else could lead to the person is removed and searched for.
Every step can be repeated: an erasure that was interrupted goes on where it was.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog

from commands.execute import execute
from commands.ports import Request, Who
from commands.privacy import EraseCustomer, ExpireData
from domain.personal import GROUPS, Group
from domain.privacy_request import Law
from domain.rejected import Rejected
from infra.approvals import Approvals, Asked
from infra.database import Pool
from infra.ids import uuid7
from infra.privacy.certificate import certified, told_to
from infra.privacy.erasure_ledger import Entry
from infra.privacy.requests import everybody, open_request, resolve
from infra.privacy.rights import ask_of_all, legal_hold
from infra.privacy.traces import discard_refused, quoting, remove, scan, words_of
from infra.runtime import Runtime

BEGIN = """
INSERT INTO crm.erasure (id, tenant, subjects, state, groups, schedule)
VALUES (%(id)s, %(tenant)s, %(subjects)s, %(state)s, %(groups)s, %(schedule)s)
ON CONFLICT (id) DO UPDATE SET state = excluded.state WHERE erasure.state <> 'done'
"""
HELD = "SELECT subject FROM crm.hold WHERE tenant = %s AND subject = ANY(%s::uuid[])"
UNFINISHED = """
SELECT id, subjects, groups, schedule FROM crm.erasure
WHERE tenant = %s AND state = 'begun' AND schedule IS NOT NULL
"""

log = structlog.get_logger()


class Task(NamedTuple):
    """Whom to erase, and which groups of keys; because somebody asked, or by a schedule."""

    id: str
    tenant: str
    subjects: Sequence[str]
    groups: Sequence[Group] = GROUPS
    asked: Asked | None = None
    schedule: str | None = None


class Erasure(NamedTuple):
    """What became of a request to erase: `held`, or `done` with its certificate."""

    id: str
    state: str
    certificate: str | None


def ask(runtime: Runtime, who: Who, customer: str, reason: str, law: Law = "gdpr") -> Asked:
    """Ask that a customer, and all who are merged into it, be erased. Raises `Rejected`.

    The request is a case of its own, under the same id.
    """
    subjects = everybody(runtime, who.tenant, customer)
    what = {"customer": customer, "subjects": subjects, "groups": GROUPS, "reason": reason}
    asked = Approvals(runtime.pool).ask(who, "erasure", what)
    open_request(runtime, who, subjects[0], "erasure", law, id_=asked.id)
    return asked


def erase(runtime: Runtime, tenant: str, id_: str) -> Erasure:
    """Carry an approved erasure out, or note that a legal hold keeps it. Raises `Rejected`."""
    known = find(runtime, tenant, id_)
    if known is not None and known.state == "done":
        return known
    asked = Approvals(runtime.pool).approved(tenant, id_, "erasure")
    subjects = list(asked.what["subjects"])
    task = Task(id_, tenant, subjects, asked=asked)
    held = under_hold(runtime, tenant, subjects)
    if held:
        begin(runtime, task, "held")
        runtime.keyring.hold(tenant, subjects, held=True)
        ask_of_all(runtime, Who(tenant, f"erasure:{id_}"), subjects, legal_hold(restricts=True))
        log.info("erasure.held", erasure=id_, customers=len(held))
        return Erasure(id_, "held", None)
    certificate = carry_out(runtime, task)
    resolve(runtime, Who(tenant, f"erasure:{id_}"), id_)
    Approvals(runtime.pool).done(tenant, id_)
    return Erasure(id_, "done", certificate)


def carry_out(runtime: Runtime, task: Task) -> str:
    """Write down what is going to be erased, and erase it; gives the certificate."""
    begin(runtime, task, "begun")
    groups = tuple(task.groups)
    runtime.ledger.add(Entry(task.tenant, subject, task.id, groups) for subject in task.subjects)
    return destroy(runtime, task)


def destroy(runtime: Runtime, task: Task) -> str:
    """Destroy the keys, remove the traces, search, certify. Raises `Rejected`.

    What quotes the customers goes first: without the keys nobody knows what to search for.
    """
    id_, tenant, subjects, groups, asked, schedule = task
    shown_to = [each._asdict() for each in runtime.keyring.access.recipients(tenant, subjects)]
    words = sorted(words_of(runtime, tenant, subjects, groups))
    refused = discard_refused(runtime, tenant, quoting(subjects, groups, words))
    runtime.keyring.destroy(tenant, subjects, groups, id_)
    requests = [Request(noted(task, subject), uuid7()) for subject in subjects]
    execute(requests, Who(tenant, f"erasure:{id_}"), runtime.ports)
    removed = remove(runtime, tenant, subjects, groups)
    searched = scan(runtime, tenant, subjects, groups, words)
    if searched.found:
        raise Rejected("erasure.incomplete", f"Something is left in {', '.join(searched.found)}.")
    runtime.audit.checkpoint()
    told: dict[str, Any] = {
        "erasure": id_, "tenant": tenant, "subjects": subjects, "groups": groups,
        "schedule": schedule,
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


def noted(task: Task, customer: str) -> EraseCustomer | ExpireData:
    """Say what is noted of a customer: that all of it was erased, or that something expired."""
    if is_whole(task.groups):
        return EraseCustomer(customer=customer, erasure=task.id)
    return ExpireData(
        customer=customer,
        schedule=task.schedule,
        groups=tuple(task.groups),
        erasure=task.id,
    )


def is_whole(groups: Sequence[str]) -> bool:
    """Tell whether nothing is left when these groups are gone."""
    return set(groups) == set(GROUPS)


def unfinished(pool: Pool, tenant: str) -> list[Task]:
    """Give what was due by a schedule, was begun, and did not come to its end."""
    with pool.connection() as conn:
        rows = conn.execute(UNFINISHED, [tenant]).fetchall()
    return [Task(id_, tenant, subjects, groups, None, by) for id_, subjects, groups, by in rows]


def begin(runtime: Runtime, task: Task, state: str) -> None:
    """Note that an erasure has begun, or waits for a hold to end."""
    arguments = {
        "id": task.id, "tenant": task.tenant, "subjects": list(task.subjects), "state": state,
        "groups": list(task.groups), "schedule": task.schedule,
    }  # fmt: skip
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
        task = Task(entry.erasure, entry.tenant, [entry.subject], entry.groups)
        begin(runtime, task, "begun")
        destroy(runtime, task)
    return len(missing)
