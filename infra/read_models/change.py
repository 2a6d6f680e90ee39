"""A transaction on a read model: its rows as they are, and as they become."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import orjson
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from infra.database import Conn
from projections.projection import Row

if TYPE_CHECKING:
    from infra.read_models.tables import Table

MANY = 200
"""So many rows are copied beside the table first: the server takes them apart in half the time."""

CHANGED = sql.Identifier("pg_temp", "changed")

REMOVED = """
INSERT INTO crm.removed (projection, version, tenant, key, position)
SELECT %(projection)s, %(version)s, tenant, key, position
FROM unnest(%(tenants)s::text[], %(keys)s::uuid[], %(positions)s::bigint[])
    AS gone (tenant, key, position)
ON CONFLICT (projection, version, tenant, key) DO UPDATE SET position = excluded.position
"""

UNFIT = (orjson.JSONEncodeError, psycopg.DataError, psycopg.errors.ProgramLimitExceeded)
"""What is raised when rows do not fit: a value, or all of them together."""


class Key(NamedTuple):
    """What a row is about."""

    tenant: str
    key: str


class Parking(NamedTuple):
    """A row that an event could not be applied to: where, which kind, and why."""

    key: Key
    position: int
    type: str
    reason: str


class Change:
    """A transaction on a table: read the rows of some keys, write what has become of them."""

    def __init__(self, table: "Table", conn: Conn, *, has_parked: bool = True) -> None:
        self._table, self._conn, self._has_parked = table, conn, has_parked

    def rows(self, keys: Iterable[Key]) -> dict[Key, Row]:
        """Give the rows of some keys, as far as there are any."""
        tenants, ids = columns_of(keys)
        with self._conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(self._table.select, [tenants, ids]).fetchall()
        return {Key(row.pop("tenant"), row.pop("key")): row for row in rows}

    def write(self, rows: Mapping[Key, Row | None], removed: Mapping[Key, int]) -> dict[Key, str]:
        """Insert or replace rows; those that are None are removed, by the event at this position.

        Gives the rows that do not fit into the table, a number being too large, and why.
        """
        kept = [(key, row) for key, row in rows.items() if row is not None]
        unfit = self._merge(kept) if len(kept) >= MANY else self._upsert(kept) if kept else {}
        gone = [key for key, row in rows.items() if row is None]
        if gone:
            self._remove({key: removed[key] for key in gone})
        return unfit

    def _merge(self, rows: list[tuple[Key, Row]]) -> dict[Key, str]:
        """Copy rows beside the table and let the server take them from there."""
        table, conn = self._table, self._conn
        conn.execute(sql.SQL("CREATE TABLE {} (LIKE {})").format(CHANGED, table.id))
        unfit = table.bulk.copy(conn, CHANGED, rows)
        conn.execute(sql.SQL("{}; DROP TABLE {}").format(table.merge, CHANGED))
        return unfit

    def _upsert(self, rows: list[tuple[Key, Row]]) -> dict[Key, str]:
        """Write a few rows by one statement, or else halves, down to the ones that do not fit."""
        told = [{"tenant": key.tenant, "key": key.key, **row} for key, row in rows]
        conn = self._conn
        try:
            with conn.pipeline():  # one round trip
                conn.execute("SAVEPOINT fits")
                conn.execute(self._table.upsert, [orjson.dumps(told).decode()])
                conn.execute("RELEASE fits")
        except UNFIT as error:
            conn.execute("ROLLBACK TO fits")
            if len(rows) == 1:
                return {rows[0][0]: f"{type(error).__name__} when the row was written"}
            middle = len(rows) // 2
            return self._upsert(rows[:middle]) | self._upsert(rows[middle:])
        return {}

    def _remove(self, gone: Mapping[Key, int]) -> None:
        tenants, ids = columns_of(gone)
        self._conn.execute(self._table.delete, [tenants, ids])
        told = {"tenants": tenants, "keys": ids, "positions": list(gone.values())}
        self._conn.execute(REMOVED, {**self._table.arguments, **told})

    def parked(self) -> set[Key]:
        """Give the keys whose events have to wait."""
        if not self._has_parked:
            return set()
        query = """
            SELECT tenant, key FROM crm.parked
            WHERE projection = %(projection)s AND version = %(version)s
        """
        return {Key(*row) for row in self._conn.execute(query, self._table.arguments)}

    def park(self, parkings: Iterable[Parking]) -> None:
        """Let the events of some rows wait: an event could not be applied."""
        self._table.park(self._conn, parkings)


def columns_of(keys: Iterable[Key]) -> tuple[list[str], list[str]]:
    """Lay keys out as two arrays."""
    pairs = list(keys)
    return [key.tenant for key in pairs], [key.key for key in pairs]
