"""Verifying a read model by a sample: all about some customers folded afresh."""

from random import Random

from consumers.follow import fold
from infra.read_models.compare import Comparison, compare_sample, reached_in, reading, sample
from infra.read_models.tables import Table
from infra.store.envelope import decode


def verify_sample(table: Table, count: int, seed: int | None = None) -> Comparison:
    """Compare the rows of the customers of so many events, chosen by chance, with those fresh."""
    chance = Random(seed)  # noqa: S311 - to choose, not to guard
    with reading(table.pool) as conn:
        head = reached_in(conn, table)
        positions = [chance.randint(1, head) for _ in range(count)] if head else []
        found = sample(conn, table, positions)
        history = (decode(envelope, position) for position, envelope in found.events)
        folded = fold(table.projection, {}, history)
        rows = {key: row for key, row in folded.rows.items() if row is not None}
        return compare_sample(conn, table, rows, found.reached)
