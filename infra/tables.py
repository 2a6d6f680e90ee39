"""Read models in PostgreSQL: one table per projection and version, its rows and its checkpoint.

Rows and checkpoint change in one transaction, and the checkpoint only from where it was read: of
two followers of the same projection, one is turned away and nothing is applied twice.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import orjson
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from infra.database import Conn, Pool
from projections.projection import Projection, Row

WHOLE_LOG = -1
"""The partition of a checkpoint for the whole log: the embedded one has no partitions."""


POSITION = """
SELECT position FROM crm.checkpoint
WHERE projection = %(projection)s AND version = %(version)s AND partition = %(partition)s
"""

NEW_PARTITION = """
INSERT INTO crm.checkpoint (projection, version, partition, position)
SELECT %(projection)s, %(version)s, %(partition)s, position FROM crm.checkpoint
WHERE projection = %(projection)s AND version = %(version)s AND partition = -1
ON CONFLICT (projection, version, partition) DO UPDATE SET partition = excluded.partition
RETURNING position
"""

IS_THERE = """
SELECT bool_and(to_regclass('read.' || quote_ident(name)) IS NOT NULL) AND EXISTS (
    SELECT FROM crm.checkpoint WHERE projection = %(projection)s AND version = %(version)s)
FROM unnest(%(names)s::text[]) AS name
"""

REACHED_LOG = """
SELECT position FROM crm.checkpoint
WHERE projection = %(projection)s AND version = %(version)s AND partition = -1
"""

# A partition that has all that was published to it does not hold the others back.
REACHED_TOPIC = """
SELECT coalesce(min(CASE WHEN at.position < last.position THEN at.position
                         ELSE published.position END), 0)
FROM crm.published
CROSS JOIN LATERAL json_array_elements_text(partitions) WITH ORDINALITY AS each (last, number)
CROSS JOIN LATERAL (SELECT each.last::bigint AS position) AS last
CROSS JOIN LATERAL (
    SELECT coalesce(max(position), 0) AS position FROM crm.checkpoint
    WHERE projection = %(projection)s AND version = %(version)s
      AND partition IN (-1, each.number - 1)
) AS at
WHERE topic = %(topic)s
"""


# It is not waited for the disk: what a crash takes away, rows and checkpoint together, follows
# from the log again, the same as before.
MOVE = """
UPDATE crm.checkpoint SET position = %(upto)s, moved_at = clock_timestamp()
FROM (SELECT set_config('synchronous_commit', 'off', true)) AS unhurried
WHERE projection = %(projection)s AND version = %(version)s
  AND partition = %(partition)s AND position = %(after)s
"""

REMOVED = """
INSERT INTO crm.removed (projection, version, tenant, key, position)
SELECT %(projection)s, %(version)s, tenant, key, %(position)s
FROM unnest(%(tenants)s::text[], %(keys)s::uuid[]) AS gone (tenant, key)
ON CONFLICT (projection, version, tenant, key) DO UPDATE SET position = excluded.position
"""


class Key(NamedTuple):
    """What a row is about."""

    tenant: str
    key: str


class Moved(Exception):
    """The checkpoint is not where it was read: another follower has moved it."""


class Parking(NamedTuple):
    """A row that an event could not be applied to: where, which kind, and why."""

    key: Key
    position: int
    type: str
    reason: str


class Table:
    """The rows of one version of a projection."""

    def __init__(self, pool: Pool, projection: Projection, topic: str | None = None) -> None:
        """`topic` is where the log is followed from; None is the database itself."""
        self.pool, self.projection, self.topic = pool, projection, topic
        self.name = f"{projection.name}_v{projection.version}"
        self._id = sql.Identifier("read", self.name)
        self.arguments = {"projection": projection.name, "version": projection.version}
        self.select, self.upsert, self.delete = self._statements()

    def create(self) -> None:
        """Make the table, its indexes, its view and its checkpoint, unless they are there.

        What is there is not made again: even that would lock the table against its follower.
        """
        if self._is_there():
            return
        with self.pool.connection() as conn, conn.transaction():
            conn.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [self.name])
            conn.execute("SET LOCAL client_min_messages TO warning")
            conn.execute(self._definition())
            for number, columns in enumerate((*self.projection.indexes, "tenant, position")):
                index = sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} ({})").format(
                    sql.Identifier(f"{self.name}_{number}"), self._id, sql.SQL(columns)
                )
                conn.execute(index)
            conn.execute(
                sql.SQL("CREATE OR REPLACE VIEW {} AS SELECT * FROM {}").format(
                    sql.Identifier("read", self.projection.name), self._id
                )
            )
            conn.execute(
                "INSERT INTO crm.checkpoint (projection, version)"
                " VALUES (%(projection)s, %(version)s) ON CONFLICT DO NOTHING",
                self.arguments,
            )

    def _is_there(self) -> bool:
        indexes = range(len(self.projection.indexes) + 1)
        names = [self.name, self.projection.name, *(f"{self.name}_{number}" for number in indexes)]
        with self.pool.connection() as conn:
            row = conn.execute(IS_THERE, {**self.arguments, "names": names}).fetchone()
        return bool(row and row[0])

    def drop(self) -> None:
        """Forget the rows and the checkpoint; following again makes them anew."""
        with self.pool.connection() as conn, conn.transaction():
            conn.execute("SET LOCAL client_min_messages TO warning")
            conn.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(self._id))
            for table in ("checkpoint", "parked", "removed"):
                query = sql.SQL(
                    "DELETE FROM crm.{} WHERE projection = %(projection)s AND version = %(version)s"
                )
                conn.execute(query.format(sql.Identifier(table)), self.arguments)

    def position(self, partition: int = WHOLE_LOG) -> int:
        """Give the checkpoint of a partition; a new one begins where the whole log was left."""
        where = {**self.arguments, "partition": partition}
        with self.pool.connection() as conn:
            row = conn.execute(POSITION, where).fetchone()
            if row is None:
                row = conn.execute(NEW_PARTITION, where).fetchone()
        return int(row[0]) if row else 0

    def reached(self) -> int:
        """Give the position up to which every row is as the log says, whatever the partition."""
        query = REACHED_TOPIC if self.topic else REACHED_LOG
        with self.pool.connection() as conn:
            row = conn.execute(query, {**self.arguments, "topic": self.topic}).fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def transaction(self, after: int, upto: int, partition: int = WHOLE_LOG) -> Iterator["Change"]:
        """Change rows and move the checkpoint, both or neither. Raises `Moved`."""
        with self.pool.connection() as conn, conn.transaction():
            arguments = {"after": after, "upto": upto, "partition": partition}
            moved = conn.execute(MOVE, {**self.arguments, **arguments})
            if moved.rowcount != 1:
                raise Moved(f"{self.name} is not at position {after}: somebody else follows it.")
            yield Change(self, conn)

    def _statements(self) -> tuple[sql.Composed, sql.Composed, sql.Composed]:
        """Compose what reads, writes and removes many rows at once."""
        changing = [sql.Identifier(name) for name in (*self.projection.columns, "position")]
        names = sql.SQL(", ").join([sql.Identifier("tenant"), sql.Identifier("key"), *changing])
        assigned = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(c) for c in changing)
        select = sql.SQL(
            "SELECT found.* FROM unnest(%s::text[], %s::uuid[]) AS wanted (tenant, key)"
            " CROSS JOIN LATERAL (SELECT * FROM {} t"
            " WHERE t.tenant = wanted.tenant AND t.key = wanted.key LIMIT 1) AS found"
        )
        upsert = sql.SQL(
            "INSERT INTO {0} ({1}) SELECT {1} FROM json_populate_recordset(NULL::{0}, %s::json)"
            " ON CONFLICT (tenant, key) DO UPDATE SET {2}"
        )
        delete = sql.SQL(
            "DELETE FROM {} WHERE (tenant, key) IN (SELECT * FROM unnest(%s::text[], %s::uuid[]))"
        )
        return (
            select.format(self._id),
            upsert.format(self._id, names, assigned),
            delete.format(self._id),
        )

    def _definition(self) -> sql.Composed:
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(column.type))
            for name, column in self.projection.columns.items()
        )
        return sql.SQL(
            'CREATE TABLE IF NOT EXISTS {} (tenant text COLLATE "C" NOT NULL, key uuid NOT NULL,'
            " {}, position bigint NOT NULL, PRIMARY KEY (tenant, key)); COMMENT ON TABLE {} IS {}"
        ).format(self._id, columns, self._id, sql.Literal(self.projection.question))


class Change:
    """A transaction on a table: read the rows of some keys, write what has become of them."""

    def __init__(self, table: Table, conn: Conn) -> None:
        self._table, self._conn = table, conn

    def rows(self, keys: Iterable[Key]) -> dict[Key, Row]:
        """Give the rows of some keys, as far as there are any."""
        tenants, ids = columns_of(keys)
        with self._conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(self._table.select, [tenants, ids]).fetchall()
        return {Key(row.pop("tenant"), row.pop("key")): row for row in rows}

    def write(self, rows: Mapping[Key, Row | None], upto: int) -> dict[Key, str]:
        """Insert or replace rows; those that are None are removed, as of position `upto`.

        Gives the rows that do not fit into the table, a number being too large, and why.
        """
        kept = [
            {"tenant": key.tenant, "key": key.key, **row}
            for key, row in rows.items()
            if row is not None
        ]
        unfit = self._upsert(kept) if kept else {}
        gone = [key for key, row in rows.items() if row is None]
        if gone:
            self._remove(gone, upto)
        return unfit

    def _upsert(self, rows: list[Row]) -> dict[Key, str]:
        """Write all rows at once, or else halves, down to the ones that do not fit."""
        try:
            with self._conn.transaction():
                self._conn.execute(self._table.upsert, [orjson.dumps(rows).decode()])
        except (orjson.JSONEncodeError, psycopg.DataError) as error:
            if len(rows) == 1:
                reason = f"{type(error).__name__} when the row was written"
                return {Key(rows[0]["tenant"], rows[0]["key"]): reason}
            middle = len(rows) // 2
            return self._upsert(rows[:middle]) | self._upsert(rows[middle:])
        return {}

    def _remove(self, gone: Iterable[Key], upto: int) -> None:
        tenants, ids = columns_of(gone)
        self._conn.execute(self._table.delete, [tenants, ids])
        told = {**self._table.arguments, "tenants": tenants, "keys": ids, "position": upto}
        self._conn.execute(REMOVED, told)

    def parked(self) -> set[Key]:
        """Give the keys whose events have to wait."""
        query = """
            SELECT tenant, key FROM crm.parked
            WHERE projection = %(projection)s AND version = %(version)s
        """
        return {Key(*row) for row in self._conn.execute(query, self._table.arguments)}

    def park(self, parkings: Iterable[Parking]) -> None:
        """Let the events of some rows wait: an event could not be applied."""
        query = """
            INSERT INTO crm.parked (projection, version, tenant, key, position, type, reason)
            VALUES (%(projection)s, %(version)s, %(tenant)s, %(key)s,
                    %(position)s, %(type)s, %(reason)s)
            ON CONFLICT DO NOTHING
        """
        for parking in parkings:
            told = parking._asdict() | parking.key._asdict() | self._table.arguments
            self._conn.execute(query, told)


def columns_of(keys: Iterable[Key]) -> tuple[list[str], list[str]]:
    """Lay keys out as two arrays."""
    pairs = list(keys)
    return [key.tenant for key in pairs], [key.key for key in pairs]
