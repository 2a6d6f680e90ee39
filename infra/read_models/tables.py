"""Read models in PostgreSQL: one table per projection and version, its rows and its checkpoint.

Rows and checkpoint change in one transaction, and the checkpoint only from where it was read: of
two followers of the same projection, one is turned away and nothing is applied twice. The same
statement checks the token of the version: whoever paused, cancelled or took it over changed that.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from infra.database import Conn, Pool
from infra.read_models.bulk import Bulk
from infra.read_models.change import CHANGED, Change, Parking
from projections.projection import Projection
from projections.shown import shown_rows

WHOLE_LOG = -1
"""The partition of a checkpoint for the whole log: the embedded one has no partitions."""

CHECKPOINTS = """
SELECT partition, position, token
FROM crm.checkpoint JOIN crm.read_model USING (projection, version)
WHERE projection = %(projection)s AND version = %(version)s
  AND partition = ANY(%(partitions)s::int[])
"""

POSITIONS = """
SELECT partition, position FROM crm.checkpoint
WHERE projection = %(projection)s AND version = %(version)s
"""

PUBLISHED = "SELECT partitions FROM crm.published WHERE topic = %s"

NEW_PARTITIONS = """
INSERT INTO crm.checkpoint (projection, version, partition, position)
SELECT %(projection)s, %(version)s, made.partition, position
FROM crm.checkpoint AS whole, unnest(%(partitions)s::int[]) AS made (partition)
WHERE projection = %(projection)s AND version = %(version)s AND whole.partition = -1
ON CONFLICT (projection, version, partition) DO NOTHING
"""

# It is not waited for the disk: what a crash takes away, rows and checkpoint together, follows
# from the log again, the same as before. And no plan is kept: one that was made
# while the table was empty looks rows up by any index, and later reads half the table for each.
MOVE = """
WITH allowed AS (
    SELECT FROM crm.read_model
    WHERE projection = %(projection)s AND version = %(version)s AND NOT paused
      AND token = coalesce(%(token)s, token)
    FOR SHARE
)
UPDATE crm.checkpoint AS at SET position = step.upto, moved_at = clock_timestamp()
FROM allowed, unnest(%(partitions)s::int[], %(afters)s::bigint[], %(uptos)s::bigint[])
        AS step (partition, after, upto), (
    SELECT set_config('synchronous_commit', 'off', true),
           set_config('plan_cache_mode', 'force_custom_plan', true)
) AS settings
WHERE projection = %(projection)s AND version = %(version)s
  AND at.partition = step.partition AND at.position = step.after
RETURNING EXISTS (
    SELECT FROM crm.parked WHERE projection = %(projection)s AND version = %(version)s
)
"""

REGISTER = """
INSERT INTO crm.read_model (projection, version, definition, state)
VALUES (%(projection)s, %(version)s, %(definition)s, 'serving') ON CONFLICT DO NOTHING
"""

FORGET = ("read_model", "slice", "checkpoint", "parked", "removed")

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


class Step(NamedTuple):
    """From where to where the checkpoint of a partition moves."""

    after: int
    upto: int
    partition: int = WHOLE_LOG


class Moved(Exception):
    """The checkpoint is not where it was read: another follower has moved it."""


class Table:
    """The rows of one version of a projection."""

    def __init__(
        self,
        pool: Pool,
        projection: Projection,
        topic: str | None = None,
        version: int | None = None,
    ) -> None:
        """`topic` is where the log is followed from; None is the database itself."""
        self.pool, self.projection, self.topic = pool, projection, topic
        self.version = projection.version if version is None else version
        self.name = f"{projection.name}_v{self.version}"
        self.id = sql.Identifier("read", self.name)
        self.arguments = {"projection": projection.name, "version": self.version}
        self.shown = shown_rows(projection)
        """The condition for the rows that may be shown."""
        self.token: int | None = None
        self._keeps_token = False
        self.select, self.upsert, self.merge, self.delete = self._statements()
        self.bulk = Bulk(self)

    def keep_token(self, token: int) -> None:
        """Work with this token alone: somebody else's would be another's to use."""
        self.token, self._keeps_token = token, True

    def create(self) -> None:
        """Make the table with all that belongs to it, unless it is there; the first one serves."""
        with self.pool.connection() as conn, conn.transaction():
            conn.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [self.projection.name])
            conn.execute("SET LOCAL client_min_messages TO warning")
            self.define(conn)
            self.complete(conn)
            registered = {**self.arguments, "definition": self.projection.version}
            if conn.execute(REGISTER, registered).rowcount:
                self.show(conn)

    def define(self, conn: Conn) -> None:
        """Make the bare table."""
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(column.type))
            for name, column in self.projection.columns.items()
        )
        query = sql.SQL(
            'CREATE TABLE IF NOT EXISTS {} (tenant text COLLATE "C" NOT NULL, key uuid NOT NULL,'
            " {}, position bigint NOT NULL); COMMENT ON TABLE {} IS {}"
        )
        question = sql.Literal(self.projection.question)
        conn.execute(query.format(self.id, columns, self.id, question))

    def complete(self, conn: Conn, position: int = 0) -> None:
        """Make what finds rows, and the checkpoint: with it, the table is whole."""
        indexes = ["tenant, key", *self.projection.indexes, "tenant, position"]
        for number, columns in enumerate(indexes):
            query = sql.SQL("CREATE {} INDEX IF NOT EXISTS {} ON {} ({})").format(
                sql.SQL("" if number else "UNIQUE"),
                sql.Identifier(f"{self.name}_{number}"), self.id, sql.SQL(columns),
            )  # fmt: skip
            conn.execute(query)
        conn.execute(
            "INSERT INTO crm.checkpoint (projection, version, position)"
            " VALUES (%(projection)s, %(version)s, %(position)s) ON CONFLICT DO NOTHING",
            {**self.arguments, "position": position},
        )

    def analyze(self, conn: Conn) -> None:
        """Let planners know the rows; but not what is in JSON, by which nobody looks for rows."""
        plain = [name for name, column in self.projection.columns.items() if column.type != "jsonb"]
        names = sql.SQL(", ").join(map(sql.Identifier, ("tenant", "key", *plain, "position")))
        conn.execute(sql.SQL("ANALYZE {} ({})").format(self.id, names))

    def show(self, conn: Conn) -> None:
        """Let the view that queries read show this version, but not what is restricted."""
        view, rows = sql.Identifier("read", self.projection.name), sql.SQL(self.shown)
        query = sql.SQL("CREATE OR REPLACE VIEW {} AS SELECT t.* FROM {} AS t WHERE {}").format(
            view, self.id, rows
        )
        try:
            with conn.transaction():
                conn.execute(query)
        except psycopg.errors.InvalidTableDefinition:  # it has other columns now
            conn.execute(sql.SQL("DROP VIEW {}").format(view))
            conn.execute(query)

    def drop(self) -> None:
        """Forget the version: its rows and all that is known of it."""
        with self.pool.connection() as conn, conn.transaction():
            self.forget(conn)

    def forget(self, conn: Conn) -> None:
        """Forget the version as part of a transaction."""
        conn.execute("SET LOCAL client_min_messages TO warning")
        slices = (
            "SELECT low FROM crm.slice WHERE projection = %(projection)s AND version = %(version)s"
        )
        for (low,) in conn.execute(slices, self.arguments).fetchall():
            conn.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self.stage(low)))
        conn.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(self.id))
        for table in FORGET:
            query = sql.SQL(
                "DELETE FROM crm.{} WHERE projection = %(projection)s AND version = %(version)s"
            )
            conn.execute(query.format(sql.Identifier(table)), self.arguments)

    def stage(self, low: int) -> sql.Identifier:
        """Name the table that keeps the rows of a slice until it is built, by its lowest bucket."""
        return sql.Identifier("read", f"{self.name}_slice_{low}")

    def position(self, partition: int = WHOLE_LOG) -> int:
        """Give the checkpoint of one partition, as `checkpoints` does."""
        return self.checkpoints([partition])[partition]

    def checkpoints(self, partitions: Collection[int]) -> dict[int, int]:
        """Give the checkpoints of partitions; a new one begins where the whole log was left.

        Raises `Moved` when there is no such version any more. What is changed from here on is
        refused if somebody else takes the version over in between.
        """
        where = {**self.arguments, "partitions": list(partitions)}
        with self.pool.connection() as conn:
            rows = conn.execute(CHECKPOINTS, where).fetchall()
            if len(rows) < len(partitions):
                conn.execute(NEW_PARTITIONS, where)
                rows = conn.execute(CHECKPOINTS, where).fetchall()
        if len(rows) < len(partitions):
            raise Moved(f"{self.name} does not exist any more.")
        if not self._keeps_token:
            self.token = rows[0][2]
        return {partition: position for partition, position, _ in rows}

    def reached(self) -> int:
        """Give the position up to which every row is as the log says, whatever the partition."""
        with self.pool.connection() as conn:
            row = conn.execute(*self.reaching()).fetchone()
        return int(row[0]) if row else 0

    def positions(self) -> dict[int, int]:
        """Give the checkpoint of each partition that has one; `WHOLE_LOG` stands for the others."""
        with self.pool.connection() as conn:
            return dict(conn.execute(POSITIONS, self.arguments).fetchall())

    def published(self) -> list[int]:
        """Give the last position of each partition of the topic; none, if there is no topic."""
        with self.pool.connection() as conn:
            row = conn.execute(PUBLISHED, [self.topic]).fetchone()
        return list(row[0]) if row else []

    def reaching(self) -> tuple[str, dict[str, Any]]:
        """Give the question for that position, with its arguments."""
        query = REACHED_TOPIC if self.topic else REACHED_LOG
        return query, {**self.arguments, "topic": self.topic}

    @contextmanager
    def transaction(self, *steps: Step) -> Iterator["Change"]:
        """Change rows and move the checkpoints of partitions, all or nothing. Raises `Moved`."""
        afters, uptos, partitions = map(list, zip(*steps, strict=True))
        moving = {"partitions": partitions, "afters": afters, "uptos": uptos, "token": self.token}
        with self.pool.connection() as conn, conn.transaction():
            moved = conn.execute(MOVE, {**self.arguments, **moving}).fetchall()
            if len(moved) != len(steps):
                raise Moved(
                    f"{self.name} is not at position {', '.join(map(str, afters))}: somebody else"
                    " follows it, paused it or took it over."
                )
            yield Change(self, conn, has_parked=moved[0][0])

    def park(self, conn: Conn, parkings: Iterable[Parking]) -> None:
        """Note as part of a transaction that the events of some rows wait."""
        query = """
            INSERT INTO crm.parked (projection, version, tenant, key, position, type, reason)
            VALUES (%(projection)s, %(version)s, %(tenant)s, %(key)s,
                    %(position)s, %(type)s, %(reason)s)
            ON CONFLICT DO NOTHING
        """
        for parking in parkings:
            conn.execute(query, parking._asdict() | parking.key._asdict() | self.arguments)

    def _statements(self) -> tuple[sql.Composed, sql.Composed, sql.Composed, sql.Composed]:
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
            "INSERT INTO {0} ({1}) SELECT {1} FROM {2} ON CONFLICT (tenant, key) DO UPDATE SET {3}"
        )
        told = sql.SQL("jsonb_populate_recordset(NULL::{}, %s::jsonb)").format(self.id)
        delete = sql.SQL(
            "DELETE FROM {} WHERE (tenant, key) IN (SELECT * FROM unnest(%s::text[], %s::uuid[]))"
        )
        return (
            select.format(self.id),
            upsert.format(self.id, names, told, assigned),
            upsert.format(self.id, names, CHANGED, assigned),
            delete.format(self.id),
        )
