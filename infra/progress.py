"""How far everything has come: the log, every read model, and what was refused."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from infra.database import Conn, Pool
from infra.read_models.tables import Table

HEAD = """
SELECT (SELECT coalesce(max(position), 0) FROM crm.log) AS head,
       (SELECT count(*) FROM crm.pending) AS pending,
       (SELECT envelope FROM crm.event WHERE seq = (SELECT min(seq) FROM crm.pending)) AS oldest,
       (SELECT expires_at > clock_timestamp() FROM crm.lease WHERE name = 'sequencer') AS led
"""
LEVEL = """
SELECT (SELECT e.envelope FROM crm.log l JOIN crm.event e USING (seq)
        WHERE l.position > %(position)s ORDER BY l.position LIMIT 1) AS next,
       (SELECT count(*) FROM crm.parked
        WHERE projection = %(projection)s AND version = %(version)s) AS parked
"""
REFUSED = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(first_at)), 0)::float8
FROM crm.refused
"""


class Level(NamedTuple):
    """How far a read model has come, against what is committed, with or without a position yet."""

    projection: str
    version: int
    position: int
    lag_events: int
    lag_seconds: float
    parked: int


class Progress(NamedTuple):
    """How far everything has come."""

    head: int
    pending: int
    pending_seconds: float
    is_led: bool
    """Whether some sequencer holds the lease."""
    levels: list[Level]


def progress(pool: Pool, tables: Mapping[str, Table]) -> Progress:
    """Measure how far everything has come; the head last, so that nothing is ahead of it."""
    reached = [(table, table.reached()) for table in tables.values()]
    with pool.connection() as conn:
        row = conn.execute(HEAD).fetchone()
        head, pending, oldest, is_led = row or (0, 0, None, False)
        levels = [level(conn, *each, head + pending, oldest) for each in reached]
    return Progress(head, pending, age(oldest), bool(is_led), levels)


def level(
    conn: Conn, table: Table, position: int, true_head: int, oldest_pending: bytes | None
) -> Level:
    """Measure how far one read model has come."""
    row = conn.execute(LEVEL, {**table.arguments, "position": position}).fetchone()
    waiting, parked = row or (None, 0)
    return Level(
        projection=table.projection.name,
        version=table.version,
        position=position,
        lag_events=true_head - position,
        lag_seconds=age(waiting or oldest_pending),
        parked=parked,
    )


def refused(pool: Pool) -> tuple[int, float]:
    """Count the messages that were not kept, and give the age of the oldest in seconds."""
    with pool.connection() as conn:
        count, seconds = conn.execute(REFUSED).fetchone() or (0, 0.0)
    return count, seconds


def age(envelope: bytes | None) -> float:
    """Tell how long ago an event was recorded, in seconds; nothing waits for 0 seconds."""
    if envelope is None:
        return 0.0
    recorded = datetime.fromisoformat(orjson.loads(envelope)["recordedtime"])
    return max(0.0, (datetime.now(UTC) - recorded).total_seconds())
