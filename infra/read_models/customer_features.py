"""Gives the features of all customers of a tenant: as they are now, or as of two instants.

Now comes from the read model. The past comes from the log, folded again, so that nothing that
happened or was learned later can be in it.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import groupby

from psycopg.rows import dict_row

from domain.customer import CustomerAbsorbed, CustomerMerged
from domain.customer_features import Features
from infra.database import Pool
from infra.store.envelope import decode
from projections.customer_features import HISTORY, ROWS, customer_features
from projections.features import by_day, counted, features, root_of, standing
from projections.projection import Row

HISTORY_OF = HISTORY.replace("ORDER BY", "AND t.subject = ANY(%(subjects)s::uuid[]) ORDER BY")

MERGING = [CustomerMerged.name, CustomerAbsorbed.name]
MERGES = """
SELECT envelope FROM crm.event WHERE tenant = %(tenant)s
AND subject = ANY(%(subjects)s::uuid[]) AND type = ANY(%(types)s)
"""

DAYS = """
SELECT key, merged_into, paid FROM read.customer_features WHERE tenant = %(tenant)s
"""

PAGE = 5_000


def current(pool: Pool, tenant: str, at: datetime) -> list[Features]:
    """Give the features of every customer from the read model; `at` says what time it is."""
    with pool.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        rows = {row["key"]: row for row in cursor.execute(ROWS, {"tenant": tenant})}
    return [features(customer, row, at) for customer, row in standing(rows).items()]


def current_days(pool: Pool, tenant: str) -> Iterator[Iterable[date]]:
    """Give the days on which each customer ever bought."""
    with pool.connection() as conn:
        found = conn.execute(DAYS, {"tenant": tenant}).fetchall()
    into = {key: merged_into for key, merged_into, _ in found}
    days: dict[str, set[date]] = {}
    for key, _, bought in found:
        days.setdefault(root_of(into, key), set()).update(by_day(bought))
    return iter(days.values())


def one_as_of(
    pool: Pool, tenant: str, id_: str, effective_at: datetime, recorded_at: datetime
) -> Features | None:
    """Give the features of the customer who stood for this id then; None if nobody did."""
    root, row = row_as_of(pool, tenant, id_, effective_at, recorded_at)
    return None if row is None else features(root, row, effective_at)


def row_as_of(
    pool: Pool, tenant: str, id_: str, effective_at: datetime, recorded_at: datetime
) -> tuple[str, Row | None]:
    """Give the customer who stood for this id then, with the row of all who were merged into it."""
    subjects = sorted(ever_the_same(pool, tenant, id_))
    rows = dict(rows_as_of(pool, tenant, effective_at, recorded_at, subjects))
    root = root_of({key: row["merged_into"] for key, row in rows.items()}, id_)
    return root, standing(rows).get(root)


def ever_the_same(pool: Pool, tenant: str, id_: str) -> set[str]:
    """Give all customers who were ever merged with one, directly or not."""
    found, asked = {id_}, set[str]()
    while new := found - asked:
        with pool.connection() as conn:
            arguments = {"tenant": tenant, "subjects": sorted(new), "types": MERGING}
            merging = conn.execute(MERGES, arguments, binary=True).fetchall()
        asked |= new
        for (envelope,) in merging:
            match decode(envelope).event:
                case CustomerMerged(into=other) | CustomerAbsorbed(other=other):
                    found.add(other)
    return found


def as_of(pool: Pool, tenant: str, effective_at: datetime, recorded_at: datetime) -> list[Features]:
    """Give the features of every customer at one instant, as they were known at another."""
    rows = dict(rows_as_of(pool, tenant, effective_at, recorded_at))
    return [features(customer, row, effective_at) for customer, row in standing(rows).items()]


def rows_as_of(
    pool: Pool,
    tenant: str,
    effective_at: datetime,
    recorded_at: datetime,
    subjects: Sequence[str] | None = None,
) -> Iterator[tuple[str, Row]]:
    """Fold the events of one customer after the other, without holding all of them.

    `subjects` asks for some customers alone.
    """
    query = HISTORY if subjects is None else HISTORY_OF
    types = list(customer_features.handlers)
    arguments = {"tenant": tenant, "types": types, "subjects": subjects}
    with (
        pool.connection() as conn,
        conn.transaction(),
        conn.cursor("customer_features", binary=True) as cursor,
    ):
        cursor.itersize = PAGE
        stored = (decode(env, position) for position, env in cursor.execute(query, arguments))
        for _, history in groupby(stored, key=lambda recorded: recorded.subject):
            yield from customer_features.fold(counted(history, effective_at, recorded_at)).items()
