"""Whether a customer consents to a purpose over a channel, now or at any instant.

Asked of the events themselves: no read model has to come first, and nothing personal is opened.
"""

from collections.abc import Sequence
from datetime import datetime

from domain.consent import NEVER, Consent, Statement, may_send, statements
from domain.consent import consent as held
from domain.customer import ConsentGranted, ConsentWithdrawn
from domain.rights import GROUNDS, Rights
from infra.database import Pool
from infra.privacy.requests import everybody
from infra.runtime import Runtime
from infra.seeing import SEES_HELD
from infra.store.envelope import decode

SAID = """
SELECT envelope FROM crm.event
WHERE tenant = %s AND subject = ANY(%s::uuid[]) AND type = ANY(%s) ORDER BY seq
"""
RIGHTS = """
SELECT grounds, objections FROM crm.rights WHERE tenant = %s AND subject = ANY(%s::uuid[])
"""


def consent(
    runtime: Runtime,
    tenant: str,
    customer: str,
    purpose: str,
    channel: str,
    *,
    at: datetime | None = None,
) -> Consent:
    """Tell what held at an instant, as far as it is known today. Raises `Rejected`.

    Of whom the data is restricted it is told to the hold role alone.
    """
    subjects = everybody(runtime, tenant, customer)
    if rights_of(runtime.pool, tenant, subjects).grounds and not SEES_HELD.get():
        return NEVER
    said = told(runtime.pool, tenant, subjects)
    return held(said, purpose, channel, at or runtime.ports.now())


def must_consent(
    runtime: Runtime,
    tenant: str,
    customer: str,
    purpose: str,
    channel: str,
    *,
    at: datetime | None = None,
) -> Consent:
    """Refuse to go on without a consent: ask this before anything is sent. Raises `Rejected`.

    Restrictions and objections count as they are now, whatever the instant.
    """
    subjects = everybody(runtime, tenant, customer)
    said = told(runtime.pool, tenant, subjects)
    rights = rights_of(runtime.pool, tenant, subjects)
    return may_send(rights, said, purpose, channel, at or runtime.ports.now())


def told(pool: Pool, tenant: str, subjects: Sequence[str]) -> list[Statement]:
    """Give what all ids of a customer ever said."""
    types = [ConsentGranted.name, ConsentWithdrawn.name]
    with pool.connection() as conn:
        rows = conn.execute(SAID, [tenant, list(subjects), types], binary=True).fetchall()
    return statements(decode(envelope) for (envelope,) in rows)


def rights_of(pool: Pool, tenant: str, subjects: Sequence[str]) -> Rights:
    """Give what keeps us from processing the data of any id of a customer."""
    with pool.connection() as conn:
        rows = conn.execute(RIGHTS, [tenant, list(subjects)]).fetchall()
    grounds = frozenset(g for g in GROUNDS if any(g in of_one for of_one, _ in rows))
    objections = frozenset(purpose for _, of_one in rows for purpose in of_one)
    return Rights("", subjects[0], grounds=grounds, objections=objections)
