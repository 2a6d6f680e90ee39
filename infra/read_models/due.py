"""What is due: cases whose clocks have gone beyond a mark that nobody has acted upon yet.

The due table is the read model `sla_clocks`: its column `next_due` changes in the same transaction
as the clocks that it follows from, so the two cannot disagree. Looking is a walk on an index from
its beginning to now, whatever the number of clocks that are not due.
"""

from datetime import datetime
from typing import Any, NamedTuple

from infra.database import Pool
from infra.seeing import seeing_held

# Neither a jump of this machine's clock nor one of the database's makes anything fire early.
DUE = """
SELECT tenant, key, events, facts, next_due FROM {table}
WHERE next_due < least(statement_timestamp(), %(now)s) AND key <> ALL(%(but)s::uuid[])
ORDER BY next_due LIMIT %(limit)s
"""


class DueCase(NamedTuple):
    """A case with something due, what was seen of it, and since when it is due."""

    tenant: str
    case: str
    events: int
    facts: list[list[str]]
    since: datetime


class DueCases:
    """Looks for what is due in the table of a read model."""

    def __init__(self, pool: Pool, table: str) -> None:
        self._pool, self._query = pool, DUE.format(table=f"read.{table}")

    def look(self, now: datetime, but: list[str], limit: int) -> list[DueCase]:
        """Give cases with something due, the longest due first, except some."""
        arguments: dict[str, Any] = {"now": now, "but": but, "limit": limit}
        with seeing_held(), self._pool.connection() as conn:  # the law's clock runs for all
            rows = conn.execute(self._query, arguments).fetchall()
        return [DueCase(*row) for row in rows]
