"""API keys: who may call, for which tenant, in which role. A key is shown once, when it is made."""

import hmac
import re
import secrets
import time
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Literal, NamedTuple, get_args

from infra.database import Pool

Role = Literal["publish", "read", "operate", "hold"]
ROLES: tuple[Role, ...] = get_args(Role)

CACHE_SECONDS = 5.0
"""How long a revoked key may still be taken for a good one."""
CACHE_MAX = 10_000

TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
KEY = re.compile(r"crm_(?P<id>[0-9a-f]{12})_[A-Za-z0-9_-]{43}")
NO_DIGEST = bytes(32)


class ApiKey(NamedTuple):
    """What is known of a key; not the key itself."""

    id: str
    tenant: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None


class ApiKeys:
    """Makes, lists, revokes and recognises keys. Only their SHA-256 is kept."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._cache: dict[str, tuple[float, bytes, ApiKey]] = {}

    def create(self, tenant: str, role: Role) -> str:
        """Make a key of 256 random bits and give it: it cannot be shown again."""
        if not TENANT.fullmatch(tenant):
            raise ValueError(
                "A tenant's name has up to 63 small letters, digits, '-' and '_',"
                " and begins with a letter or digit."
            )
        if role not in ROLES:
            raise ValueError(f"There is no role {role!r}; there are: {', '.join(ROLES)}.")
        id_ = secrets.token_hex(6)
        key = f"crm_{id_}_{secrets.token_urlsafe(32)}"
        query = "INSERT INTO crm.api_key (id, tenant, role, digest) VALUES (%s, %s, %s, %s)"
        with self._pool.connection() as conn:
            conn.execute(query, [id_, tenant, role, sha256(key.encode()).digest()])
        return key

    def list(self, tenant: str | None = None) -> list[ApiKey]:
        """List the keys of one tenant or of all, oldest first."""
        query = """
            SELECT id, tenant, role, created_at, revoked_at FROM crm.api_key
            WHERE %(tenant)s::text IS NULL OR tenant = %(tenant)s ORDER BY created_at, id
        """
        with self._pool.connection() as conn:
            return [ApiKey(*row) for row in conn.execute(query, {"tenant": tenant})]

    def revoke(self, id_: str) -> bool:
        """End a key; False when there is no such key, or it has ended before."""
        query = """
            UPDATE crm.api_key SET revoked_at = clock_timestamp()
            WHERE id = %s AND revoked_at IS NULL
        """
        with self._pool.connection() as conn:
            ended = conn.execute(query, [id_]).rowcount == 1
        self._cache.pop(id_, None)
        return ended

    def find(self, shown: str) -> ApiKey | None:
        """Recognise a key that a caller shows. Takes as long for a wrong key as for a good one."""
        return matching(shown, self._known)

    def remembered(self, shown: str) -> ApiKey | None:
        """Recognise a key that was found a moment ago; never waits. None says nothing: `find`."""
        return matching(shown, self._cached)

    def _cached(self, id_: str) -> tuple[bytes, ApiKey] | None:
        cached = self._cache.get(id_)
        fresh = cached is not None and cached[0] > time.monotonic() - CACHE_SECONDS
        return cached[1:] if cached and fresh else None

    def _known(self, id_: str) -> tuple[bytes, ApiKey] | None:
        if cached := self._cached(id_):
            return cached
        query = """
            SELECT digest, id, tenant, role, created_at, revoked_at FROM crm.api_key
            WHERE id = %s AND revoked_at IS NULL
        """
        with self._pool.connection() as conn:
            row = conn.execute(query, [id_]).fetchone()
        if row is None:
            self._cache.pop(id_, None)
            return None
        if len(self._cache) >= CACHE_MAX:
            self._cache.clear()
        self._cache[id_] = (time.monotonic(), row[0], ApiKey(*row[1:]))
        return row[0], ApiKey(*row[1:])


def matching(shown: str, known_by: Callable[[str], tuple[bytes, ApiKey] | None]) -> ApiKey | None:
    """Give the key that is known by the id of what is shown, if all of it is the same."""
    parts = KEY.fullmatch(shown)
    known = known_by(parts["id"]) if parts else None
    digest = known[0] if known else NO_DIGEST
    same = hmac.compare_digest(sha256(shown.encode()).digest(), digest)
    return known[1] if known and same else None
