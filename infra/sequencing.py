"""Giving every event its position: once, without gaps, by one process at a time.

Reading a serial column in order loses events, because transactions commit in another order than
they take their numbers. Here a fenced sequencer takes what is committed and numbers it. Within one
statement's snapshot an event is never seen without those that were committed before it, so every
stream keeps its order; nothing waits for anything else, and no writer is ever held up.
"""

import time

from infra.database import Pool

TAKE_LEASE = """
UPDATE crm.lease
SET holder = %(holder)s, epoch = epoch + 1,
    expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE name = 'sequencer' AND expires_at < clock_timestamp()
RETURNING epoch
"""

GIVE_UP_LEASE = """
UPDATE crm.lease SET expires_at = '-infinity' WHERE name = 'sequencer' AND epoch = %(epoch)s
"""

PENDING = "SELECT EXISTS (SELECT FROM crm.pending)"

# One statement, so that a sequencer that is paused never holds the lease row: for the server this
# is either done or not begun. The row is locked first, so its position cannot move under us.
NUMBER = """
WITH lease AS (
    SELECT position FROM crm.lease WHERE name = 'sequencer' AND epoch = %(epoch)s FOR UPDATE
), taken AS (
    DELETE FROM crm.pending
    WHERE seq = ANY(ARRAY(SELECT seq FROM crm.pending ORDER BY seq LIMIT %(limit)s))
      AND EXISTS (SELECT FROM lease)
    RETURNING seq
), numbered AS (
    INSERT INTO crm.log (position, seq, leaf)
    SELECT lease.position + row_number() OVER (ORDER BY seq), seq,
           sha256('\\x00'::bytea || envelope)
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


class Fenced(Exception):
    """Another sequencer has taken over; this one must stop numbering."""


class Sequencing:
    """One candidate for the role. `seconds` is how long the lease lasts without being renewed."""

    def __init__(self, pool: Pool, holder: str, seconds: float = 3.0, limit: int = 5000) -> None:
        self._pool, self.holder, self.seconds, self.limit = pool, holder, seconds, limit
        self.epoch: int | None = None
        self._renew_at = 0.0

    def take_lease(self) -> bool:
        """Try to become the sequencer; False while another one holds the lease."""
        with self._pool.connection() as conn:
            arguments = {"holder": self.holder, "seconds": self.seconds}
            row = conn.execute(TAKE_LEASE, arguments).fetchone()
        self.epoch = row[0] if row else None
        return self.epoch is not None

    def number(self) -> int:
        """Give positions to what is pending, up to `limit`; raises `Fenced`."""
        arguments = {"epoch": self.epoch, "seconds": self.seconds, "limit": self.limit}
        now = time.monotonic()
        with self._pool.connection() as conn:
            if now < self._renew_at and conn.execute(PENDING).fetchone() == (False,):
                return 0
            row = conn.execute(NUMBER, arguments).fetchone()
        if row is None:
            self.epoch = None
            raise Fenced(f"The lease of {self.holder} has gone to another sequencer.")
        self._renew_at = now + self.seconds / 3
        return int(row[0])

    def run_once(self) -> int:
        """Number what is pending if this is, or can become, the sequencer."""
        if self.epoch is None and not self.take_lease():
            return 0
        try:
            return self.number()
        except Fenced:
            return 0

    def give_up(self) -> None:
        """Let another one take over at once."""
        if self.epoch is not None:
            with self._pool.connection() as conn:
                conn.execute(GIVE_UP_LEASE, {"epoch": self.epoch})
            self.epoch = None
