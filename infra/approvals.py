"""Four eyes: what one person asks, another one approves, to the letter and in time.

Every step is noted in the access log as well, whose tree is signed and witnessed: whoever changes
a request afterwards, or who approved it, is found.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import orjson

from commands.ports import Who
from domain.rejected import Rejected
from infra.access import LOOKER, Step, note_step, steps
from infra.database import Conn, Pool
from infra.ids import uuid7

Kind = Literal[
    "erasure",
    "hold.release",
    "epoch.destroy",
    "event.correct",
    "break-glass",
    "log.restore",
    "schedules",
]

VALID = timedelta(days=7)
VALID_FOR: Mapping[Kind, timedelta] = {"break-glass": timedelta(hours=1)}
"""What is urgent is not kept in a drawer."""

COLUMNS = """
id, tenant, kind, asked, asked_by, asked_at, expires_at, approved_by, done_at, approved
"""
APPROVE = f"""
UPDATE crm.request
SET approved_by = %(who)s, approved_at = clock_timestamp(), approved = sha256(asked)
WHERE tenant = %(tenant)s AND id = %(id)s AND sha256(asked) = %(digest)s
  AND asked_by <> %(who)s AND approved_by IS NULL AND expires_at > clock_timestamp()
RETURNING {COLUMNS}
"""


class Asked(NamedTuple):
    """A request. `digest` is what an approval must repeat."""

    id: str
    tenant: str
    kind: Kind
    what: dict[str, Any]
    digest: str
    asked_by: str
    asked_at: datetime
    expires_at: datetime
    approved_by: str | None
    done_at: datetime | None
    approved: bytes | None
    """The digest of what was approved."""


class Approvals:
    """Requests, and who approved them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def ask(self, who: Who, kind: Kind, what: Mapping[str, object]) -> Asked:
        """Ask for something that another person must approve."""
        asked = orjson.dumps(what, option=orjson.OPT_SORT_KEYS)
        query = f"""
            INSERT INTO crm.request (id, tenant, kind, asked, asked_by, asked_at, expires_at)
            SELECT %s, %s, %s, %s, %s, now, now + %s FROM clock_timestamp() AS now
            RETURNING {COLUMNS}
        """
        valid = VALID_FOR.get(kind, VALID)
        arguments = [uuid7(), who.tenant, kind, asked, who.authid, valid]
        with self._pool.connection() as conn, conn.transaction():
            new = asked_of(conn.execute(query, arguments, binary=True).fetchone() or ())
            note_step(conn, who.tenant, Step("asked", new.id, who.authid, new.digest))
        return new

    def approve(self, who: Who, id_: str, digest: str) -> Asked:
        """Approve a request; `digest` says which words were read. Raises `Rejected`."""
        try:
            wanted = bytes.fromhex(digest)
        except ValueError:
            wanted = b""
        arguments = {"tenant": who.tenant, "id": id_, "who": who.authid, "digest": wanted}
        with self._pool.connection() as conn, conn.transaction():
            row = conn.execute(APPROVE, arguments, binary=True).fetchone()
            if row is not None:
                note_step(conn, who.tenant, Step("approved", id_, who.authid, digest))
        if row is not None:
            return asked_of(row)
        raise self._refusal(who, id_, digest)

    def get(self, tenant: str, id_: str) -> Asked | None:
        """Give a request."""
        query = f"SELECT {COLUMNS} FROM crm.request WHERE tenant = %s AND id = %s"
        with self._pool.connection() as conn:
            row = conn.execute(query, [tenant, id_], binary=True).fetchone()
        return asked_of(row) if row else None

    def page(self, tenant: str, limit: int) -> list[Asked]:
        """List requests, the newest first."""
        query = f"""
            SELECT {COLUMNS} FROM crm.request WHERE tenant = %s ORDER BY asked_at DESC LIMIT %s
        """
        with self._pool.connection() as conn:
            rows = conn.execute(query, [tenant, limit], binary=True).fetchall()
        return [asked_of(row) for row in rows]

    def approved(self, tenant: str, id_: str, kind: Kind) -> Asked:
        """Give a request that may be carried out. Raises `Rejected`."""
        found = self.get(tenant, id_)
        if found is None or found.kind != kind:
            raise Rejected("request.unknown", "There is no such request.")
        if found.approved_by is None:
            raise Rejected("request.not_approved", "Nobody else has approved this request.")
        if found.approved is None or found.approved.hex() != found.digest:
            raise Rejected("request.changed", "What was approved is not what is asked now.")
        return found

    def done(self, tenant: str, id_: str) -> bool:
        """Note that a request was carried out; tells whether that is new."""
        query = """
            UPDATE crm.request SET done_at = clock_timestamp()
            WHERE tenant = %s AND id = %s AND approved_by IS NOT NULL AND done_at IS NULL
            RETURNING encode(approved, 'hex')
        """
        with self._pool.connection() as conn, conn.transaction():
            row = conn.execute(query, [tenant, id_]).fetchone()
            if row is not None:
                note_step(conn, tenant, Step("done", id_, LOOKER.get().who, row[0]))
        return row is not None

    def _refusal(self, who: Who, id_: str, digest: str) -> Rejected:
        found = self.get(who.tenant, id_)
        if found is None:
            return Rejected("request.unknown", "There is no such request.")
        if found.approved_by is not None:
            return Rejected("request.decided", f"{found.approved_by} has approved it already.")
        if found.asked_by == who.authid:
            return Rejected("request.same_person", "Who asks for it cannot approve it.")
        if found.digest != digest:
            return Rejected("request.changed", "That is not what was asked; read it again.")
        return Rejected("request.expired", "The request is too old; ask again.")


def asked_of(row: tuple[Any, ...]) -> Asked:
    """Make a request of its row."""
    id_, tenant, kind, asked, *rest = row
    return Asked(id_, tenant, kind, orjson.loads(asked), sha256(asked).hexdigest(), *rest)


def wrong_requests(conn: Conn) -> list[str]:
    """Tell which requests are not, or not any more, what was noted of them."""
    query = """
        SELECT 'asked', id, asked_by, encode(sha256(asked), 'hex') FROM crm.request
        UNION ALL
        SELECT 'approved', id, approved_by, encode(approved, 'hex') FROM crm.request
        WHERE approved_by IS NOT NULL
    """
    told = {Step(*row) for row in conn.execute(query)}
    noted = {step for step in steps(conn) if step.step != "done"}
    return sorted({step.request for step in told ^ noted})
