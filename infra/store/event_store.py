"""The event store as the write path sees it: `commands.ports.EventStore` on PostgreSQL."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import orjson
from eventsourcing.persistence import IntegrityError, StoredEvent

from commands.command import Command, organisation
from commands.ports import Answer, Batch, Kept, StaleStream
from domain.events import Event, Recorded, Unreadable
from domain.lead import Pipeline, PipelineStage
from domain.values import Identifier
from infra.arrays import Array, of_bytes, of_texts
from infra.database import Pool
from infra.keys.keyring import Keyring
from infra.store.envelope import (
    BrokenSeal,
    Keys,
    decode,
    decode_opened,
    encode,
    sealed_slots,
    slots,
)
from infra.store.gathering import Gathering
from infra.store.recorder import EventRow, Recorder, append_each

# Each looks one thing at a time up in its index, whatever the planner believed about the tables
# when it made the plan: for `= ANY (…)` it compared all rows of a tenant with all that was wanted.
LOAD = """
SELECT wanted.stream, found.envelope FROM unnest(%(wanted)b::uuid[]) AS wanted (stream)
CROSS JOIN LATERAL (
    SELECT envelope FROM crm.event WHERE tenant = %(tenant)s AND stream = wanted.stream
    ORDER BY version
) AS found
"""
SUBJECTS = """
SELECT wanted.stream, found.subject FROM unnest(%(wanted)b::uuid[]) AS wanted (stream)
CROSS JOIN LATERAL (
    SELECT subject FROM crm.event
    WHERE tenant = %(tenant)s AND stream = wanted.stream AND version = 1 LIMIT 1
) AS found
"""
ANSWERS = """
SELECT wanted.commandid, found.* FROM unnest(%(wanted)b::uuid[]) AS wanted (commandid)
CROSS JOIN LATERAL (
    SELECT fingerprint, events, seq FROM crm.command
    WHERE tenant = %(tenant)s AND commandid = wanted.commandid LIMIT 1
) AS found
"""
FACTS = """
SELECT found.seq FROM unnest(%(wanted)b::uuid[]) AS wanted (stream)
CROSS JOIN LATERAL (
    SELECT seq FROM crm.event WHERE tenant = %(tenant)s AND stream = wanted.stream AND version = 1
    LIMIT 1
) AS found
"""
OWNERS = """
SELECT wanted.digest, found.customer FROM unnest(%(wanted)b::bytea[]) AS wanted (digest)
CROSS JOIN LATERAL (
    SELECT customer FROM crm.identifier
    WHERE tenant = %(tenant)s AND digest = wanted.digest LIMIT 1
) AS found
"""

SALES = Pipeline(
    "sales",
    (
        PipelineStage("new", 10),
        PipelineStage("contacted", 20),
        PipelineStage("qualified", 40),
        PipelineStage("proposal", 60),
        PipelineStage("negotiation", 80),
    ),
)
"""The pipeline of a tenant that has not configured any."""


AGREEMENTS = """
SELECT stream, envelope FROM crm.event
WHERE tenant = %(tenant)s AND subject = ANY(%(wanted)b::uuid[]) AND type LIKE 'agreement.%%'
ORDER BY stream, version
"""
COUNT_AGREEMENTS = """
SELECT count(*) FROM crm.event
WHERE tenant = %(tenant)s AND subject = ANY(%(wanted)b::uuid[]) AND type LIKE 'agreement.%%'
"""


Histories = Mapping[str, Sequence[Recorded[Event]]]


def opened(envelope: bytes, keys: Keys) -> Recorded[Event]:
    """Read an event with its personal data; one whose seal is broken cannot be read."""
    try:
        return decode_opened(envelope, keys)
    except BrokenSeal as error:
        return decode(envelope)._replace(event=Unreadable(reason=str(error)))


class PostgresEventStore:
    """Keeps and gives events; seals what is personal on the way in, opens it on the way out."""

    def __init__(self, pool: Pool, keyring: Keyring) -> None:
        self._pool, self._keyring = pool, keyring
        self._gathering = Gathering(partial(append_each, pool))
        self._agreements: dict[str, tuple[int, Histories]] = {}

    def append(self, batch: Batch) -> int:
        """Keep a batch and give its token, the last `seq`. Raises `StaleStream`."""
        keys = self._keyring.ensure(
            batch.tenant, {slot for event in batch.events for slot in slots(event)}
        )
        with_them = self._with_them(batch)
        try:
            stored = [
                StoredEvent(event.stream, event.version, event.type, encode(event, keys))
                for event in batch.events
            ]
            subjects = [event.subject for event in batch.events]
            if len(stored) == 1 and with_them is None:
                return self._gathering.write(EventRow.of(batch.tenant, stored[0], subjects[0]))
            return Recorder(self._pool, batch.tenant).append(stored, subjects, with_them)
        except IntegrityError as error:
            raise StaleStream(str(error)) from error

    def load(self, tenant: str, streams: Iterable[str]) -> Mapping[str, Sequence[Recorded[Event]]]:
        """Give the events of each stream, first to last, opened."""
        return self._opened(tenant, self._rows(LOAD, tenant, list(streams)))

    def agreements(self, tenant: str) -> Histories:
        """Give the events of every agreement; they are read again only when there are new ones."""
        about = [organisation(tenant)]
        count = self._rows(COUNT_AGREEMENTS, tenant, about)[0][0]
        known = self._agreements.get(tenant)
        if known is None or known[0] != count:
            rows = self._rows(AGREEMENTS, tenant, about) if count else []
            known = self._agreements[tenant] = (len(rows), self._opened(tenant, rows))
        return known[1]

    def _opened(self, tenant: str, rows: list[tuple[Any, ...]]) -> Histories:
        slots = {s for _, row in rows for s in sealed_slots(row)}
        keys = self._keyring.find(tenant, slots)
        if lacking := slots - keys.keys():  # a legal hold keeps keys from readers, not from rules
            keys = {**keys, **self._keyring.find(tenant, lacking, held=True)}
        loaded: dict[str, list[Recorded[Event]]] = {}
        for stream, envelope in rows:
            loaded.setdefault(stream, []).append(opened(envelope, keys))
        return loaded

    def subjects(self, tenant: str, streams: Iterable[str]) -> Mapping[str, str]:
        """Give the customer that each known stream is about."""
        return dict(self._rows(SUBJECTS, tenant, list(streams)))

    def answers(self, tenant: str, commandids: Sequence[str]) -> Mapping[str, Answer]:
        """Give the first answers of the commands that were here before."""
        return {
            commandid: Answer(fingerprint, tuple(Kept(*event) for event in events), seq or 0)
            for commandid, fingerprint, events, seq in self._rows(ANSWERS, tenant, list(commandids))
        }

    def token(self, tenant: str, facts: Sequence[str]) -> int:
        """Give the token of facts that were kept before."""
        return max((seq for (seq,) in self._rows(FACTS, tenant, list(facts))), default=0)

    def fingerprint(self, tenant: str, command: Command) -> bytes:
        """Give a keyed digest of what is asked: equal requests, equal digests, nothing to guess."""
        asked = f"{command.name}\n{command.model_dump_json()}"
        return self._digest(tenant, asked)

    def owners(self, tenant: str, identifiers: Iterable[Identifier]) -> Mapping[Identifier, str]:
        """Give the customers that identifiers lead to."""
        digests = {self._digest(tenant, "\x1f".join(each)): each for each in identifiers}
        found = self._rows(OWNERS, tenant, list(digests))
        return {digests[digest]: customer for digest, customer in found}

    def pipelines(self, tenant: str) -> Mapping[str, Pipeline]:
        """Give the sales pipelines of a tenant; `sales` is there unless it was replaced."""
        with self._pool.connection() as conn:
            rows = conn.execute("SELECT name, stages FROM crm.pipeline WHERE tenant = %s", [tenant])
            own = {
                name: Pipeline(name, tuple(PipelineStage(*stage) for stage in stages))
                for name, stages in rows
            }
        return {SALES.name: SALES, **own}

    def put_pipeline(self, tenant: str, pipeline: Pipeline) -> None:
        """Configure a sales pipeline; leads that are in it keep what their events say."""
        query = """
            INSERT INTO crm.pipeline (tenant, name, stages) VALUES (%s, %s, %s)
            ON CONFLICT (tenant, name) DO UPDATE SET stages = excluded.stages
        """
        stages = orjson.dumps(pipeline.stages, default=tuple).decode()
        with self._pool.connection() as conn:
            conn.execute(query, [tenant, pipeline.name, stages])

    def _rows(self, query: str, tenant: str, wanted: list[Any]) -> list[tuple[Any, ...]]:
        if not wanted:
            return []
        with self._pool.connection() as conn:
            arguments = {"tenant": tenant, "wanted": wanted}
            return conn.execute(query, arguments, binary=True).fetchall()

    def _with_them(self, batch: Batch) -> dict[str, Array] | None:
        """Lay out what is kept together with the events, as the arrays of `recorder.APPEND`."""
        if not batch.answers and not batch.owners:
            return None
        claimed, moved, released = self._identifiers(batch)
        answers = batch.answers.values()
        return {
            "commandids": of_texts(batch.answers),
            "fingerprints": of_bytes([answer.fingerprint for answer in answers]),
            "answers": of_texts(orjson.dumps(a.events, default=tuple).decode() for a in answers),
            "digests": of_bytes([*claimed]),
            "owners": of_texts(claimed.values()),
            "moved": of_bytes([*moved]),
            "new_owners": of_texts(moved.values()),
            "released": of_bytes(released),
        }

    def _identifiers(self, batch: Batch) -> tuple[dict[bytes, str], dict[bytes, str], list[bytes]]:
        """Tell which identifiers lead to somebody, to somebody else, and to nobody any more.

        Only a claim can meet another writer's, and then its key tells; whoever moves or releases an
        identifier changes the customer that it led to, and that customer's version tells.
        """
        claimed: dict[bytes, str] = {}
        moved: dict[bytes, str] = {}
        released: list[bytes] = []
        for identifier, owner in sorted(batch.owners.items()):
            before = batch.owners_before.get(identifier)
            digest = self._digest(batch.tenant, "\x1f".join(identifier))
            if owner is None and before is not None:
                released.append(digest)
            elif owner is not None and owner != before:
                (claimed if before is None else moved)[digest] = owner
        return claimed, moved, released

    def _digest(self, tenant: str, text: str) -> bytes:
        return self._keyring.tenant_key(tenant).digest(text.encode())
