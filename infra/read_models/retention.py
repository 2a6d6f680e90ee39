"""Reads what keeping customers needs from the store: the policy, the fitted models, open alerts."""

from datetime import datetime
from typing import Any, NamedTuple

from psycopg.rows import class_row, dict_row

from commands.command import organisation
from domain.events import Event
from domain.retention_policy import RetentionPolicy, RetentionPolicySet
from domain.value_model import ValueModelFitted
from infra.database import Pool
from infra.store.envelope import decode
from projections.save_queue import OPEN

FACTS = """
SELECT envelope FROM crm.event
WHERE tenant = %(tenant)s AND subject = %(subject)s AND type = %(type)s ORDER BY seq
"""


class Held(NamedTuple):
    """The policy that counts, and its version."""

    policy: RetentionPolicy
    version: int


class OpenAlert(NamedTuple):
    """An alert that waits for its outcome."""

    alert: str
    customer: str
    assessed_at: datetime
    watch_until: datetime


def policy_of(pool: Pool, tenant: str, recorded_at: datetime) -> Held | None:
    """Give the policy that counted as far as was known at an instant."""
    held = [
        Held(event.policy, event.version)
        for event in facts(pool, tenant, RetentionPolicySet.name, recorded_at)
        if isinstance(event, RetentionPolicySet)
    ]
    return held[-1] if held else None


def fits_of(pool: Pool, tenant: str, recorded_at: datetime) -> list[ValueModelFitted]:
    """Give all fits that were known at an instant, the first one first."""
    return [
        event
        for event in facts(pool, tenant, ValueModelFitted.name, recorded_at)
        if isinstance(event, ValueModelFitted)
    ]


def facts(pool: Pool, tenant: str, type_: str, recorded_at: datetime) -> list[Event]:
    """Give the facts of one kind about the organisation itself, the first one first."""
    arguments = {"tenant": tenant, "subject": organisation(tenant), "type": type_}
    with pool.connection() as conn:
        rows = conn.execute(FACTS, arguments, binary=True).fetchall()
    found = (decode(envelope) for (envelope,) in rows)
    return [recorded.event for recorded in found if recorded.recordedtime <= recorded_at]


def open_alerts(pool: Pool, tenant: str) -> list[OpenAlert]:
    """Give the alerts that wait for their outcome."""
    with pool.connection() as conn, conn.cursor(row_factory=class_row(OpenAlert)) as cursor:
        return cursor.execute(OPEN, {"tenant": tenant}).fetchall()


def tenants_with_open_alerts(pool: Pool) -> list[str]:
    """Give the tenants that have alerts that wait for their outcome."""
    query = "SELECT DISTINCT tenant FROM read.save_queue WHERE outcome IS NULL ORDER BY tenant"
    with pool.connection() as conn:
        return [tenant for (tenant,) in conn.execute(query)]


def rows(pool: Pool, query: str, tenant: str, **asked: object) -> list[dict[str, Any]]:
    """Ask one of the queries of the save queue."""
    with pool.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, {"tenant": tenant, **asked}).fetchall()
