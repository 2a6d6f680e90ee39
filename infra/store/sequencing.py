"""Giving every event its position: once, without gaps, by one process at a time.

Reading a serial column in order loses events, because transactions commit in another order than
they take their numbers. Here a fenced sequencer takes what is committed and numbers it. Within one
statement's snapshot an event is never seen without those that were committed before it, so every
stream keeps its order; nothing waits for anything else, and no writer is ever held up.
"""

import time

from infra.database import Pool
from infra.lease import Fenced, Lease
from infra.store.log import BUCKET

PENDING = "SELECT EXISTS (SELECT FROM crm.pending)"

# One statement, so that a sequencer that is paused never holds the lease row: for the server this
# is either done or not begun. The row is locked first, so its position cannot move under us.
NUMBER = f"""
WITH lease AS (
    SELECT position FROM crm.lease WHERE name = 'sequencer' AND epoch = %(epoch)s FOR UPDATE
), taken AS (
    DELETE FROM crm.pending
    WHERE seq = ANY(ARRAY(SELECT seq FROM crm.pending ORDER BY seq LIMIT %(limit)s))
      AND EXISTS (SELECT FROM lease)
    RETURNING seq, leaf
), numbered AS (
    INSERT INTO crm.log (position, seq, leaf, bucket)
    SELECT lease.position + row_number() OVER (ORDER BY seq), seq,
           coalesce(leaf, sha256('\\x00'::bytea || envelope)), {BUCKET}
    FROM lease, taken JOIN crm.event USING (seq)
    RETURNING position
), counted AS (
    SELECT count(*) AS events FROM numbered
)
UPDATE crm.lease
SET position = position + counted.events,
    expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
FROM counted WHERE name = 'sequencer' AND epoch = %(epoch)s
RETURNING counted.events
"""


class Sequencing:
    """One candidate for the role. `seconds` is how long its lease lasts without being renewed."""

    def __init__(self, pool: Pool, holder: str, seconds: float = 3.0, limit: int = 5000) -> None:
        self._pool, self.limit = pool, limit
        self.lease = Lease(pool, "sequencer", holder, seconds)
        self._renew_at = 0.0

    def number(self) -> int:
        """Give positions to what is pending, up to `limit`; raises `Fenced`."""
        lease = self.lease
        arguments = {"epoch": lease.epoch, "seconds": lease.seconds, "limit": self.limit}
        now = time.monotonic()
        with self._pool.connection() as conn:
            if now < self._renew_at and conn.execute(PENDING).fetchone() == (False,):
                return 0
            row = conn.execute(NUMBER, arguments).fetchone()
        if row is None:
            raise lease.lost()
        self._renew_at = now + lease.seconds / 3
        return int(row[0])

    def run_once(self) -> int:
        """Number what is pending if this is, or can become, the sequencer."""
        if self.lease.epoch is None and not self.lease.take():
            return 0
        try:
            return self.number()
        except Fenced:
            return 0
