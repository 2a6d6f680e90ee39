"""Epochs of the master key: a new one takes the living keys over, the old dies with its backups.

A backup holds data keys that were destroyed later, wrapped by the master key of their epoch. Once
that one is gone, nobody can unwrap them: this is what an erasure's end date means.
"""

from datetime import datetime
from typing import Any, NamedTuple

from commands.ports import Who
from domain.rejected import Rejected
from infra.approvals import Approvals, Asked
from infra.database import Conn, Pool
from infra.keys.keyring import Slot, bound_to
from infra.keys.master_key import MasterKeys

AT_ONCE = 1_000

NEW = "INSERT INTO crm_keys.epoch (epoch) SELECT max(epoch) + 1 FROM crm_keys.epoch RETURNING epoch"
RETIRE = """
UPDATE crm_keys.epoch SET retired_at = clock_timestamp(),
    dies_at = clock_timestamp() + make_interval(days => %(days)s)
WHERE epoch < %(epoch)s AND retired_at IS NULL
"""
OLD = """
SELECT tenant, subject, grp, id, epoch, wrapped FROM crm_keys.data_key
WHERE epoch < %s AND wrapped IS NOT NULL LIMIT %s FOR UPDATE
"""
REWRAP = """
UPDATE crm_keys.data_key SET epoch = %s, wrapped = %s
WHERE tenant = %s AND subject = %s AND grp = %s
"""
EPOCHS = """
SELECT epoch, made_at, retired_at, dies_at, destroyed_at,
       (SELECT count(*) FROM crm_keys.data_key k WHERE k.epoch = e.epoch AND wrapped IS NOT NULL)
FROM crm_keys.epoch e ORDER BY epoch
"""


class Epoch(NamedTuple):
    """A master key: since when, until when, and how many living data keys it wraps."""

    epoch: int
    made_at: datetime
    retired_at: datetime | None
    dies_at: datetime | None
    destroyed_at: datetime | None
    keys: int


class Rotation:
    """Changes master keys. `backup_days` is how long the oldest backup lives."""

    def __init__(
        self, pool: Pool, masters: MasterKeys, approvals: Approvals, backup_days: int
    ) -> None:
        self._pool, self._masters, self._backup_days = pool, masters, backup_days
        self._approvals = approvals

    def epochs(self) -> list[Epoch]:
        """List the epochs, the oldest first."""
        with self._pool.connection() as conn:
            return [Epoch(*row) for row in conn.execute(EPOCHS)]

    def rotate(self) -> int:
        """Begin a new epoch and wrap all living keys anew; gives how many."""
        with self._pool.connection() as conn, conn.transaction():
            row = conn.execute(NEW).fetchone()
            epoch = int(row[0]) if row else 0
            self._masters.make(epoch)
            conn.execute(RETIRE, {"epoch": epoch, "days": self._backup_days})
        count = 0
        while moved := self._rewrap(epoch):
            count += moved
        return count

    def _rewrap(self, epoch: int) -> int:
        """Wrap some keys anew; whoever destroys one meanwhile waits, and then it is gone."""
        with self._pool.connection() as conn, conn.transaction():
            rows = conn.execute(OLD, [epoch, AT_ONCE]).fetchall()
            moved = [self._anew(epoch, *row) for row in rows]
            with conn.cursor() as cursor:
                cursor.executemany(REWRAP, moved)
        return len(moved)

    def _anew(
        self, epoch: int, *row: Any  # noqa: ANN401 - a row of the driver
    ) -> tuple[object, ...]:  # fmt: skip
        tenant, subject, group, id_, old, wrapped = row
        slot = Slot(subject, group)
        secret = self._masters.unwrap(old, wrapped, bound_to(tenant, slot, id_, old))
        again = self._masters.wrap(epoch, secret, bound_to(tenant, slot, id_, epoch))
        return epoch, again, tenant, subject, group

    def ask_destroy(self, who: Who, epoch: int) -> Asked:
        """Ask that the master key of an epoch be destroyed. Raises `Rejected`."""
        with self._pool.connection() as conn:
            must_be_dead(conn, epoch)
        return self._approvals.ask(who, "epoch.destroy", {"epoch": epoch})

    def destroy(self, tenant: str, id_: str) -> datetime | None:
        """Destroy the master key of an epoch as approved; gives when, if not at once."""
        asked = self._approvals.approved(tenant, id_, "epoch.destroy")
        epoch = int(asked.what["epoch"])
        with self._pool.connection() as conn, conn.transaction():
            must_be_dead(conn, epoch)
            later = self._masters.destroy(epoch)
            conn.execute(
                "UPDATE crm_keys.epoch SET destroyed_at = coalesce(%s, clock_timestamp())"
                " WHERE epoch = %s",
                [later, epoch],
            )
        self._approvals.done(tenant, id_)
        return later


def must_be_dead(conn: Conn, epoch: int) -> None:
    """Refuse an epoch that is needed, or that a backup could still need. Raises `Rejected`."""
    query = """
        SELECT retired_at IS NOT NULL, dies_at <= clock_timestamp(), dies_at,
               EXISTS (SELECT FROM crm_keys.data_key k
                       WHERE k.epoch = %(epoch)s AND wrapped IS NOT NULL)
        FROM crm_keys.epoch WHERE epoch = %(epoch)s AND destroyed_at IS NULL FOR UPDATE
    """
    row = conn.execute(query, {"epoch": epoch}).fetchone()
    if row is None:
        raise Rejected("epoch.unknown", f"There is no epoch {epoch}, or it is destroyed.")
    retired, dead, dies_at, in_use = row
    if not retired or in_use:
        raise Rejected("epoch.in_use", f"Keys are wrapped by epoch {epoch}; `crm privacy rotate`.")
    if not dead:
        raise Rejected("epoch.in_backups", f"Backups may need epoch {epoch} until {dies_at}.")
