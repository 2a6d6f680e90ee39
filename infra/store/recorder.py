"""How stored events get into PostgreSQL and out again.

`Recorder` and `SequencedRecorder` keep the contracts of the `eventsourcing` library and pass its
recorder tests. Its own PostgreSQL recorder locks the table for every insert; ours takes no lock:
the unique key on (tenant, stream, version) is the gate, and the sequencer gives the order later.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    IntegrityError,
    Notification,
    StoredEvent,
    Subscription,
)
from psycopg.errors import DeadlockDetected, UniqueViolation

from infra.arrays import of_bigints, of_bytes, of_texts
from infra.audit.proofs import leaf_hash
from infra.database import Conn, Pool
from infra.store.sequencing import Sequencing

# The order of the arrays is that of `seq`. The hash of an event, its leaf in the tree of the audit,
# goes with it: here its bytes are at hand.
EVENTS = """
WITH given AS (
    SELECT nextval('crm.event_seq_seq') AS seq, each.* FROM unnest(
        %(tenants)b::text[], %(streams)b::uuid[], %(versions)b::bigint[], %(types)b::text[],
        %(subjects)b::uuid[], %(envelopes)b::bytea[], %(leaves)b::bytea[]
    ) AS each (tenant, stream, version, type, subject, envelope, leaf)
), appended AS (
    INSERT INTO crm.event (seq, tenant, stream, version, type, subject, envelope)
    OVERRIDING SYSTEM VALUE
    SELECT seq, tenant, stream, version, type, subject, envelope FROM given
), pending AS (
    INSERT INTO crm.pending (seq, leaf) SELECT seq, leaf FROM given
)
"""

# Events, their pending rows, commands' first answers and identifiers' owners: one statement, so
# one round trip and one transaction.
APPEND = f"""
{EVENTS}, answered AS (
    INSERT INTO crm.command (tenant, commandid, fingerprint, events, seq)
    SELECT %(tenant)s, a.commandid, a.fingerprint, a.events, (SELECT max(seq) FROM given)
    FROM unnest(%(commandids)b::uuid[], %(fingerprints)b::bytea[], %(answers)b::json[])
        AS a (commandid, fingerprint, events)
), claimed AS (
    INSERT INTO crm.identifier (tenant, digest, customer)
    SELECT %(tenant)s, * FROM unnest(%(digests)b::bytea[], %(owners)b::uuid[])
), moved AS (
    UPDATE crm.identifier i SET customer = m.customer
    FROM unnest(%(moved)b::bytea[], %(new_owners)b::uuid[]) AS m (digest, customer)
    WHERE i.tenant = %(tenant)s AND i.digest = m.digest
), released AS (
    DELETE FROM crm.identifier WHERE tenant = %(tenant)s AND digest = ANY(%(released)b::bytea[])
)
SELECT coalesce(max(seq), 0) FROM given
"""

# What most appends do not have is left out of the statement: each part costs planning time, and
# the arrays of a single event cost more than its insert.
APPEND_EVENTS = f"{EVENTS} SELECT seq FROM given ORDER BY seq DESC"

APPEND_EVENT = """
WITH appended AS (
    INSERT INTO crm.event (tenant, stream, version, type, subject, envelope)
    VALUES (%s, %s, %s, %s, %s, %b)
    RETURNING seq
)
INSERT INTO crm.pending (seq, leaf) SELECT seq, %b FROM appended RETURNING seq
"""

SELECT_STREAM = """
SELECT stream, version, type, envelope FROM crm.event
WHERE tenant = %(tenant)s AND stream = %(stream)s
  AND (%(gt)s::bigint IS NULL OR version > %(gt)s)
  AND (%(lte)s::bigint IS NULL OR version <= %(lte)s)
"""

SELECT_POSITIONS = """
SELECT l.position FROM crm.event e JOIN crm.log l USING (seq)
JOIN unnest(%s::uuid[], %s::bigint[]) AS wanted (stream, version) USING (stream, version)
WHERE e.tenant = %s ORDER BY l.position
"""

SELECT_LOG = """
SELECT l.position, e.stream, e.version, e.type, e.envelope
FROM crm.log l JOIN crm.event e USING (seq)
WHERE l.position >= %(start)s AND (%(stop)s::bigint IS NULL OR l.position <= %(stop)s)
  AND e.tenant = %(tenant)s AND (%(types)s::text[] = '{}' OR e.type = ANY(%(types)s))
ORDER BY l.position LIMIT %(limit)s
"""


Arguments = Mapping[str, Any] | Sequence[Any]


class Recorder(AggregateRecorder):
    """Keeps and gives the stored events of one tenant's streams."""

    def __init__(self, pool: Pool, tenant: str) -> None:
        self.pool, self.tenant = pool, tenant

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        **kwargs: Any,  # noqa: ANN401 - the contract
    ) -> Sequence[int] | None:
        """Keep events, all or none; raises `IntegrityError` when a version is taken."""
        self.append(stored_events, **kwargs)
        return None

    def append(
        self,
        events: Sequence[StoredEvent],
        subjects: Sequence[str] | None = None,
        with_them: Mapping[str, Any] | None = None,
    ) -> int:
        """Keep events and what goes `with_them` in one transaction; gives the last `seq`, or 0.

        `with_them` holds the arrays of `APPEND` for idempotency records and identifiers.
        """
        if not events and not with_them:
            return 0
        about = [str(e.originator_id) for e in events] if subjects is None else subjects
        rows = [EventRow.of(self.tenant, *each) for each in zip(events, about, strict=True)]
        if with_them:
            return self._write(APPEND, arrays(rows) | {"tenant": self.tenant, **with_them})
        return self._write(*statement(rows))

    def _write(self, query: str, arguments: Arguments) -> int:
        """Run one of the statements above."""
        with told_when_slower(), self.pool.connection() as conn:
            return self._execute(conn, query, arguments)

    def _execute(self, conn: Conn, query: str, arguments: Arguments) -> int:
        return _number(conn, query, arguments)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Give the events of a stream, in order of their versions."""
        query = SELECT_STREAM + f" ORDER BY version {'DESC' if desc else 'ASC'} LIMIT %(limit)s"
        stream = str(originator_id)
        arguments = {"tenant": self.tenant, "stream": stream, "gt": gt, "lte": lte, "limit": limit}
        with self.pool.connection() as conn:
            rows = conn.execute(query, arguments).fetchall()
        return [
            StoredEvent(originator_id, version, topic, state) for _, version, topic, state in rows
        ]


class SequencedRecorder(Recorder, ApplicationRecorder):
    """A recorder that waits for the positions of its events, as the library expects.

    The application never waits: this is for whoever uses the library's own classes on our store.
    """

    def __init__(self, pool: Pool, tenant: str) -> None:
        super().__init__(pool, tenant)
        self._sequencing = Sequencing(pool, holder="recorder", seconds=0.0)

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        **kwargs: Any,  # noqa: ANN401 - the contract
    ) -> Sequence[int] | None:
        """Keep events and give their positions."""
        self.append(stored_events, **kwargs)
        streams = [str(event.originator_id) for event in stored_events]
        versions = [event.originator_version for event in stored_events]
        while True:
            self._sequencing.run_once()
            with self.pool.connection() as conn:
                found = conn.execute(SELECT_POSITIONS, [streams, versions, self.tenant])
                positions = [position for (position,) in found]
            if len(positions) == len(stored_events):
                return positions
            time.sleep(0.001)

    def _execute(self, conn: Conn, query: str, arguments: Arguments) -> int:
        with conn.transaction():  # the library promises that the positions of an insert adjoin
            conn.execute("SELECT pg_advisory_xact_lock(hashtext('crm.recorder'))")
            return super()._execute(conn, query, arguments)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Give a part of the log."""
        arguments = {
            "start": (start or 0) + (0 if inclusive_of_start else 1),
            "stop": stop, "types": list(topics), "limit": limit, "tenant": self.tenant,
        }  # fmt: skip
        with self.pool.connection() as conn:
            rows = conn.execute(SELECT_LOG, arguments).fetchall()
        return [
            Notification(UUID(stream), version, type_, envelope, position)
            for position, stream, version, type_, envelope in rows
        ]

    def max_notification_id(self) -> int | None:
        """Give the last position, None when the log is empty."""
        with self.pool.connection() as conn:
            return _number(conn, "SELECT max(position) FROM crm.log", {}) or None

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """Follow the log; waits at its end."""
        return PollingSubscription(self, gt, topics)


class PollingSubscription(Subscription[ApplicationRecorder]):
    """Follows the log by asking for more: no NOTIFY, which would serialise the writers' commits."""

    _page: Iterator[Notification] = iter(())

    def __next__(self) -> Notification:
        """Give the next event, waiting for it if there is none."""
        while not self._has_been_stopped:
            for notification in self._page:
                self._last_notification_id = notification.id
                return notification
            page = self._recorder.select_notifications(
                self._last_notification_id, 500, topics=self._topics, inclusive_of_start=False
            )
            self._page = iter(page)
            if not page:
                time.sleep(0.01)
        raise StopIteration


class EventRow(NamedTuple):
    """An event as it is stored."""

    tenant: str
    stream: str
    version: int
    type: str
    subject: str
    envelope: bytes
    leaf: bytes

    @classmethod
    def of(cls, tenant: str, event: StoredEvent, subject: str) -> "EventRow":
        """Lay out an event of the library."""
        stream = str(event.originator_id)
        version, envelope = event.originator_version, event.state
        return cls(tenant, stream, version, event.topic, subject, envelope, leaf_hash(envelope))


def append_each(pool: Pool, rows: Sequence[EventRow]) -> list[int]:
    """Keep single events of several requests in one transaction; gives the `seq` of each."""
    with told_when_slower(), pool.connection() as conn:
        return [seq for (seq,) in reversed(conn.execute(*statement(rows)).fetchall())]


def statement(rows: Sequence[EventRow]) -> tuple[str, Arguments]:
    """Give what keeps events and nothing else; it tells each `seq`, the last one first."""
    return (APPEND_EVENT, rows[0]) if len(rows) == 1 else (APPEND_EVENTS, arrays(rows))


def arrays(rows: Sequence[EventRow]) -> dict[str, Any]:
    """Lay events out as the arrays of `EVENTS`."""
    return {
        "tenants": of_texts(row.tenant for row in rows),
        "streams": of_texts(row.stream for row in rows),
        "versions": of_bigints(row.version for row in rows),
        "types": of_texts(row.type for row in rows),
        "subjects": of_texts(row.subject for row in rows),
        "envelopes": of_bytes([row.envelope for row in rows]),
        "leaves": of_bytes([row.leaf for row in rows]),
    }


@contextmanager
def told_when_slower() -> Iterator[None]:
    """Tell a writer that was slower than another one about the same stream."""
    try:
        yield
    except (UniqueViolation, DeadlockDetected) as error:
        raise IntegrityError(str(error.diag.constraint_name or "deadlock")) from error


def _number(conn: Conn, query: str, arguments: Arguments) -> int:
    row = conn.execute(query, arguments).fetchone()
    return int(row[0] or 0) if row else 0
