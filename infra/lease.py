"""Roles that only one process may have at a time: held by a lease, fenced by an epoch.

Whoever acts in the role checks its epoch in the one statement that does the work, so a paused
process never holds the lease's row: for the server its work is done or not begun. A process that
was paused past its lease finds another epoch there and does nothing.
"""

import os
import socket
import time

from infra.database import Pool

TAKE = """
UPDATE crm.lease
SET holder = %(holder)s, epoch = epoch + 1,
    expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE name = %(name)s AND expires_at < clock_timestamp()
RETURNING epoch
"""

RENEW = """
UPDATE crm.lease SET expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE name = %(name)s AND epoch = %(epoch)s
"""

GIVE_UP = (
    "UPDATE crm.lease SET expires_at = '-infinity' WHERE name = %(name)s AND epoch = %(epoch)s"
)


def holder() -> str:
    """Name this process where it holds something that others may want."""
    return f"{socket.gethostname()}/{os.getpid()}"


class Fenced(Exception):
    """Another process has taken the role over; this one must stop acting in it."""


class Lease:
    """One candidate for a role. `seconds` is how long the lease lasts without being renewed."""

    def __init__(self, pool: Pool, name: str, holder: str, seconds: float) -> None:
        self._pool, self.name, self.holder, self.seconds = pool, name, holder, seconds
        self.epoch: int | None = None
        self._renew_at = 0.0

    def take(self) -> bool:
        """Try to get the role; False while another process holds it."""
        with self._pool.connection() as conn:
            row = conn.execute(TAKE, self._arguments()).fetchone()
        self.epoch = row[0] if row else None
        return self.epoch is not None

    def renew(self) -> None:
        """Keep the role without doing anything in it, once in a while. Raises `Fenced`."""
        if time.monotonic() < self._renew_at:
            return
        self._renew_at = time.monotonic() + self.seconds / 3
        with self._pool.connection() as conn:
            if conn.execute(RENEW, self._arguments()).rowcount != 1:
                raise self.lost()

    def lost(self) -> Fenced:
        """Note that the role has gone to another process; gives what to raise."""
        self.epoch = None
        return Fenced(f"The lease of {self.holder} has gone to another {self.name}.")

    def give_up(self) -> None:
        """Let another process take over at once."""
        if self.epoch is not None:
            with self._pool.connection() as conn:
                conn.execute(GIVE_UP, self._arguments())
            self.epoch = None

    def _arguments(self) -> dict[str, object]:
        return {
            "name": self.name,
            "holder": self.holder,
            "seconds": self.seconds,
            "epoch": self.epoch,
        }
