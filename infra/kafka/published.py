"""The log on its way to Kafka: what is sent, in which partition, and how far it has come.

Every record names its position and, of the same partition, the position before it. A reader that
knows where it stands sees at once whether a record is old, next, or too far ahead; so duplicates,
late repetitions and gaps cannot be mistaken for one another, whatever the topic went through.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
import structlog
from kafka import KafkaProducer
from kafka.errors import KafkaError
from kafka.partitioner.default import murmur2

from infra.database import Pool
from infra.kafka.topics import PATIENT, Topics, WrongTopic
from infra.lease import Lease
from infra.store.log import EmbeddedLog, ReadingAhead

log = structlog.get_logger()

SAFE_REPLICAS = 3
"""With fewer, losing one broker's disk can lose records; the store still has every event."""

Future = Any
"""What the client gives for a record that is on its way."""

OPEN = """
INSERT INTO crm.published (topic, partitions) VALUES (%(topic)s, %(partitions)s)
ON CONFLICT DO NOTHING
"""
# It is not waited for the disk: after a crash, what was published since then is published again.
ADVANCE = """
WITH lease AS (
    UPDATE crm.lease SET expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
    WHERE name = 'relay' AND epoch = %(epoch)s RETURNING epoch
)
UPDATE crm.published SET position = %(position)s, partitions = %(partitions)s
FROM lease, (SELECT set_config('synchronous_commit', 'off', true)) AS settings
WHERE topic = %(topic)s
"""
RESTART = """
WITH lease AS (SELECT FROM crm.lease WHERE name = 'relay' AND epoch = %(epoch)s FOR UPDATE)
DELETE FROM crm.published USING lease WHERE topic = %(topic)s
"""


class NotPublished(Exception):
    """The broker did not take a record; everything from the last progress on is sent again."""


class Record(NamedTuple):
    """An event on its way to a partition."""

    position: int
    previous: int
    type: str
    partition: int
    key: bytes
    value: bytes

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Give what readers need to know without parsing the value."""
        return [
            ("position", b"%d" % self.position),
            ("previous", b"%d" % self.previous),
            ("type", self.type.encode()),
        ]


class Sent(NamedTuple):
    """A page of the log on its way: done when all its futures are."""

    upto: int
    last: list[int]
    """The last position in each partition after this page."""
    futures: list[Future]

    def is_done(self) -> bool:
        """Tell whether the broker has answered for every record."""
        return all(future.is_done for future in reversed(self.futures))


@lru_cache(maxsize=100_000)
def partition_of(subject: str, partitions: int) -> int:
    """Choose the partition of a customer as Kafka's Java client would (murmur2)."""
    return int((murmur2(subject.encode()) & 0x7FFFFFFF) % partitions)


def records(
    page: Sequence[tuple[int, bytes]], last: Sequence[int]
) -> tuple[list[Record], list[int]]:
    """Lay a page of the log out over partitions, continuing the chain of each."""
    made, now = [], list(last)
    for position, envelope in page:
        parsed = orjson.loads(envelope)
        subject = parsed["subject"]
        partition = partition_of(subject, len(now))
        made.append(
            Record(position, now[partition], parsed["type"], partition, subject.encode(), envelope)
        )
        now[partition] = position
    return made, now


def last_positions(pool: Pool, topic: str) -> list[int]:
    """Give the last position that was published to each partition of a topic."""
    with pool.connection() as conn:
        row = conn.execute(
            "SELECT partitions FROM crm.published WHERE topic = %s", [topic]
        ).fetchone()
    return list(row[0]) if row else []


class Publication:
    """The log being published to one topic by whoever holds the lease."""

    def __init__(
        self, pool: Pool, bootstrap: str, holder: str, topic: str, replicas: int = 1
    ) -> None:
        self._pool, self.topic = pool, topic
        self.lease = Lease(pool, "relay", holder, seconds=3.0)
        self.log = ReadingAhead(EmbeddedLog(pool))
        topics = Topics(bootstrap)
        try:
            partitions = topics.partitions(topic)
            faults = topics.unsafe(topic, replicas) if partitions else []
        finally:
            topics.close()
        if partitions is None:
            raise WrongTopic(f"There is no topic {topic}; `crm topics apply` creates it.")
        if faults:
            raise WrongTopic(" ".join(faults) + " CRM_KAFKA_REPLICAS tells how many there must be.")
        if replicas < SAFE_REPLICAS:
            log.warning("kafka.unsafe", topic=topic, replicas=replicas)
        self.partitions = partitions
        self._producer = KafkaProducer(
            **PATIENT,
            bootstrap_servers=bootstrap,
            client_id=f"crm-relay-{holder}",
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            batch_size=524_288,
            max_request_size=12_000_000,
        )

    def progress(self) -> tuple[int, list[int]]:
        """Give the position up to which the topic has the log, and the last one per partition."""
        fresh = {"topic": self.topic, "partitions": orjson.dumps([0] * self.partitions).decode()}
        with self._pool.connection() as conn:
            conn.execute(OPEN, fresh)
            row = conn.execute(
                "SELECT position, partitions FROM crm.published WHERE topic = %(topic)s", fresh
            ).fetchone()
        position, last = row if row else (0, [])
        if len(last) != self.partitions:
            raise WrongTopic(
                f"The topic {self.topic} has {self.partitions} partitions; it was begun with "
                f"{len(last)}. Customers would be split: use a new topic."
            )
        return position, last

    def send(self, page: Sequence[tuple[int, bytes]], last: Sequence[int], upto: int) -> Sent:
        """Hand a page to the client; it is sent in the background, in order."""
        made, now = records(page, last)
        futures = [
            self._producer.send(
                self.topic,
                key=record.key,
                value=record.value,
                headers=record.headers,
                partition=record.partition,
            )
            for record in made
        ]
        return Sent(upto, now, futures)

    def finish(self, sent: Sent) -> None:
        """Wait until a page is safe in the topic, and note the progress. Raises `NotPublished`."""
        for future in sent.futures:
            while not future.is_done:
                self._wait(future)
            if future.exception is not None:
                raise NotPublished(f"{type(future.exception).__name__} up to position {sent.upto}.")
        self._as_leader(ADVANCE, position=sent.upto, partitions=orjson.dumps(sent.last).decode())

    def _wait(self, future: Future) -> None:
        """Wait a while for one record, and keep the lease meanwhile: the broker may be away."""
        self.lease.renew()
        with suppress(KafkaError):  # it took longer, or failed: the future tells
            future.get(self.lease.seconds / 3)

    def restart(self) -> None:
        """Forget the progress: the whole log is published again, with the same positions."""
        self.progress()
        self._as_leader(RESTART)

    def _as_leader(self, statement: str, **arguments: object) -> None:
        lease = self.lease
        named = {"topic": self.topic, "epoch": lease.epoch, "seconds": lease.seconds}
        with self._pool.connection() as conn:
            if conn.execute(statement, {**named, **arguments}).rowcount != 1:
                raise lease.lost()

    def close(self) -> None:
        """Leave the cluster."""
        self._producer.close(timeout=5)
