"""Gives the features of all customers of a tenant: as they are now, or as of two instants.

Now comes from the read model. The past comes from the log, folded again, so that nothing that
happened or was learned later can be in it.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby

from psycopg.rows import dict_row

from domain.customer_features import Features
from infra.database import Pool
from infra.envelope import decode
from projections.customer_features import (
    HISTORY,
    ROWS,
    counted,
    customer_features,
    features,
    standing,
)
from projections.projection import Row

PAGE = 5_000


def current(pool: Pool, tenant: str, at: datetime) -> list[Features]:
    """Give the features of every customer from the read model; `at` says what time it is."""
    with pool.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        rows = {row["key"]: row for row in cursor.execute(ROWS, {"tenant": tenant})}
    return [features(customer, row, at) for customer, row in standing(rows).items()]


def as_of(pool: Pool, tenant: str, effective_at: datetime, recorded_at: datetime) -> list[Features]:
    """Give the features of every customer at one instant, as they were known at another."""
    rows = dict(rows_as_of(pool, tenant, effective_at, recorded_at))
    return [features(customer, row, effective_at) for customer, row in standing(rows).items()]


def rows_as_of(
    pool: Pool, tenant: str, effective_at: datetime, recorded_at: datetime
) -> Iterator[tuple[str, Row]]:
    """Fold the events of one customer after the other, without holding all of them."""
    arguments = {"tenant": tenant, "types": list(customer_features.handlers)}
    with (
        pool.connection() as conn,
        conn.transaction(),
        conn.cursor("customer_features", binary=True) as cursor,
    ):
        cursor.itersize = PAGE
        stored = (decode(env, position) for position, env in cursor.execute(HISTORY, arguments))
        for _, history in groupby(stored, key=lambda recorded: recorded.subject):
            yield from customer_features.fold(counted(history, effective_at, recorded_at)).items()
