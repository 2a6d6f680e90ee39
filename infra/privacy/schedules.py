"""How long personal data is kept: the schedules that count, who is due by them, and setting them.

Loading schedules needs two people: what they make due is destroyed without another question.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from commands.execute import execute
from commands.ports import Request, Who
from commands.privacy import SetSchedules
from domain.case import MarkReached, NotificationRequested
from domain.catalogue import names
from domain.erasure import CustomerErased
from domain.rejected import Rejected
from domain.schedule import Schedule, SchedulesHeld, SchedulesSet, Since, Trigger, due, evolve
from domain.span import days_at_least
from infra.approvals import Approvals, Asked
from infra.database import Pool
from infra.read_models.reader import Reader
from infra.read_models.retention import facts
from infra.runtime import Runtime
from infra.seeing import seeing_held

OURS = sorted(
    names("rights.", "schedule.", "churn_alert.", "segment.", "credit.")
    | {MarkReached.name, NotificationRequested.name, CustomerErased.name}
)
"""What is noted of a customer without anything happening between the customer and us."""

SINCE: Mapping[Trigger, str] = {
    "last_event": """
        SELECT v.key AS subject, last.at, false AS goes_on FROM read.customer_view v
        CROSS JOIN LATERAL (
            SELECT max((convert_from(envelope, 'UTF8')::json ->> 'time')::timestamptz) AS at
            FROM crm.event e
            WHERE e.tenant = v.tenant AND e.subject = v.key AND e.type <> ALL(%(ours)s)
        ) AS last
        WHERE v.tenant = %(tenant)s AND (%(subjects)s::uuid[] IS NULL OR v.key = ANY(%(subjects)s))
          AND (greatest(registered_at, last_contact_at, last_purchase_at) < %(before)s) IS NOT false
    """,
    "cases_closed": """
        SELECT customer AS subject, max(greatest(opened_at, resolved_at, closed_at)) AS at,
               bool_or(status NOT IN ('resolved', 'closed')) AS goes_on
        FROM read.sla_clocks
        WHERE tenant = %(tenant)s AND (%(subjects)s::uuid[] IS NULL OR customer = ANY(%(subjects)s))
        GROUP BY customer
    """,
    "leads_lost": """
        SELECT customer AS subject, max(decided_at) AS at,
               bool_or(status IN ('open', 'won')) AS goes_on
        FROM read.sales_pipeline
        WHERE tenant = %(tenant)s AND (%(subjects)s::uuid[] IS NULL OR customer = ANY(%(subjects)s))
        GROUP BY customer
    """,
    "consent_withdrawn": """
        SELECT v.key AS subject, max((told.value ->> 'since')::timestamptz) AS at,
               bool_or((told.value ->> 'granted')::boolean) AS goes_on
        FROM read.customer_view v, jsonb_each(consents) AS told
        WHERE tenant = %(tenant)s AND (%(subjects)s::uuid[] IS NULL OR v.key = ANY(%(subjects)s))
          AND starts_with(told.key, %(purpose)s || '/')
        GROUP BY v.key
    """,
}
"""When what sets a clock going last happened to each id of a customer, and whether it goes on."""

OVER = """
SELECT subject, at, goes_on FROM ({since}) AS found
WHERE (%(before)s::timestamptz IS NULL OR at < %(before)s AND NOT goes_on) ORDER BY subject
"""
# Whoever did something that the read models do not know yet is left for the next time.
UNSEEN = """
SELECT EXISTS (SELECT FROM crm.event e LEFT JOIN crm.log l USING (seq)
               WHERE e.tenant = %s AND e.subject = ANY(%s::uuid[])
                 AND (l.position IS NULL OR l.position > %s))
"""
KEPT = """
SELECT 'legal hold' FROM crm.hold WHERE tenant = %(tenant)s AND subject = ANY(%(subjects)s::uuid[])
UNION ALL
SELECT 'restricted' FROM crm.rights
WHERE tenant = %(tenant)s AND subject = ANY(%(subjects)s::uuid[]) AND grounds <> '{}' LIMIT 1
"""
READ = ("customer_view", "sla_clocks", "sales_pipeline")


class DueData(NamedTuple):
    """A customer some of whose data is due to be destroyed; nothing personal."""

    schedule: str
    customer: str
    subjects: list[str]
    groups: tuple[str, ...]
    due_at: datetime
    kept: str | None
    """Why nothing is destroyed all the same: a hold of the customer or of the schedule."""


def ask(runtime: Runtime, who: Who, schedules: Sequence[Schedule]) -> Asked:
    """Ask that schedules count in place of those that do; another person must approve it."""
    what = {"schedules": [schedule.model_dump(mode="json") for schedule in schedules]}
    return Approvals(runtime.pool).ask(who, "schedules", what)


def set_schedules(runtime: Runtime, tenant: str, id_: str) -> int:
    """Let approved schedules count; gives their version. Raises `Rejected`."""
    asked = Approvals(runtime.pool).approved(tenant, id_, "schedules")
    command = SetSchedules.model_validate({"schedules": asked.what["schedules"]})
    who = Who(tenant, f"{asked.asked_by}+{asked.approved_by}")
    [verdict] = execute([Request(command, id_)], who, runtime.ports)
    if verdict.status not in ("accepted", "duplicate"):
        raise Rejected(verdict.code, verdict.sentence)
    Approvals(runtime.pool).done(tenant, id_)
    return held(runtime, tenant).version


def held(runtime: Runtime, tenant: str) -> SchedulesHeld:
    """Give the schedules that count now."""
    found = SchedulesHeld("")
    for event in facts(runtime.pool, tenant, SchedulesSet.name, runtime.ports.now()):
        if isinstance(event, SchedulesSet):
            found = evolve(found, event)
    return found


def tenants(pool: Pool) -> list[str]:
    """Give the tenants that have schedules."""
    query = "SELECT DISTINCT tenant FROM crm.event WHERE type = 'schedule.set.v1' ORDER BY tenant"
    with pool.connection() as conn:
        return [tenant for (tenant,) in conn.execute(query)]


def due_data(runtime: Runtime, tenant: str, now: datetime) -> Iterator[DueData]:
    """Tell what is due by the schedules that count, and what is kept all the same, and why."""
    for schedule in held(runtime, tenant).schedules:
        yield from due_by(runtime, tenant, schedule, now)


def due_by(runtime: Runtime, tenant: str, schedule: Schedule, now: datetime) -> Iterator[DueData]:
    """Tell what is due by one schedule, a customer with all its ids at a time."""
    seen: set[str] = set()
    reader, reached = Reader(runtime), min(runtime.tables[name].reached() for name in READ)
    before = now - timedelta(days=days_at_least(schedule.period))
    over = list(since(runtime.pool, tenant, schedule, before=before))
    for candidate in sorted(runtime.keyring.living(tenant, over, schedule.groups)):
        subjects = reader.same_customer(tenant, candidate)
        if not subjects or subjects[0] in seen:
            continue
        seen.add(subjects[0])
        told = since(runtime.pool, tenant, schedule, subjects=subjects).values()
        due_at = due(schedule, told)
        if due_at is None or due_at > now:
            continue
        kept = schedule.hold or keeping(runtime.pool, tenant, subjects, reached)
        yield DueData(schedule.name, subjects[0], subjects, schedule.groups, due_at, kept)


def since(
    pool: Pool,
    tenant: str,
    schedule: Schedule,
    *,
    before: datetime | None = None,
    subjects: Sequence[str] | None = None,
) -> dict[str, Since]:
    """Give what ids of customers say about a schedule's trigger.

    Of some, or of all with whom it was over `before` an instant.
    """
    arguments: dict[str, Any] = {
        "tenant": tenant, "before": before, "subjects": subjects and list(subjects), "ours": OURS,
        "purpose": schedule.purpose,
    }  # fmt: skip
    query = OVER.format(since=SINCE[schedule.trigger])
    with seeing_held(), pool.connection() as conn:  # what a restriction keeps is told, too
        rows = conn.execute(query, arguments).fetchall()
    return {subject: Since(at, goes_on) for subject, at, goes_on in rows}


def keeping(pool: Pool, tenant: str, subjects: Sequence[str], reached: int) -> str | None:
    """Tell what keeps a customer's data although it is due, if anything does."""
    arguments = {"tenant": tenant, "subjects": list(subjects)}
    with pool.connection() as conn:
        found = conn.execute(KEPT, arguments).fetchone()
        unseen = conn.execute(UNSEEN, [tenant, list(subjects), reached]).fetchone()
    if found is not None:
        return str(found[0])
    return "something just happened" if unseen == (True,) else None
