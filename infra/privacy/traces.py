"""What an erasure leaves to be removed beside the keys, and the search that nothing was left.

Events, read models, topics and exports hold ciphertext and need nothing. What is removed: the blind
index, fingerprints of commands, and refused messages in which the customer's own words occur.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import orjson
from psycopg import sql

from domain.personal import GROUPS, Redacted
from infra.database import Conn
from infra.keys.keyring import NOBODY
from infra.runtime import Runtime

WORD_MIN = 4
"""Shorter words occur by chance."""
PAGE = 500

IDENTIFIERS = "DELETE FROM crm.identifier WHERE tenant = %s AND customer = ANY(%s::uuid[])"
# The record stays, so that a command sent again still changes nothing.
FINGERPRINTS = """
UPDATE crm.command SET fingerprint = '\\x00' WHERE tenant = %(tenant)s AND commandid IN (
    SELECT (convert_from(envelope, 'UTF8')::json ->> 'commandid')::uuid FROM crm.event
    WHERE tenant = %(tenant)s AND subject = ANY(%(subjects)s::uuid[])
      AND NOT type LIKE 'interaction.%%' -- facts have no record: their stream is what absorbs them
)
"""
TABLES = """
SELECT c.relname, EXISTS (SELECT FROM pg_attribute a
                          WHERE a.attrelid = c.oid AND a.attname = 'customer')
FROM pg_class c WHERE c.relnamespace = 'read'::regnamespace AND c.relkind = 'r' ORDER BY c.relname
"""


class Removed(NamedTuple):
    """How much was removed."""

    identifiers: int
    fingerprints: int


class Scan(NamedTuple):
    """Where was searched, and what was found: nothing, or it is not done."""

    tables: list[str]
    words: int
    found: list[str]


def words_of(
    runtime: Runtime, tenant: str, subjects: Sequence[str], groups: Sequence[str]
) -> set[str]:
    """Collect what customers are called, before nobody can read it any more."""
    words: set[str] = set()
    calling = {"identity", "contact"} & set(groups)
    if not calling:
        return words
    for events in runtime.store.load(tenant, subjects).values():
        for recorded in events:
            for field, group in recorded.event.personal.items():
                if group in calling:
                    words |= set(texts(getattr(recorded.event, field)))
    return {word for word in words if len(word) >= WORD_MIN}


def texts(value: object) -> Iterator[str]:
    """Give the texts in a value."""
    if isinstance(value, dict):
        for held in value.values():
            yield from texts(held)
    elif isinstance(value, str) and not isinstance(value, Redacted):
        yield value


def remove(
    runtime: Runtime, tenant: str, subjects: Sequence[str], groups: Sequence[str]
) -> Removed:
    """Remove what could lead to the customers; identifiers are their contact data."""
    identifiers = 0
    with runtime.pool.connection() as conn, conn.transaction():
        if "contact" in groups:
            identifiers = conn.execute(IDENTIFIERS, [tenant, list(subjects)]).rowcount
        arguments = {"tenant": tenant, "subjects": list(subjects)}
        fingerprints = conn.execute(FINGERPRINTS, arguments).rowcount
    return Removed(identifiers, fingerprints)


def discard_refused(runtime: Runtime, tenant: str, words: Sequence[str]) -> int:
    """Drop the refused messages that quote the customers, and the key of each."""
    quoted = list(refused_with(runtime, tenant, words))
    return sum(runtime.refused.discard(tenant, id_) for id_ in quoted)


def quoting(subjects: Sequence[str], groups: Sequence[str], words: Sequence[str]) -> list[str]:
    """Tell by what a message quotes the customers; by their ids only if nothing of them is left."""
    return [*words, *subjects] if set(groups) == set(GROUPS) else list(words)


def refused_with(runtime: Runtime, tenant: str, words: Sequence[str]) -> Iterator[str]:
    """Find the refused messages in which one of the words occurs, however it is written."""
    after: str | None = NOBODY if words else None
    while after is not None:
        page = runtime.refused.page(tenant, after, PAGE)
        for message in page:
            opened = runtime.refused.open(tenant, message.id)
            if opened is None:
                continue
            text = opened.raw.decode(errors="replace").lower()
            parsed = orjson.dumps(opened.parsed).decode().lower() if opened.parsed else ""
            if any(word.lower() in text or word.lower() in parsed for word in words):
                yield message.id
        after = page[-1].id if len(page) == PAGE else None


def scan(
    runtime: Runtime,
    tenant: str,
    subjects: Sequence[str],
    groups: Sequence[str],
    words: Sequence[str],
) -> Scan:
    """Search the customers' rows in every read model, and what else could quote them."""
    whose = {"tenant": tenant, "subjects": list(subjects), "words": list(words)}
    with runtime.pool.connection() as conn:
        tables = [(name, of_customer) for name, of_customer in conn.execute(TABLES)]
        found = [
            f"read.{name}" for name, of_customer in tables if quotes(conn, name, of_customer, whose)
        ]
        arguments = {"tenant": tenant, "subjects": list(subjects), "groups": list(groups)}
        row = conn.execute(LEFT, arguments).fetchone()
    told = quoting(subjects, groups, words)
    found += [NAMES] if row and row[0] else []
    found += [KEYS] if runtime.keyring.living(tenant, subjects, groups) else []
    found += [REFUSED] if any(refused_with(runtime, tenant, told)) else []
    searched = [*(f"read.{name}" for name, _ in tables), NAMES, KEYS, REFUSED]
    return Scan(searched, len(words), found)


LEFT = """
SELECT count(*) FROM crm.identifier
WHERE tenant = %(tenant)s AND customer = ANY(%(subjects)s::uuid[]) AND 'contact' = ANY(%(groups)s)
"""
KEYS, NAMES, REFUSED = "crm_keys.data_key", "crm.identifier", "crm.refused"


def quotes(conn: Conn, table: str, of_customer: bool, whose: Mapping[str, object]) -> bool:
    """Tell whether a word occurs in the customers' rows of a read model."""
    theirs = "key = ANY(%(subjects)s::uuid[])"
    if of_customer:
        theirs += " OR customer = ANY(%(subjects)s::uuid[])"
    query = sql.SQL(
        "SELECT EXISTS (SELECT FROM read.{} t, unnest(%(words)s::text[]) AS word"
        f" WHERE tenant = %(tenant)s AND ({theirs})"
        " AND position(lower(word) IN lower(t::text)) > 0)"
    ).format(sql.Identifier(table))
    return conn.execute(query, whose).fetchone() == (True,)
