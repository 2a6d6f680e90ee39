"""Rows written in bulk: one COPY, and those that do not fit into the table told apart."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
from psycopg import sql

from infra.database import Conn
from projections.projection import Row

if TYPE_CHECKING:
    from infra.read_models.change import Key
    from infra.read_models.tables import Table


class Bulk:
    """Writes rows of one read model."""

    def __init__(self, table: "Table") -> None:
        columns = table.projection.columns
        self._columns = [(name, column.type == "jsonb") for name, column in columns.items()]
        names = ("tenant", "key", *columns, "position")
        self._names = sql.SQL(", ").join(map(sql.Identifier, names))

    def copy(
        self,
        conn: Conn,
        into: sql.Composable,
        rows: Sequence[tuple["Key", Row]],
        buckets: Mapping["Key", int] | None = None,
    ) -> dict["Key", str]:
        """Write all rows at once, or else halves, down to the ones that do not fit: those and why.

        With `buckets`, the table has a column more: in which bucket the row's customer is.
        """
        bucket = sql.SQL("" if buckets is None else ", bucket")
        query = sql.SQL("COPY {} ({}{}) FROM STDIN").format(into, self._names, bucket)
        try:
            with conn.transaction(), conn.cursor() as cursor, cursor.copy(query) as copy:
                for key, row in rows:
                    values = self._values(key, row)
                    copy.write_row(values if buckets is None else [*values, buckets[key]])
        except (orjson.JSONEncodeError, psycopg.DataError) as error:
            if len(rows) == 1:
                return {rows[0][0]: f"{type(error).__name__} when the row was written"}
            half = len(rows) // 2
            lower = self.copy(conn, into, rows[:half], buckets)
            return lower | self.copy(conn, into, rows[half:], buckets)
        return {}

    def _values(self, key: "Key", row: Row) -> list[Any]:
        values = [
            orjson.dumps(row[name]).decode() if is_json and row[name] is not None else row[name]
            for name, is_json in self._columns
        ]
        return [key.tenant, key.key, *values, row["position"]]
