"""The rows of read models that wait, because an event could not be applied to them."""

from datetime import datetime
from typing import NamedTuple

from infra.database import Pool

PARKED = """
SELECT projection || ' v' || version, tenant, key, position, type, reason, parked_at
FROM crm.parked ORDER BY parked_at, projection, tenant, key LIMIT %s
"""


class ParkedRow(NamedTuple):
    """A row that waits, and the event that it waits for."""

    projection: str
    tenant: str
    key: str
    position: int
    type: str
    reason: str
    parked_at: datetime


def parked_rows(pool: Pool, limit: int) -> list[ParkedRow]:
    """List what is parked, oldest first."""
    with pool.connection() as conn:
        return [ParkedRow(*row) for row in conn.execute(PARKED, [limit])]
