"""Comparing versions of a read model, row by row by hash, column by column where rows differ."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from psycopg import sql
from psycopg.rows import class_row

from infra.database import Conn, Pool
from infra.read_models.bulk import Bulk
from infra.read_models.change import Key
from infra.read_models.tables import Table
from projections.projection import Row

# Rows that changed after the position that both versions have reached cannot be judged: one of
# the two has yet to come there. What claims to be from beyond anything reached is a difference.
COUNTS = """
SELECT count(*) AS rows,
       count(*) FILTER (WHERE a IS NOT NULL AND b IS NULL AND judged) AS only_left,
       count(*) FILTER (WHERE a IS NULL AND b IS NOT NULL AND judged) AS only_right,
       count(*) FILTER (WHERE a <> b AND judged) AS different,
       count(*) FILTER (WHERE NOT judged AND a IS DISTINCT FROM b) AS moving
FROM ({pairs}) AS pairs
"""
DIFFERENT = """
SELECT tenant, key, (SELECT to_jsonb(t) FROM {left} t WHERE (t.tenant, t.key) = (p.tenant, p.key)),
       (SELECT to_jsonb(t) FROM {right} t WHERE (t.tenant, t.key) = (p.tenant, p.key))
FROM ({pairs}) AS p WHERE a IS DISTINCT FROM b AND judged ORDER BY tenant, key LIMIT %(limit)s
"""
PAIRS = """
SELECT tenant, key, a.hash AS a, b.hash AS b,
       coalesce(greatest(a.position, b.position) <= %(both)s
                OR greatest(a.position, b.position) > %(any)s, true) AS judged
FROM (SELECT tenant, key, position, md5(ROW({columns})::text) AS hash FROM {left}) AS a
FULL JOIN (SELECT tenant, key, position, md5(ROW({columns})::text) AS hash FROM {right}) AS b
USING (tenant, key)
"""
COLUMNS = """
SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
"""


class Counts(NamedTuple):
    """How many rows were compared, and what came of it; those that moved meanwhile apart."""

    rows: int
    only_left: int
    only_right: int
    different: int
    moving: int

    @property
    def faults(self) -> int:
        """Count the rows that are not the same."""
        return self.only_left + self.only_right + self.different


class Difference(NamedTuple):
    """A row that is not the same, and how: by column, the value left and right."""

    tenant: str
    key: str
    kind: str
    columns: dict[str, tuple[Any, Any]]


class Comparison(NamedTuple):
    """What comparing two versions showed."""

    left: str
    right: str
    counts: Counts
    differences: list[Difference]
    columns_only_left: list[str]
    columns_only_right: list[str]

    @property
    def is_same(self) -> bool:
        """Tell whether nothing differs."""
        return not (self.counts.faults or self.columns_only_left or self.columns_only_right)


def compare(pool: Pool, left: Table, right: Table, limit: int = 20) -> Comparison:
    """Compare all rows of two versions, both as of one snapshot."""
    with reading(pool) as conn:
        reached = [reached_in(conn, table) for table in (left, right)]
        return compare_in(conn, (left.name, left.id), (right.name, right.id), reached, limit)


@contextmanager
def reading(pool: Pool) -> Iterator[Conn]:
    """Read everything as of one instant."""
    with pool.connection() as conn, conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield conn


def compare_in(
    conn: Conn,
    left: tuple[str, sql.Composable],
    right: tuple[str, sql.Composable],
    reached: Sequence[int],
    limit: int,
) -> Comparison:
    """Compare two tables with rows of a read model as part of a transaction."""
    mine, theirs = (columns_of(conn, table.as_string(conn)) for _, table in (left, right))
    shared = [column for column in mine if column in theirs]
    names = sql.SQL(", ").join(map(sql.Identifier, shared))
    pairs = sql.SQL(PAIRS).format(left=left[1], right=right[1], columns=names)
    asked = {"both": min(reached), "any": max(reached), "limit": limit}
    with conn.cursor(row_factory=class_row(Counts)) as cursor:
        counts = cursor.execute(sql.SQL(COUNTS).format(pairs=pairs), asked).fetchone()
    query = sql.SQL(DIFFERENT).format(pairs=pairs, left=left[1], right=right[1])
    rows = conn.execute(query, asked).fetchall() if counts and counts.faults else []
    return Comparison(
        left[0],
        right[0],
        counts or Counts(0, 0, 0, 0, 0),
        [difference(shared, *row) for row in rows],
        [column for column in mine if column not in theirs],
        [column for column in theirs if column not in mine],
    )


def difference(
    shared: list[str], tenant: str, key: str, left: Row | None, right: Row | None
) -> Difference:
    """Tell how two rows differ, column by column."""
    if left is None or right is None:
        return Difference(tenant, key, "only right" if left is None else "only left", {})
    columns = {c: (left[c], right[c]) for c in shared if left[c] != right[c]}
    return Difference(tenant, key, "different", columns)


def reached_in(conn: Conn, table: Table) -> int:
    """Give the position that a version has reached, as part of a transaction."""
    row = conn.execute(*table.reaching()).fetchone()
    return int(row[0]) if row else 0


def columns_of(conn: Conn, table: str) -> list[str]:
    """Give the columns of a table."""
    row = conn.execute(COLUMNS, [table]).fetchone()
    return list(row[0]) if row and row[0] else []


# ---- Samples -------------------------------------------------------------------------------------

SUBJECTS = """
SELECT DISTINCT e.tenant, e.subject FROM crm.log l JOIN crm.event e USING (seq)
WHERE l.position = ANY(%s)
"""
EVENTS = """
SELECT l.position, e.envelope FROM crm.event e JOIN crm.log l USING (seq)
JOIN unnest(%(tenants)s::text[], %(subjects)s::uuid[]) AS chosen (tenant, subject)
  USING (tenant, subject)
WHERE l.position <= %(upto)s AND NOT e.type = ANY(%(ignored)s) ORDER BY l.position
"""
"""All that concerns some customers, and the rows that it amounts to, against those that serve."""


class Sample(NamedTuple):
    """Everything about some customers, up to where the read model has come."""

    reached: int
    customers: int
    events: list[tuple[int, bytes]]


def sample(conn: Conn, table: Table, positions: Sequence[int]) -> Sample:
    """Read all about the customers of some positions of the log."""
    reached = reached_in(conn, table)
    chosen = conn.execute(SUBJECTS, [list(positions)]).fetchall()
    asked = {
        "tenants": [tenant for tenant, _ in chosen], "subjects": [subject for _, subject in chosen],
        "upto": reached, "ignored": list(table.projection.ignores),
    }  # fmt: skip
    return Sample(reached, len(chosen), conn.execute(EVENTS, asked, binary=True).fetchall())


def compare_sample(conn: Conn, table: Table, rows: dict[Key, Row], reached: int) -> Comparison:
    """Compare freshly folded rows with those of the same keys that serve."""
    fresh, serving = sql.Identifier("fresh_rows"), sql.Identifier("serving_rows")
    made = "CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT t.* FROM {} AS t WHERE {}"
    none, chosen = sql.SQL("false"), sql.SQL("(t.tenant, t.key) IN (SELECT tenant, key FROM {})")
    conn.execute(sql.SQL(made).format(fresh, table.id, none))
    Bulk(table).copy(conn, fresh, list(rows.items()))
    conn.execute(sql.SQL(made).format(serving, table.id, chosen.format(fresh)))
    return compare_in(conn, (table.name, serving), ("fresh", fresh), [reached, reached], 20)
