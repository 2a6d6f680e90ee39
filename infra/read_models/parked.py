"""The rows of read models that wait, because an event could not be applied to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from infra.database import Conn, Pool
from infra.read_models.change import Change, Key, Parking
from infra.read_models.tables import Table

PARKED = """
SELECT projection || ' v' || version, tenant, key, position, type, reason, parked_at
FROM crm.parked ORDER BY parked_at, projection, tenant, key LIMIT %s
"""
OF_ROW = """
WHERE projection = %(projection)s AND version = %(version)s
  AND tenant = %(tenant)s AND key = %(key)s
"""
# The checkpoints first: no follower of this read model moves until we are done.
LOCK = """
SELECT FROM crm.checkpoint WHERE projection = %(projection)s AND version = %(version)s FOR UPDATE
"""
ONE = f"SELECT position, type, reason FROM crm.parked {OF_ROW} FOR UPDATE"
# Everything about one row is about one customer, and in one partition.
WAITING = """
WITH subject AS (
    SELECT e.subject FROM crm.log l JOIN crm.event e USING (seq) WHERE l.position = %(position)s
)
SELECT l.position, e.envelope FROM subject
JOIN crm.event e ON e.tenant = %(tenant)s AND e.subject = subject.subject
JOIN crm.log l USING (seq)
WHERE l.position BETWEEN %(position)s AND %(upto)s AND NOT e.type = ANY(%(ignored)s)
ORDER BY l.position
"""
SUBJECT = "SELECT subject FROM crm.log JOIN crm.event USING (seq) WHERE position = %s"
FOLLOWED = """
SELECT coalesce(max(position), 0) FROM crm.checkpoint
WHERE projection = %(projection)s AND version = %(version)s AND partition = ANY(%(partitions)s)
"""
BEYOND = "SELECT coalesce(max(position), 0) + 1 FROM crm.log"
PROGRESSED = """
UPDATE crm.parked SET position = %(position)s, type = %(type)s, reason = %(reason)s
""" + OF_ROW  # fmt: skip
DISCARD = """
INSERT INTO crm.discarded (projection, version, tenant, key, position, type, reason,
                           because, discarded_by)
VALUES (%(projection)s, %(version)s, %(tenant)s, %(key)s, %(position)s, %(type)s, %(reason)s,
        %(because)s, %(by)s)
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


class NotParked(Exception):
    """There is no such row, or it does not wait any more."""


def parked_rows(pool: Pool, limit: int) -> list[ParkedRow]:
    """List what is parked, oldest first."""
    with pool.connection() as conn:
        return [ParkedRow(*row) for row in conn.execute(PARKED, [limit])]


class WaitingRow:
    """A parked row that nobody else can touch: what waits for it, and what becomes of it."""

    def __init__(self, table: Table, conn: Conn, parking: Parking) -> None:
        self._conn, self._table, self.parking = conn, table, parking
        self.change = Change(table, conn)
        self._row = {**table.arguments, **parking.key._asdict()}

    @property
    def beyond(self) -> int:
        """Give a position that no change feed and no topic has come to: they will see the row."""
        return self._number(BEYOND, ())

    def events(self) -> list[tuple[int, bytes]]:
        """Give what waits, the event that could not be applied first; maybe of other rows, too."""
        asked = {
            "tenant": self.parking.key.tenant,
            "position": self.parking.position,
            "upto": self._followed(),
            "ignored": list(self._table.projection.ignores),
        }
        return self._conn.execute(WAITING, asked, binary=True).fetchall()

    def discard(self, by: str, because: str) -> None:
        """Write down that the event is left out, who decided it and why."""
        told = {**self.parking._asdict(), **self._row, "by": by, "because": because}
        self._conn.execute(DISCARD, told)

    def goes_on(self, parking: Parking | None) -> None:
        """Let the row wait for another event, or no more."""
        if parking is None:
            self._conn.execute(f"DELETE FROM crm.parked {OF_ROW}", self._row)
        else:
            self._conn.execute(PROGRESSED, {**parking._asdict(), **self._row})

    def _followed(self) -> int:
        """Give the position up to which the events of this row were passed by."""
        partitions = [-1]
        if self._table.topic:
            from infra.kafka.published import last_positions, partition_of  # noqa: PLC0415 - if need be

            subject = self._conn.execute(SUBJECT, [self.parking.position]).fetchone()
            count = len(last_positions(self._table.pool, self._table.topic))
            partitions += [partition_of(subject[0], count)] if subject and count else []
        return self._number(FOLLOWED, {**self._table.arguments, "partitions": partitions})

    def _number(self, query: str, arguments: Any) -> int:  # noqa: ANN401 - what the driver takes
        row = self._conn.execute(query, arguments).fetchone()
        return int(row[0]) if row else 0


@contextmanager
def waiting(table: Table, key: Key) -> Iterator[WaitingRow]:
    """Hold a parked row, and the followers of its read model, for the block. Raises `NotParked`."""
    with table.pool.connection() as conn, conn.transaction():
        conn.execute(LOCK, table.arguments)
        row = conn.execute(ONE, {**table.arguments, **key._asdict()}).fetchone()
        if row is None:
            raise NotParked(f"{table.name} has no parked row {key.key} of tenant {key.tenant}.")
        yield WaitingRow(table, conn, Parking(key, *row))
