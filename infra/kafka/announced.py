"""A read model as a compacted topic: its present rows, so that a copy can be built from it alone.

Key = tenant/key of the row, value = the row as flat JSON (personal data stays sealed), headers =
CloudEvents attributes (binary mode), `ce_sequence` is the log position of the row's last event. No
value is a tombstone: the row is gone. When another version begins to serve, all its rows follow.
What is there for the next event alone, and shown to nobody, is not in it.
"""

from typing import Any, NamedTuple

import orjson
from kafka import KafkaProducer
from psycopg import sql
from psycopg.rows import dict_row

from infra.kafka.topics import PATIENT, TopicNames
from infra.lease import Lease
from infra.read_models.tables import Table
from infra.read_models.versions import ServingTables
from projections.catalogue import INNER

# Rows change again and again; whichever state is announced is one that was true at its position.
# Removals of one batch share a position and are never parted.
CHANGED = """
SELECT tenant, key, position, to_json(t) AS row FROM {table} AS t
WHERE position > %(after)s AND position <= %(upto)s AND {shown}
UNION ALL
SELECT tenant, key, position, NULL FROM crm.removed
WHERE projection = %(projection)s AND version = %(version)s
  AND position > %(after)s AND position <= %(upto)s
{restricted}
ORDER BY position FETCH FIRST %(limit)s ROWS WITH TIES
"""

# When a customer is restricted all its rows go, and come back when that is lifted.
RESTRICTED = """
UNION ALL
SELECT t.tenant, t.key, l.position, CASE WHEN {shown} THEN to_json(t) END
FROM crm.rights r JOIN crm.log l USING (seq)
JOIN {table} AS t ON t.tenant = r.tenant AND t.{subject} = r.subject
WHERE l.position > %(after)s AND l.position <= %(upto)s
  AND (t.position < l.position OR NOT {shown})
"""
ADVANCE = """
WITH lease AS (
    UPDATE crm.lease SET expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
    WHERE name = %(name)s AND epoch = %(epoch)s RETURNING epoch
)
UPDATE crm.announced SET position = %(upto)s, version = %(version)s FROM lease
WHERE topic = %(topic)s
"""
LIMIT = 5_000


class NotAnnounced(Exception):
    """The broker did not take a row; it is sent again."""


class Changed(NamedTuple):
    """A row as it is now, or None when it is gone."""

    tenant: str
    key: str
    position: int
    row: dict[str, Any] | None


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """Give a row without the columns that are there for the next event alone."""
    return {name: value for name, value in row.items() if name not in INNER}


def changed_of(table: Table) -> sql.Composed:
    """Give the question for the rows of a table that have changed."""
    subject, names = table.projection.subject, {"table": table.id, "shown": sql.SQL(table.shown)}
    restricted: sql.Composable = sql.SQL("")
    if subject:
        restricted = sql.SQL(RESTRICTED).format(subject=sql.SQL(subject), **names)
    return sql.SQL(CHANGED).format(restricted=restricted, **names)


class Announcement:
    """The rows of one read model being announced, by whoever holds the lease."""

    def __init__(
        self, tables: ServingTables, name: str, bootstrap: str, names: TopicNames, holder: str
    ) -> None:
        pool = tables.pool
        self._pool, self._tables, self._name = pool, tables, name
        self.topic = names.read_model(name)
        self.lease = Lease(pool, f"announce {self.topic}", holder, seconds=5.0)
        with pool.connection() as conn:
            conn.execute(
                "INSERT INTO crm.lease (name) VALUES (%s) ON CONFLICT DO NOTHING", [self.lease.name]
            )
            conn.execute(
                "INSERT INTO crm.announced (topic) VALUES (%s) ON CONFLICT DO NOTHING", [self.topic]
            )
        self._producer = KafkaProducer(
            **PATIENT,
            bootstrap_servers=bootstrap,
            acks="all",
            linger_ms=5,
            batch_size=262_144,
        )

    def announce(self) -> bool:
        """Announce the next rows that have changed; False when there are none. Raises `Fenced`."""
        self._table = self._tables[self._name]
        after, reached = self._position(), self._table.reached()
        if reached <= after:
            return False
        changed = self._changed(after, reached)
        futures = [
            self._producer.send(
                self.topic,
                key=f"{each.tenant}/{each.key}".encode(),
                value=None if each.row is None else orjson.dumps(shown(each.row)),
                headers=self._headers(each),
            )
            for each in changed
        ]
        self._producer.flush()
        if not all(future.succeeded() for future in futures):
            raise NotAnnounced(f"A row of {self.topic} was not taken by the broker.")
        self._advance(changed[-1].position if len(changed) >= LIMIT else reached)
        return True

    def close(self) -> None:
        """Leave the cluster."""
        self._producer.close(timeout=5)

    def _headers(self, changed: Changed) -> list[tuple[str, bytes]]:
        model = self._table.projection
        attributes = {
            "ce_specversion": "1.0",
            "ce_id": f"{self._table.name}/{changed.key}/{changed.position}",
            "ce_source": "/crm/read-models",
            "ce_type": f"{model.name}.changed.v{self._table.version}",
            "ce_sequence": str(changed.position),
            "content-type": "application/json",
        }
        return [(name, value.encode()) for name, value in attributes.items()]

    def _position(self) -> int:
        with self._pool.connection() as conn:
            query = "SELECT position FROM crm.announced WHERE topic = %s AND version = %s"
            row = conn.execute(query, [self.topic, self._table.version]).fetchone()
        return int(row[0]) if row else 0

    def _changed(self, after: int, upto: int) -> list[Changed]:
        query = changed_of(self._table)
        arguments = {**self._table.arguments, "after": after, "upto": upto, "limit": LIMIT}
        with self._pool.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
            return [Changed(**row) for row in cursor.execute(query, arguments)]

    def _advance(self, upto: int) -> None:
        lease = self.lease
        arguments = {
            "name": lease.name, "epoch": lease.epoch, "seconds": lease.seconds,
            "upto": upto, "topic": self.topic, "version": self._table.version,
        }  # fmt: skip
        with self._pool.connection() as conn:
            if conn.execute(ADVANCE, arguments).rowcount != 1:
                raise lease.lost()
