"""A read model that counts: every event of a customer, once, and its own stream in order.

Run as a program it is `crm` with this read model besides the others, so that the processes under
test are what production runs. `CRM_FAULTS_CONTROL=1` breaks the one promise that everything rests
on: the checkpoint is then committed after the rows instead of with them.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import projections.catalogue
from domain.catalogue import EVENTS
from domain.events import Event, Recorded
from infra.read_models.change import Change
from infra.read_models.tables import Moved, Step, Table
from projections.projection import Column, NotApplicable, Projection, Row, by_customer

counted = Projection(
    name="counted",
    version=1,
    question="How many events were applied to a customer, and which version came last?",
    key=by_customer,
    columns={"events": Column("bigint", 0), "last_version": Column("bigint", 0)},
)


@counted.on(*EVENTS.values())
def applied(row: Row, _: Event, recorded: Recorded[Event]) -> Row:
    if recorded.stream != recorded.subject:
        return row | {"events": row["events"] + 1}
    if recorded.version != row["last_version"] + 1:
        raise NotApplicable(f"Version {recorded.version} came after {row['last_version']}.")
    return row | {"events": row["events"] + 1, "last_version": recorded.version}


ADVANCE = """
UPDATE crm.checkpoint SET position = %(upto)s
WHERE projection = %(projection)s AND version = %(version)s AND partition = %(partition)s
"""


@contextmanager
def two_transactions(table: Table, *steps: Step) -> Iterator[Change]:
    """What must not be done: the rows first, and a little later how far they have come."""
    with table.pool.connection() as conn:
        if any(table.position(partition) != after for after, _, partition in steps):
            raise Moved(f"{table.name} is not where it was.")
        with conn.transaction():
            yield Change(table, conn)
        time.sleep(0.1)
        for _, upto, partition in steps:
            conn.execute(ADVANCE, {**table.arguments, "upto": upto, "partition": partition})


def main() -> None:
    projections.catalogue.ALL = (*projections.catalogue.ALL, counted)
    if os.environ.get("CRM_FAULTS_CONTROL"):
        Table.transaction = two_transactions
    from api.cli.main import main as crm  # noqa: PLC0415 - it looks at the catalogue

    crm()


if __name__ == "__main__":
    main()
