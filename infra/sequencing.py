"""Giving every event its position: once, without gaps, by one process at a time.

Reading a serial column in order loses events, because transactions commit in another order than
they take their numbers. Here a fenced sequencer takes what is committed and numbers it. Within one
statement's snapshot an event is never seen without those that were committed before it, so every
stream keeps its order; nothing waits for anything else, and no writer is ever held up.
"""

from infra.database import Pool
from infra.lease import Fenced, Lease

# The lease row is locked by `Lease.keep` in the same transaction: its position cannot move under us.
NUMBER = """
WITH taken AS (
    DELETE FROM crm.pending
    WHERE seq = ANY(ARRAY(SELECT seq FROM crm.pending ORDER BY seq LIMIT %(limit)s))
    RETURNING seq
), numbered AS (
    INSERT INTO crm.log (position, seq, leaf)
    SELECT %(position)s + row_number() OVER (ORDER BY seq), seq,
           sha256('\\x00'::bytea || envelope)
    FROM taken JOIN crm.event USING (seq)
    RETURNING position
), counted AS (
    SELECT count(*) AS events FROM numbered
)
UPDATE crm.lease SET position = position + counted.events
FROM counted WHERE name = 'sequencer'
RETURNING counted.events
"""


class Sequencing:
    """One candidate for the role. `seconds` is how long its lease lasts without being renewed."""

    def __init__(self, pool: Pool, holder: str, seconds: float = 3.0, limit: int = 5000) -> None:
        self._pool, self.limit = pool, limit
        self.lease = Lease(pool, "sequencer", holder, seconds)

    def number(self) -> int:
        """Give positions to what is pending, up to `limit`; raises `Fenced`."""
        with self._pool.connection() as conn, conn.transaction():
            position = self.lease.keep(conn)
            numbered = conn.execute(NUMBER, {"limit": self.limit, "position": position}).fetchone()
            return int(numbered[0]) if numbered else 0

    def run_once(self) -> int:
        """Number what is pending if this is, or can become, the sequencer."""
        if self.lease.epoch is None and not self.lease.take():
            return 0
        try:
            return self.number()
        except Fenced:
            return 0
