"""Data keys: one per tenant, customer and group of personal data, wrapped by a master key.

Destroying a data key forgets what was sealed under it, wherever the ciphertext lies. Keys are
cached in the process for a minute at most.
"""

import contextlib
import hmac
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.database import Pool
from infra.ids import uuid7

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

    def commit(self, nonce: bytes) -> bytes:
        """Bind a nonce to this key: AES-GCM alone lets an insider show a second plaintext."""
        return hmac.digest(self.secret, b"commit" + nonce, sha256)[:16]


class MasterKey:
    """The master key of an epoch in a file that only its owner can read."""

    epoch = 1

    def __init__(self, path: Path) -> None:
        self._cipher = AESGCM(read_key_file(path))

    def wrap(self, secret: bytes, bound_to: bytes) -> bytes:
        """Encrypt a data key, bound to what it is for."""
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, secret, bound_to)

    def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes:
        """Decrypt a data key; raises `cryptography.exceptions.InvalidTag` if it is not ours."""
        return self._cipher.decrypt(wrapped[:12], wrapped[12:], bound_to)


def read_key_file(path: Path) -> bytes:
    """Give 32 secret bytes that only their owner can read; they are made if they are missing."""
    if not path.exists():
        make_key_file(path)
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"The key {path} can be read by others: chmod 600 it.")
    return path.read_bytes()


def make_key_file(path: Path) -> None:
    """Make a key, whole and on disk before it has its name; the first of several stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(AESGCM.generate_key(256))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        os.unlink(unfinished)
    directory = os.open(path.parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


class Keyring:
    """Finds and makes data keys."""

    def __init__(self, pool: Pool, master: MasterKey) -> None:
        self._pool, self._master = pool, master
        self._cache: dict[tuple[str, Slot], tuple[float, DataKey]] = {}

    def find(self, tenant: str, slots: Iterable[Slot]) -> Mapping[Slot, DataKey]:
        """Give the keys that exist; a slot without one is missing from the answer."""
        wanted = {slot: self._cached(tenant, slot) for slot in slots}
        found = {slot: key for slot, key in wanted.items() if key is not None}
        missing = wanted.keys() - found.keys()
        return {**found, **self._read(tenant, missing)} if missing else found

    def ensure(self, tenant: str, slots: Iterable[Slot]) -> Mapping[Slot, DataKey]:
        """Give a key for every slot, making those that do not exist yet."""
        wanted = set(slots)
        found = dict(self.find(tenant, wanted))
        if missing := wanted - found.keys():
            found.update(self._mint(tenant, missing))
        if minted_by_others := wanted - found.keys():
            found.update(self._read(tenant, minted_by_others))
        return found

    def tenant_key(self, tenant: str) -> DataKey:
        """Give the key of the tenant's blind indexes and fingerprints."""
        slot = Slot(NOBODY, "index")
        return self._cached(tenant, slot) or self.ensure(tenant, [slot])[slot]

    def forget(self) -> None:
        """Drop the cache."""
        self._cache.clear()

    def _cached(self, tenant: str, slot: Slot) -> DataKey | None:
        cached, key = self._cache.get((tenant, slot), (0.0, None))
        return key if cached > time.monotonic() - CACHE_SECONDS else None

    def _read(self, tenant: str, slots: set[Slot]) -> dict[Slot, DataKey]:
        query = """
            SELECT slot.*, found.* FROM unnest(%b::uuid[], %b::text[]) AS slot (subject, grp)
            CROSS JOIN LATERAL (
                SELECT id, epoch, wrapped FROM crm_keys.data_key
                WHERE tenant = %s AND subject = slot.subject AND grp = slot.grp LIMIT 1
            ) AS found
        """
        subjects, groups = [s.subject for s in slots], [s.group for s in slots]
        with self._pool.connection() as conn:
            rows = conn.execute(query, [subjects, groups, tenant]).fetchall()
        found = {}
        for subject, group, key_id, epoch, wrapped in rows:
            slot = Slot(subject, group)
            secret = self._master.unwrap(wrapped, bound_to(tenant, slot, key_id, epoch))
            found[slot] = data_key(key_id, secret)
        return self._remembered(tenant, found)

    def _mint(self, tenant: str, slots: set[Slot]) -> dict[Slot, DataKey]:
        """Make keys; those that somebody else has just made are missing from the answer."""
        minted, rows, epoch = {}, [], self._master.epoch
        for slot in sorted(slots):
            key_id, secret = uuid7(), AESGCM.generate_key(256)
            wrapped = self._master.wrap(secret, bound_to(tenant, slot, key_id, epoch))
            minted[slot] = data_key(key_id, secret)
            rows.append((slot.subject, slot.group, key_id, wrapped))
        query = """
            INSERT INTO crm_keys.data_key (tenant, epoch, subject, grp, id, wrapped)
            SELECT %s, %s, * FROM unnest(%b::uuid[], %b::text[], %b::uuid[], %b::bytea[])
            ON CONFLICT DO NOTHING RETURNING subject, grp
        """
        with self._pool.connection() as conn:
            ours = conn.execute(query, [tenant, epoch, *map(list, zip(*rows, strict=True))])
            return self._remembered(tenant, {Slot(*row): minted[Slot(*row)] for row in ours})

    def _remembered(self, tenant: str, keys: dict[Slot, DataKey]) -> dict[Slot, DataKey]:
        if len(self._cache) > CACHE_MAX:
            self._cache.clear()
        now = time.monotonic()
        self._cache.update({(tenant, slot): (now, key) for slot, key in keys.items()})
        return keys


def data_key(id_: str, secret: bytes) -> DataKey:
    """Make a key ready to use."""
    return DataKey(bytes.fromhex(id_.replace("-", "")), secret, AESGCM(secret))


def bound_to(tenant: str, slot: Slot, key_id: str, epoch: int) -> bytes:
    """Bind a wrapped key to its place, so that rows cannot be swapped."""
    return "\x1f".join([tenant, slot.subject, slot.group, key_id, str(epoch)]).encode()
