"""Data keys: one per tenant, customer and group of personal data, wrapped by a master key.

Destroying a data key forgets what was sealed under it, wherever the ciphertext lies; its row stays,
and as long as it does nobody can make another key in its place. Keys are remembered in the process
for a minute at most, and only under a lease that lets the eraser know when they are forgotten.
"""

import hmac
import time
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from commands.ports import Forgotten
from domain.personal import GROUPS
from infra.access import AccessLog
from infra.database import Pool
from infra.ids import uuid7
from infra.keys.lease import KeyLease, count_up, drain
from infra.keys.master_key import MasterKeys, WrongKey

CACHE_SECONDS = 60
CACHE_MAX = 50_000
NOBODY = "00000000-0000-0000-0000-000000000000"
"""The subject of keys that belong to a tenant as a whole."""


class Slot(NamedTuple):
    """What a data key is for."""

    subject: str
    group: str


class DataKey(NamedTuple):
    """A data key, ready to use."""

    id: bytes
    secret: bytes
    cipher: AESGCM
    mac: hmac.HMAC

    @classmethod
    def of(cls, id_: bytes, secret: bytes) -> "DataKey":
        """Make a key ready to use."""
        return cls(id_, secret, AESGCM(secret), hmac.new(secret, digestmod=sha256))

    def commit(self, nonce: bytes) -> bytes:
        """Bind a nonce to this key: AES-GCM alone lets an insider show a second plaintext."""
        return self.digest(b"commit" + nonce)[:16]

    def digest(self, message: bytes) -> bytes:
        """Give the HMAC-SHA256 of a message under this key.

        `hmac.digest` lets go of the interpreter, and a writer among many waits to get it again.
        """
        mac = self.mac.copy()
        mac.update(message)
        return mac.digest()


READ = """
SELECT slot.*, found.* FROM unnest(%(subjects)b::uuid[], %(groups)b::text[]) AS slot (subject, grp)
CROSS JOIN LATERAL (
    SELECT id, epoch, wrapped FROM crm_keys.data_key
    WHERE tenant = %(tenant)s AND subject = slot.subject AND grp = slot.grp
      AND wrapped IS NOT NULL AND (NOT held OR %(held)s) LIMIT 1
) AS found
"""
# Rotation locks the row of the epoch that it retires: nothing is wrapped by a retired one.
MINT = """
WITH living AS MATERIALIZED (
    SELECT epoch FROM crm_keys.epoch WHERE epoch = %(epoch)s AND retired_at IS NULL FOR SHARE
)
INSERT INTO crm_keys.data_key (tenant, epoch, subject, grp, id, wrapped)
SELECT %(tenant)s, living.epoch, made.* FROM living, unnest(
    %(subjects)b::uuid[], %(groups)b::text[], %(ids)b::uuid[], %(wrapped)b::bytea[]) AS made
ON CONFLICT DO NOTHING RETURNING subject, grp
"""
ANY = """
SELECT tenant, subject, grp, id, epoch, wrapped FROM crm_keys.data_key
WHERE wrapped IS NOT NULL
  AND epoch = (SELECT max(epoch) FROM crm_keys.epoch WHERE retired_at IS NULL) LIMIT 1
"""
EPOCH = "SELECT max(epoch) FROM crm_keys.epoch WHERE retired_at IS NULL"
DESTROY = """
INSERT INTO crm_keys.data_key (tenant, subject, grp, id, epoch, wrapped, erasure)
SELECT %(tenant)s, subject, grp, gen_random_uuid(), 0, NULL, %(erasure)s
FROM unnest(%(subjects)s::uuid[]) AS subject CROSS JOIN unnest(%(groups)s::text[]) AS grp
ON CONFLICT (tenant, subject, grp) DO UPDATE SET wrapped = NULL, erasure = excluded.erasure
WHERE data_key.wrapped IS NOT NULL
"""
ERASURES = """
SELECT subject, grp, erasure FROM crm_keys.data_key
WHERE tenant = %s AND (subject, grp) IN (SELECT * FROM unnest(%s::uuid[], %s::text[]))
  AND (erasure IS NOT NULL OR held)
"""
KNOWN = "SELECT subject, grp FROM crm_keys.data_key WHERE tenant = %s AND subject = ANY(%s::uuid[])"
HOLD = """
UPDATE crm_keys.data_key SET held = %s
WHERE tenant = %s AND subject = ANY(%s::uuid[]) AND wrapped IS NOT NULL
"""


class Destroyed(NamedTuple):
    """A key that is gone: its id, and the epoch whose master key had wrapped it."""

    id: str
    epoch: int


class Keyring:
    """Finds, makes and destroys data keys. `sees_held`: also those under a legal hold.

    The pool is of the database of the keys; `access` is where looks are noted.
    """

    def __init__(
        self,
        pool: Pool,
        masters: MasterKeys,
        access: AccessLog | None = None,
        *,
        sees_held: bool = False,
    ) -> None:
        self._pool, self.masters, self._sees_held = pool, masters, sees_held
        self._cache: dict[tuple[str, Slot], tuple[float, DataKey]] = {}
        self._lease = KeyLease(pool, self.forget)
        self.access = access or AccessLog(pool)
        """Where whoever opens something for somebody notes it."""
        self._epoch = 0

    def find(
        self, tenant: str, slots: Iterable[Slot], *, held: bool = False
    ) -> Mapping[Slot, DataKey]:
        """Give the keys that exist; a slot without one is missing from the answer."""
        self._lease.attend()
        wanted = {slot: None if held else self._cached(tenant, slot) for slot in slots}
        found = {slot: key for slot, key in wanted.items() if key is not None}
        missing = wanted.keys() - found.keys()
        return {**found, **self._read(tenant, missing, held=held)} if missing else found

    def ensure(self, tenant: str, slots: Iterable[Slot]) -> Mapping[Slot, DataKey]:
        """Give a key for every slot, making those that do not exist yet. Raises `Forgotten`."""
        wanted = set(slots)
        found = dict(self.find(tenant, wanted))
        while missing := wanted - found.keys():
            found.update(self._mint(tenant, missing))
            if others := wanted - found.keys():
                found.update(self._read(tenant, others, held=True))
            if gone := self.fates(tenant, wanted - found.keys()):
                raise Forgotten(
                    {s: {g for of, g in gone if of == s} for s in {slot.subject for slot in gone}}
                )
            self._epoch = 0
        return found

    def tenant_key(self, tenant: str) -> DataKey:
        """Give the key of the tenant's blind indexes and fingerprints."""
        slot = Slot(NOBODY, "index")
        return self._cached(tenant, slot) or self.ensure(tenant, [slot])[slot]

    def check(self) -> None:
        """Open one key, to see that the master key is the right one. Raises `WrongKey`."""
        with self._pool.connection() as conn:
            row = conn.execute(ANY).fetchone()
        if row is not None:
            tenant, subject, group, *key = row
            self._unwrapped(tenant, Slot(subject, group), *key)

    def forget(self) -> None:
        """Drop the cache."""
        self._cache.clear()

    def close(self) -> None:
        """Forget all keys and give the lease back: an erasure need not wait for it."""
        self._lease.end()

    def discard(self, tenant: str, subject: str) -> None:
        """Drop the keys of what is not a customer and may come again: a refused message."""
        query = "DELETE FROM crm_keys.data_key WHERE tenant = %s AND subject = %s"
        with self._pool.connection() as conn:
            conn.execute(query, [tenant, subject])
        self.forget()

    def living(self, tenant: str, subjects: Sequence[str], groups: Sequence[str]) -> set[str]:
        """Tell which customers have a key of some groups that is not destroyed."""
        query = """
            SELECT DISTINCT subject FROM crm_keys.data_key
            WHERE tenant = %s AND subject = ANY(%s::uuid[]) AND grp = ANY(%s)
              AND wrapped IS NOT NULL
        """
        with self._pool.connection() as conn:
            rows = conn.execute(query, [tenant, list(subjects), list(groups)]).fetchall()
        return {subject for (subject,) in rows}

    # ---- The end of keys -------------------------------------------------------------------------

    def destroy(
        self, tenant: str, subjects: Sequence[str], groups: Sequence[str], erasure: str
    ) -> None:
        """Destroy keys for good, and wait until no process has one of them in memory any more."""
        arguments = {"tenant": tenant, "subjects": list(subjects), "groups": list(groups)}
        with self._pool.connection() as conn, conn.transaction():
            generation = count_up(conn)
            conn.execute(DESTROY, {**arguments, "erasure": erasure})
        self._drain(generation)

    def destroyed(self, tenant: str, erasure: str) -> list[Destroyed]:
        """Tell which keys an erasure has destroyed."""
        query = """
            SELECT id, epoch FROM crm_keys.data_key
            WHERE tenant = %s AND erasure = %s AND epoch > 0 ORDER BY id
        """
        with self._pool.connection() as conn:
            return [Destroyed(*row) for row in conn.execute(query, [tenant, erasure])]

    def hold(self, tenant: str, subjects: Sequence[str], *, held: bool) -> None:
        """Keep keys from all but those who work on legal holds, or give them back."""
        if held:
            self._complete(
                tenant, {Slot(subject, group) for subject in subjects for group in GROUPS}
            )
        with self._pool.connection() as conn, conn.transaction():
            generation = count_up(conn)
            conn.execute(HOLD, [held, tenant, list(subjects)])
        self._drain(generation)

    def fates(self, tenant: str, slots: Iterable[Slot]) -> dict[Slot, str | None]:
        """Tell which keys were destroyed, by which erasure; None are under a legal hold."""
        subjects, groups = columns_of(slots)
        if not subjects:
            return {}
        with self._pool.connection() as conn:
            rows = conn.execute(ERASURES, [tenant, subjects, groups]).fetchall()
        return {Slot(subject, group): erasure for subject, group, erasure in rows}

    def _complete(self, tenant: str, slots: set[Slot]) -> None:
        """Make the keys that are missing: one that was made during a hold would not be held."""
        subjects = list({slot.subject for slot in slots})
        while True:
            with self._pool.connection() as conn:
                known = {Slot(*row) for row in conn.execute(KNOWN, [tenant, subjects])}
            if not (missing := slots - known):
                return
            self._epoch = 0
            self._mint(tenant, missing)

    def _drain(self, generation: int) -> None:
        self._lease.end()
        drain(self._pool, generation)

    # ---- Memory and store ------------------------------------------------------------------------

    def _cached(self, tenant: str, slot: Slot) -> DataKey | None:
        cached, key = self._cache.get((tenant, slot), (0.0, None))
        fresh = cached > time.monotonic() - CACHE_SECONDS
        return key if fresh and (slot.subject == NOBODY or self._lease.is_valid()) else None

    def _read(self, tenant: str, slots: set[Slot], *, held: bool = False) -> dict[Slot, DataKey]:
        subjects, groups = columns_of(slots)
        arguments = {"tenant": tenant, "subjects": subjects, "groups": groups}
        generation, found = self._lease.generation, {}
        with self._pool.connection() as conn:
            rows = conn.execute(READ, {**arguments, "held": held or self._sees_held}).fetchall()
        for subject, group, key_id, epoch, wrapped in rows:
            slot = Slot(subject, group)
            found[slot] = self._unwrapped(tenant, slot, key_id, epoch, wrapped)
        return found if held else self._remembered(tenant, found, generation)

    def _unwrapped(
        self, tenant: str, slot: Slot, key_id: str, epoch: int, wrapped: bytes
    ) -> DataKey:
        try:
            secret = self.masters.unwrap(epoch, wrapped, bound_to(tenant, slot, key_id, epoch))
        except InvalidTag:
            raise WrongKey(
                f"The master key of epoch {epoch} does not open the data keys here: it is not the"
                " one that wrapped them. Put that one back; no other will do."
            ) from None
        return data_key(key_id, secret)

    def _mint(self, tenant: str, slots: set[Slot]) -> dict[Slot, DataKey]:
        """Make keys; those that there are, or were, already are missing from the answer."""
        generation, epoch = self._lease.generation, self._current_epoch()
        minted: dict[Slot, DataKey] = {}
        ids, wrapped = [], []
        for slot in sorted(slots):
            key_id, secret = uuid7(), AESGCM.generate_key(256)
            bound = bound_to(tenant, slot, key_id, epoch)
            wrapped.append(self.masters.wrap(epoch, secret, bound))
            ids.append(key_id)
            minted[slot] = data_key(key_id, secret)
        subjects, groups = columns_of(minted)
        arguments = {
            "tenant": tenant, "epoch": epoch, "subjects": subjects, "groups": groups,
            "ids": ids, "wrapped": wrapped,
        }  # fmt: skip
        with self._pool.connection() as conn:
            ours = {Slot(*row): minted[Slot(*row)] for row in conn.execute(MINT, arguments)}
        return self._remembered(tenant, ours, generation)

    def _current_epoch(self) -> int:
        if not self._epoch:
            with self._pool.connection() as conn:
                row = conn.execute(EPOCH).fetchone()
            self._epoch = int(row[0]) if row else 0
        return self._epoch

    def _remembered(
        self, tenant: str, keys: dict[Slot, DataKey], generation: int
    ) -> dict[Slot, DataKey]:
        """Remember keys, unless some were destroyed while these were being read."""
        if len(self._cache) > CACHE_MAX:
            self._cache.clear()
        now = time.monotonic()
        if generation == self._lease.generation:
            self._cache.update({(tenant, slot): (now, key) for slot, key in keys.items()})
        return keys


def columns_of(slots: Iterable[Slot]) -> tuple[list[str], list[str]]:
    """Lay slots out as two arrays."""
    chosen = list(slots)
    return [slot.subject for slot in chosen], [slot.group for slot in chosen]


def data_key(id_: str, secret: bytes) -> DataKey:
    """Make a key of its id as text."""
    return DataKey.of(bytes.fromhex(id_.replace("-", "")), secret)


def bound_to(tenant: str, slot: Slot, key_id: str, epoch: int) -> bytes:
    """Bind a wrapped key to its place, so that rows cannot be swapped."""
    return "\x1f".join([tenant, slot.subject, slot.group, key_id, str(epoch)]).encode()
