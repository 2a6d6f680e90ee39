"""How one version of a read model stands: how far, how much behind, who is at it."""

from typing import NamedTuple

from infra.database import Pool
from infra.progress import HEAD, level
from infra.read_models.tables import Table
from infra.read_models.versions import Version
from infra.store.log import BUCKETS

FOLDED = """
SELECT sum((high - low + 1) * seen)::float8, min(seen) FROM crm.slice
WHERE projection = %(projection)s AND version = %(version)s
"""


class Standing(NamedTuple):
    """One version, for people and programs."""

    projection: str
    version: int
    definition: int
    state: str
    position: int
    head: int
    lag_events: int
    lag_seconds: float
    percent: int | None
    """Of the way to where the log was when the building began."""
    parked: int
    holder: str


def standing(pool: Pool, table: Table, version: Version) -> Standing:
    """Tell how a version stands."""
    at = table.reached()
    percent: int | None = None
    with pool.connection() as conn:
        folded, seen = conn.execute(FOLDED, table.arguments).fetchone() or (None, None)
        if version.state in ("building", "check"):
            at = max(at, seen or 0)
            share = (folded or 0.0) / (version.target * BUCKETS) if version.target else 1.0
            percent = round(100 * share)
        head, pending, oldest, _ = conn.execute(HEAD).fetchone() or (0, 0, None, False)
        now = level(conn, table, at, head + pending, oldest)
    return Standing(
        version.projection, version.version, version.definition,
        state_of(table, version, now.lag_events),
        at, head + pending, now.lag_events, now.lag_seconds, percent, now.parked, version.holder,
    )  # fmt: skip


def state_of(table: Table, version: Version, lag: int) -> str:
    """Tell in words how a version is doing."""
    if version.paused:
        return f"{version.state}, paused"
    if version.definition != table.projection.version:
        return f"{version.state}, by definition {version.definition}"
    if version.state in ("building", "check"):
        return version.state
    return f"{version.state}, {'behind' if lag else 'level'}"
