"""A version of a read model being built in PostgreSQL: its slices, and rows written in bulk.

A slice is the customers of a range of buckets, and can be divided down to one. Its rows are folded
in memory by one worker; each half minute they are saved, seldomer if saving takes long, and
when they are finished they go into the version's table. Whoever works on a version holds its token;
each change checks it in its own transaction, so a worker that was believed dead changes nothing
any more.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise, starmap
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from domain.rejected import Rejected
from infra.database import Conn, Pool, connect
from infra.lease import holder
from infra.read_models.bulk import Bulk
from infra.read_models.change import Key, Parking
from infra.read_models.tables import Table
from infra.read_models.versions import State, Version, locked, put, versions_in
from infra.store.log import BUCKETS
from projections.projection import Row

HELD = "SELECT pg_try_advisory_lock(hashtext('build'), hashtext(%s))"

# It is not waited for the disk: what is told here only shows how far a worker is.
NOTE = """
UPDATE crm.slice SET seen = %(seen)s, events = events + %(events)s
FROM crm.read_model m, (SELECT set_config('synchronous_commit', 'off', true)) AS settings
WHERE slice.projection = %(projection)s AND slice.version = %(version)s AND low = %(low)s
  AND m.projection = slice.projection AND m.version = slice.version AND token = %(token)s
RETURNING paused
"""
FENCE = """
SELECT FROM crm.read_model WHERE projection = %(projection)s AND version = %(version)s
  AND token = %(token)s FOR SHARE
"""
SLICES = """
SELECT low, high, saved, seen, events, finished FROM crm.slice
WHERE projection = %(projection)s AND version = %(version)s ORDER BY low
"""
PARKED = """
SELECT p.tenant, key, position, p.type, reason, convert_from(envelope, 'UTF8')::json ->> 'id'
FROM crm.parked AS p LEFT JOIN crm.log USING (position) LEFT JOIN crm.event USING (seq)
WHERE projection = %(projection)s AND p.version = %(version)s ORDER BY position LIMIT 1000
"""


Fits = Callable[[Key, Row], bool]
Settle = Callable[[dict[Key, str], Fits], tuple[dict[Key, Row], list[Parking]]]
"""Takes rows that do not fit back to before the events that made them so."""


class TakenOver(Exception):
    """The version was cancelled, or somebody else builds it now."""


class Slice(NamedTuple):
    """A range of buckets, both ends included, and how far it is."""

    low: int
    high: int
    saved: int = 0
    seen: int = 0
    events: int = 0
    finished: bool = False


class Poison(NamedTuple):
    """A row that waits, and the event that could not be applied: its id and name, no content."""

    tenant: str
    key: str
    position: int
    type: str
    reason: str
    event: str | None


@contextmanager
def presence(url: str, projection: str) -> Iterator[None]:
    """Be the one who builds versions of a projection; the database notices at once who is gone."""
    with connect(url) as conn:
        if not is_alone(conn, projection):
            begun = [v for v in versions_in(conn, projection) if v.state in BUILDING]
            who = [f"{v.holder}, since {v.began_at:%H:%M:%S} UTC," for v in begun]
            raise Rejected(
                "projection.being_built",
                f"{' '.join(who) or 'Somebody else'} is already at work on {projection};"
                " `crm projections status` shows how far it is.",
            )
        yield


def is_alone(conn: Conn, projection: str) -> bool:
    """Take the lock; the server may need a moment to notice that a killed holder is gone."""
    for _ in range(10):
        (alone,) = conn.execute(HELD, [projection]).fetchone() or (False,)
        if alone:
            return True
        time.sleep(0.1)
    return False


BUILDING: tuple[State, ...] = ("building", "check")


def begin(
    pool: Pool, table_of: Callable[[int], Table], name: str, head: int, parts: int
) -> "Build":
    """Take over the version that is being built, or begin the next one."""
    with locked(pool, name) as (conn, found):
        begun, definition = found.get("building"), table_of(0).projection.version
        if "built" in found:
            raise Rejected(
                "projection.built",
                f"Version {found['built'].version} of {name} is built and waits:"
                " promote it, or cancel it.",
            )
        if begun is None:
            table = table_of(following(conn, name))
            lay_out(conn, table, "building", head, parts)
            return Build(table, 1, head)
        if begun.definition != definition:
            raise Rejected(
                "projection.other_definition",
                f"Version {begun.version} of {name} is being built by another release, with"
                f" definition {begun.definition}; this one has {definition}. Cancel it first.",
            )
        put(conn, begun, holder=holder(), paused=False)
        return Build(table_of(begun.version), begun.token + 1, begun.target)


def following(conn: Conn, name: str) -> int:
    """Give the number of the next version."""
    query = "SELECT coalesce(max(version), 0) + 1 FROM crm.read_model WHERE projection = %s"
    row = conn.execute(query, [name]).fetchone()
    return int(row[0]) if row else 1


def begin_check(pool: Pool, table: Table, head: int, parts: int) -> "Build":
    """Begin a version that only serves to be compared with; what is left of another one goes."""
    with locked(pool, table.projection.name) as (conn, _):
        table.forget(conn)
        lay_out(conn, table, "check", head, parts)
    return Build(table, 1, head)


def lay_out(conn: Conn, table: Table, state: State, head: int, parts: int) -> None:
    """Make a version and divide the customers into so many slices."""
    table.define(conn)
    told = {
        **table.arguments, "definition": table.projection.version, "state": state,
        "target": head, "holder": holder(),
    }  # fmt: skip
    conn.execute(
        "INSERT INTO crm.read_model (projection, version, definition, state, target, holder)"
        " VALUES (%(projection)s, %(version)s, %(definition)s, %(state)s, %(target)s, %(holder)s)",
        told,
    )
    for low, high in ranges(0, BUCKETS - 1, parts):
        add_slice(conn, table, low, high)


def ranges(low: int, high: int, parts: int) -> list[tuple[int, int]]:
    """Divide a range of buckets, both ends included, into so many of about the same size."""
    edges = [low + (high - low + 1) * n // parts for n in range(parts + 1)]
    return [(begin, end - 1) for begin, end in pairwise(edges)]


def add_slice(conn: Conn, table: Table, low: int, high: int) -> None:
    """Add a slice that nobody has begun."""
    conn.execute(
        "INSERT INTO crm.slice (projection, version, low, high)"
        " VALUES (%(projection)s, %(version)s, %(low)s, %(high)s)",
        {**table.arguments, "low": low, "high": high},
    )


class Build:
    """A version that is being built, for whoever holds its token."""

    def __init__(self, table: Table, token: int, target: int) -> None:
        self.table, self.token, self.target = table, token, target
        table.keep_token(token)
        self._where = {**table.arguments, "token": token}
        self._bulk = Bulk(table)

    # ---- Slices ----------------------------------------------------------------------------------

    def slices(self) -> list[Slice]:
        """Give all slices."""
        with self.table.pool.connection() as conn:
            return [Slice(*row) for row in conn.execute(SLICES, self._where)]

    def note(self, slice_: Slice, seen: int, events: int) -> bool:
        """Tell how far a worker is; gives whether it has to pause. Raises `TakenOver`."""
        told = {**self._where, "low": slice_.low, "seen": seen, "events": events}
        with self.table.pool.connection() as conn:
            row = conn.execute(NOTE, told).fetchone()
        if row is None:
            raise self.taken_over()
        return bool(row[0])

    def divide(
        self,
        slice_: Slice,
        parts: int,
        rows: Mapping[Key, Row],
        buckets: Mapping[Key, int],
        at: int,
    ) -> Slice:
        """Keep the rows of all but the lowest of so many parts for later; gives that part."""
        (_, high), *others = ranges(slice_.low, slice_.high, parts)
        with self._transaction() as conn:
            conn.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self.table.stage(slice_.low)))
            self._set(conn, slice_, high=high, saved=0)
            for other in starmap(Slice, others):
                add_slice(conn, self.table, other.low, other.high)
                its = {k: r for k, r in rows.items() if other.low <= buckets[k] <= other.high}
                self._keep(conn, other, its, buckets, at)
        return slice_._replace(high=high, saved=0)

    def finish(self, slice_: Slice, rows: Mapping[Key, Row], settled: Settle) -> None:
        """Write the rows of a slice for good; those that do not fit are settled first."""
        with self._transaction() as conn:
            unfit = self._bulk.copy(conn, self.table.id, list(rows.items()))
            if unfit:
                earlier, parkings = settled(unfit, lambda key, row: self._fits(conn, key, row))
                self._bulk.copy(conn, self.table.id, list(earlier.items()))
                self.table.park(conn, parkings)
            conn.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self.table.stage(slice_.low)))
            self._set(conn, slice_, saved=self.target, seen=self.target, finished=True)

    # ---- Saving and going on ---------------------------------------------------------------------

    def save(
        self, slice_: Slice, rows: Mapping[Key, Row], buckets: Mapping[Key, int], at: int
    ) -> None:
        """Make the rows so far safe, so that a killed worker need not begin again."""
        with self._transaction() as conn:
            self._keep(conn, slice_, rows, buckets, at)

    def load(self, slice_: Slice) -> tuple[dict[Key, Row], dict[Key, int]]:
        """Give the rows that were saved, and the bucket of each."""
        rows: dict[Key, Row] = {}
        buckets: dict[Key, int] = {}
        if slice_.saved == 0:
            return rows, buckets
        query = sql.SQL("SELECT * FROM {}").format(self.table.stage(slice_.low))
        with (
            self.table.pool.connection() as conn,
            conn.cursor(row_factory=dict_row) as cursor,
        ):
            for row in cursor.execute(query):
                key = Key(row.pop("tenant"), row.pop("key"))
                buckets[key] = row.pop("bucket")
                rows[key] = row
        return rows, buckets

    # ---- Rows that wait --------------------------------------------------------------------------

    def state(self) -> Version | None:
        """Give the version as it stands, None when it is somebody else's or gone."""
        with self.table.pool.connection() as conn:
            found = versions_in(conn, self.table.projection.name)
        ours = (v for v in found if (v.version, v.token) == (self.table.version, self.token))
        return next(ours, None)

    def park(self, parkings: Sequence[Parking]) -> None:
        """Note at once which rows wait for which events."""
        with self._transaction() as conn:
            self.table.park(conn, parkings)

    def parked(self) -> list[Poison]:
        """Give the rows that wait."""
        with self.table.pool.connection() as conn:
            return [Poison(*row) for row in conn.execute(PARKED, self._where)]

    # ---- The end ---------------------------------------------------------------------------------

    def is_complete(self) -> bool:
        """Tell whether all rows up to the target are in the table, with what finds them."""
        query = (
            "SELECT FROM crm.checkpoint WHERE projection = %(projection)s AND version = %(version)s"
        )
        with self.table.pool.connection() as conn:
            return conn.execute(query, self._where).fetchone() is not None

    def complete(self) -> None:
        """Make what finds rows, and the checkpoint."""
        with self._transaction() as conn:
            try:
                self.table.complete(conn, self.target)
            except psycopg.errors.UniqueViolation as error:
                raise Rejected(
                    "projection.split_row",
                    "A row is made of events of several customers; such a projection cannot be"
                    " built in parts.",
                ) from error
            self.table.analyze(conn)

    def hand_over(self) -> None:
        """Leave the version to the followers, ready to serve."""
        with locked(self.table.pool, self.table.projection.name) as (conn, found):
            begun = found.get("building")
            if begun is None or begun.token != self.token:
                raise self.taken_over()
            put(conn, begun, state="built", holder="")

    # ---- How it is done --------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[Conn]:
        with self.table.pool.connection() as conn, conn.transaction():
            if conn.execute(FENCE, self._where).fetchone() is None:
                raise self.taken_over()
            yield conn

    def taken_over(self) -> TakenOver:
        """Give what to raise when the version is not ours any more."""
        return TakenOver(f"{self.table.name} was cancelled, or somebody else builds it now.")

    def _keep(
        self,
        conn: Conn,
        slice_: Slice,
        rows: Mapping[Key, Row],
        buckets: Mapping[Key, int],
        at: int,
    ) -> None:
        stage = self.table.stage(slice_.low)
        conn.execute("SET LOCAL client_min_messages TO warning")
        conn.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(stage))
        conn.execute(sql.SQL("CREATE TABLE {} (LIKE {}, bucket int)").format(stage, self.table.id))
        unfit = self._bulk.copy(conn, stage, list(rows.items()), buckets)
        if not unfit:
            self._set(conn, slice_, saved=at)

    def _set(self, conn: Conn, slice_: Slice, **changed: object) -> None:
        assigned = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name))
            for name in changed
        )
        query = sql.SQL(
            "UPDATE crm.slice SET {} WHERE projection = %(projection)s"
            " AND version = %(version)s AND low = %(low)s"
        )
        conn.execute(query.format(assigned), {**self._where, "low": slice_.low, **changed})

    def _fits(self, conn: Conn, key: Key, row: Row) -> bool:
        """Tell whether a row can be written, without keeping it."""
        unfit: dict[Key, str] = {}
        with conn.transaction(force_rollback=True):
            unfit = self._bulk.copy(conn, self.table.id, [(key, row)])
        return not unfit
