"""The log as followers read it, embedded: straight from PostgreSQL, in order of position."""

from collections.abc import Collection, Generator, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import NamedTuple

from infra.database import Pool

BUCKETS = 4096
"""Into how many the customers hash; whoever wants some of them takes a range of buckets."""

BUCKET = f"(uuid_hash(subject) & {BUCKETS - 1})::smallint"
"""Tells in SQL which bucket an event is in. The log keeps it: it must never change."""

# How many of a page are wanted is more than a planner can guess, above all in a table that grew
# since it was analysed: wrong guesses sort what is sorted, read the whole table, or start processes
# to help with a handful of events. So positions are counted, and each event is looked up by itself.
# One that is not wanted has its position alone: the last one tells how far the page goes.
READ = """
SELECT l.position, e.envelope FROM (
    SELECT position, seq FROM crm.log WHERE position > %(after)s ORDER BY position LIMIT %(limit)s
) AS l LEFT JOIN LATERAL (
    SELECT envelope FROM crm.event WHERE seq = l.seq AND NOT type = ANY(%(ignored)s) OFFSET 0
) AS e ON true
ORDER BY l.position
"""

# The same of some customers only, and the bucket of each. An event of others is not even looked up,
# unless its position was given when the log had no buckets.
READ_SLICE = f"""
SELECT l.position, e.envelope, e.bucket FROM (
    SELECT position, seq, bucket FROM crm.log
    WHERE position > %(after)s ORDER BY position LIMIT %(upto)s::bigint - %(after)s
) AS l CROSS JOIN LATERAL (
    SELECT envelope, coalesce(l.bucket, {BUCKET}) AS bucket FROM crm.event
    WHERE seq = l.seq AND coalesce(l.bucket, {BUCKET}) BETWEEN %(low)s AND %(high)s
      AND NOT type = ANY(%(ignored)s) OFFSET 0
) AS e
WHERE l.position <= %(upto)s AND (l.bucket IS NULL OR l.bucket BETWEEN %(low)s AND %(high)s)
ORDER BY l.position
"""


Found = tuple[int, bytes, int]
"""Position, envelope and bucket of an event."""

AT_ONCE = 50
"""How many events the driver keeps that were not asked for yet."""


class Page(NamedTuple):
    """A part of the log: the wanted events in it, and the position up to which it was read."""

    events: Sequence[tuple[int, bytes]]
    upto: int


class EmbeddedLog:
    """Reads the log from the event store's own tables."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def head(self) -> int:
        """Give the last position, 0 when the log is empty."""
        with self._pool.connection() as conn:
            row = conn.execute("SELECT max(position) FROM crm.log").fetchone()
        return int(row[0] or 0) if row else 0

    def read(self, after: int, limit: int, ignored: Collection[str]) -> Page:
        """Give the events among the next `limit` positions, but not the ignored types."""
        arguments = {"after": after, "limit": limit, "ignored": list(ignored)}
        with self._pool.connection() as conn:
            found = conn.execute(READ, arguments, binary=True).fetchall()
        wanted = [each for each in found if each[1] is not None]
        return Page(wanted, found[-1][0] if found else after)

    def read_slice(
        self, after: int, upto: int, ignored: Collection[str], buckets: tuple[int, int]
    ) -> Generator[Found, None, None]:
        """Give the events of the customers between two buckets, each as it comes.

        Whoever takes them all before working on the first finds them out of the processor's caches:
        a rebuild took nearly twice as long.
        """
        low, high = buckets
        arguments = {
            "after": after, "upto": upto, "ignored": list(ignored), "low": low, "high": high
        }  # fmt: skip
        with self._pool.connection() as conn, conn.cursor() as cursor:
            yield from cursor.stream(READ_SLICE, arguments, binary=True, size=AT_ONCE)


class ReadingAhead:
    """Reads the log page by page, and the next page already while the last one is worked on.

    Only after a full one: what is written down to there never changes.
    """

    def __init__(self, log: EmbeddedLog) -> None:
        self._log = log
        self._next: tuple[int, int, Future[Page]] | None = None

    def read(self, after: int, limit: int) -> Page:
        """Give the events among the next `limit` positions."""
        asked, self._next = self._next, None
        if asked and asked[:2] == (after, limit):
            page = asked[2].result()
        else:
            page = self._log.read(after, limit, ())
        if page.upto - after == limit:
            self._next = page.upto, limit, self._begin(page.upto, limit)
        return page

    def _begin(self, after: int, limit: int) -> Future[Page]:
        """Let a thread read that nobody waits for when the process ends."""
        coming: Future[Page] = Future()

        def read() -> None:
            try:
                coming.set_result(self._log.read(after, limit, ()))
            except Exception as error:  # it is raised where the page is asked for
                coming.set_exception(error)

        Thread(target=read, name="read ahead", daemon=True).start()
        return coming
