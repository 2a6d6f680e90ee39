"""A lease on keys in memory: who destroys a key knows when nobody can have it any more.

A process may use the keys it remembers for two seconds at a time, and learns with every renewal
whether any were destroyed. The eraser counts the generation up and waits until every holder has
seen that or let its lease run out. Renewing shares a lock that counting up takes alone, so that no
lease of the old generation begins unseen.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from infra.database import DATABASE_AWAY, Conn, Pool
from infra.ids import uuid7

LEASE_SECONDS = 2.0
RENEW_SECONDS = 0.5

# Nobody waits for the disk here, twice a second.
RENEW = """
WITH now AS MATERIALIZED (SELECT generation FROM crm_keys.generation FOR SHARE),
     quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO crm_keys.holder (holder, generation, expires_at)
SELECT %(holder)s, generation, clock_timestamp() + make_interval(secs => %(seconds)s)
FROM now, quick
ON CONFLICT (holder) DO UPDATE
SET generation = excluded.generation, expires_at = excluded.expires_at
RETURNING generation
"""
COUNT_UP = "UPDATE crm_keys.generation SET generation = generation + 1 RETURNING generation"
HELD = """
SELECT EXISTS (SELECT FROM crm_keys.holder
               WHERE generation < %s AND expires_at > clock_timestamp())
"""
END = "DELETE FROM crm_keys.holder WHERE holder = %s"
CLEAN = "DELETE FROM crm_keys.holder WHERE expires_at < clock_timestamp() - interval '1 minute'"


class NotDrained(Exception):
    """Somebody may still have a key in memory."""


class KeyLease:
    """The lease of one process; `forget` drops the keys that it remembers."""

    def __init__(self, pool: Pool, forget: Callable[[], None]) -> None:
        self._pool, self._forget = pool, forget
        self._holder, self._lock = uuid7(), threading.Lock()
        self._renew_at = self._valid_until = 0.0
        self.generation = 0

    def is_valid(self) -> bool:
        """Tell whether keys in memory may be used."""
        return time.monotonic() < self._valid_until

    def attend(self) -> None:
        """Renew the lease in time, and forget the keys if any was destroyed since."""
        if time.monotonic() < self._renew_at:
            return
        with self._lock:
            if time.monotonic() >= self._renew_at:
                self._renew()

    def _renew(self) -> None:
        """Nothing in memory is used while it is not known whether it still may be."""
        now, self._valid_until = time.monotonic(), 0.0
        arguments = {"holder": self._holder, "seconds": LEASE_SECONDS}
        with self._pool.connection() as conn:
            row = conn.execute(RENEW, arguments).fetchone()
        generation = int(row[0]) if row else -1
        if generation != self.generation:
            self.generation = generation
            self._forget()
        self._renew_at, self._valid_until = now + RENEW_SECONDS, now + LEASE_SECONDS

    def end(self) -> None:
        """Forget the keys and give the lease back at once; without a database it runs out."""
        with self._lock:
            was_valid, self._renew_at, self._valid_until = self.is_valid(), 0.0, 0.0
            self._forget()
            with suppress(*DATABASE_AWAY):
                if was_valid:
                    with self._pool.connection(timeout=LEASE_SECONDS) as conn:
                        conn.execute(END, [self._holder])


def count_up(conn: Conn) -> int:
    """Begin a new generation, in the transaction that destroys keys."""
    row = conn.execute(COUNT_UP).fetchone()
    return int(row[0]) if row else 0


def drain(pool: Pool, generation: int, seconds: float = 10.0) -> None:
    """Wait until no process can use a key from before a generation. Raises `NotDrained`."""
    deadline = time.monotonic() + seconds
    with pool.connection() as conn:
        conn.execute(CLEAN)
        while conn.execute(HELD, [generation]).fetchone() == (True,):
            if time.monotonic() > deadline:
                raise NotDrained(
                    "A process keeps renewing its lease on keys without dropping them."
                )
            time.sleep(0.02)
