"""Messages that were not kept, with their reasons: listed, tried again, or discarded.

The message itself may hold personal data of we do not know whom, so it is sealed under a key of its
own, which dies with it.
"""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from commands.ingest import Message, Refused
from commands.ports import Who
from domain.rejected import Rejected
from infra import strict_json
from infra.database import Pool
from infra.ids import uuid7
from infra.keys.keyring import Keyring, Slot

KEEP = """
INSERT INTO crm.refused (id, tenant, source, message_id, digest, authid, code, sentence, sealed)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (tenant, digest) DO UPDATE
SET attempts = refused.attempts + 1, last_at = clock_timestamp(), code = excluded.code,
    sentence = excluded.sentence
"""
PAGE = """
SELECT id, source, message_id, code, sentence, attempts, first_at, last_at FROM crm.refused
WHERE tenant = %(tenant)s AND id > %(after)s AND (%(code)s::text IS NULL OR code = %(code)s)
ORDER BY id LIMIT %(limit)s
"""


class RefusedMessage(NamedTuple):
    """What can be shown of a message that was not kept."""

    id: str
    source: str
    message_id: str
    code: str
    sentence: str
    attempts: int
    first_at: datetime
    last_at: datetime


class PostgresRefusedMessages:
    """Implements `commands.ingest.RefusedMessages`."""

    def __init__(self, pool: Pool, keyring: Keyring) -> None:
        self._pool, self._keyring = pool, keyring

    def keep(self, who: Who, refused: Sequence[Refused]) -> None:
        """Keep messages with their reasons; the same message again only counts up."""
        slots = {uuid7(): each for each in refused}
        keys = self._keyring.ensure(who.tenant, [Slot(id_, "content") for id_ in slots])
        tenant_key = self._keyring.tenant_key(who.tenant)
        rows = []
        for id_, (message, verdict) in slots.items():
            nonce = os.urandom(12)
            sealed = keys[Slot(id_, "content")].cipher.encrypt(nonce, message.raw, id_.encode())
            named = message.parsed if isinstance(message.parsed, dict) else {}
            rows.append(
                (
                    id_,
                    who.tenant,
                    printable(named.get("source")),
                    printable(named.get("id")),
                    tenant_key.digest(message.raw),
                    who.authid,
                    verdict.code,
                    verdict.sentence,
                    nonce + sealed,
                )
            )
        with self._pool.connection() as conn, conn.cursor() as cursor, conn.transaction():
            cursor.executemany(KEEP, rows)

    def page(
        self, tenant: str, after: str, limit: int, code: str | None = None
    ) -> list[RefusedMessage]:
        """List messages, oldest first."""
        arguments = {"tenant": tenant, "after": after, "limit": limit, "code": code}
        with self._pool.connection() as conn:
            return [RefusedMessage(*row) for row in conn.execute(PAGE, arguments)]

    def open(self, tenant: str, id_: str) -> Message | None:
        """Give a message as it came."""
        query = "SELECT sealed FROM crm.refused WHERE tenant = %s AND id = %s"
        with self._pool.connection() as conn:
            row = conn.execute(query, [tenant, id_], binary=True).fetchone()
        slot = Slot(id_, "content")
        key = self._keyring.find(tenant, [slot]).get(slot)
        if row is None or key is None:
            return None
        return message_of(key.cipher.decrypt(row[0][:12], row[0][12:], id_.encode()))

    def discard(self, tenant: str, id_: str) -> bool:
        """Drop a message and its key; the key goes first, so that nothing is left to be opened."""
        known = "SELECT FROM crm.refused WHERE tenant = %s AND id = %s"
        gone = "DELETE FROM crm.refused WHERE tenant = %s AND id = %s"
        with self._pool.connection() as conn:
            if not conn.execute(known, [tenant, id_]).rowcount:
                return False  # and never the keys of what is no message
            self._keyring.discard(tenant, id_)
            return conn.execute(gone, [tenant, id_]).rowcount == 1


def message_of(raw: bytes) -> Message:
    """Parse one message; what is not JSON says so in its fault."""
    try:
        return Message(strict_json.loads(raw), raw)
    except Rejected as fault:
        return Message(None, raw, fault)


def printable(text: object) -> str:
    """Make an id out of whatever was sent as one: short, and without control characters."""
    shown = str(text or "")
    return (shown if shown.isprintable() else "".join(filter(str.isprintable, shown)))[:200]
