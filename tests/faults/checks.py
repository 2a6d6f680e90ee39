"""What must be so after every fault: store, topic and read models hold the same events, once.

None of it uses what it checks: the topic is read from the client, the chain is followed here, and
the read models are compared with others that were followed from the store, by their rows.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

import psycopg
from kafka import KafkaConsumer, TopicPartition

from consumers.follow import advance
from infra.read_models.tables import Table
from infra.runtime import Runtime
from projections.catalogue import ALL
from tests.faults.counted import counted

STORED = """
SELECT position, envelope, stream, version FROM crm.log JOIN crm.event USING (seq)
WHERE position > %s ORDER BY position
"""
PUBLISHED = "SELECT coalesce(max(position), 0) FROM crm.published"
COUNTED = """
SELECT count(*) FROM (SELECT tenant, subject AS key, count(*) AS events FROM crm.event
                      GROUP BY 1, 2) AS stored
FULL JOIN read.counted_v1 USING (tenant, key)
WHERE stored.events IS DISTINCT FROM counted_v1.events
"""
DIFFERENT = """
SELECT count(*) FROM (SELECT t::text AS row FROM read.{0} t) AS ours
FULL JOIN (SELECT t::text AS row FROM read.{1} t) AS fresh USING (row)
WHERE ours.row IS NULL OR fresh.row IS NULL
"""


@dataclass
class Seen:
    """What was seen of the topic: the chain of each partition, and how much came twice."""

    last: Counter[int] = field(default_factory=Counter)
    values: dict[int, bytes] = field(default_factory=dict)
    repeated: int = 0
    homes: dict[bytes, int] = field(default_factory=dict)
    """In which partition each customer is."""
    strayed: set[bytes] = field(default_factory=set)

    def see(self, record) -> None:
        """Follow the chain of a partition by one record."""
        headers = dict(record.headers)
        if "position" not in headers:  # not ours
            return
        position, previous = int(headers["position"]), int(headers["previous"])
        if self.homes.setdefault(record.key, record.partition) != record.partition:
            self.strayed.add(record.key)
        if position <= self.last[record.partition]:
            self.repeated += 1
        elif previous == self.last[record.partition]:
            self.last[record.partition] = position
            self.values[position] = record.value


class Checks:
    """Looks at everything that has been added since it looked last."""

    def __init__(self, runtime: Runtime, topic: str) -> None:
        self._runtime, self._pool, self._topic = runtime, runtime.pool, topic
        self.seen, self.head = Seen(), 0
        self._versions: Counter[str] = Counter()
        self.tables = [Table(self._pool, projection, topic) for projection in (*ALL, counted)]
        self._fresh = [
            Table(self._pool, replace(projection, name=f"fresh_{projection.name}"))
            for projection in ALL
        ]
        self._parts = [TopicPartition(topic, n) for n in range(runtime.settings.kafka_partitions)]
        self._read = dict.fromkeys(self._parts, 0)
        for table in (*self.tables, *self._fresh):
            table.create()

    def behind(self) -> list[str]:
        """Name what is not level: numbered, published, and each read model."""
        try:
            if self._one("SELECT count(*) FROM crm.pending"):
                return ["numbered"]
            head = self._one("SELECT coalesce(max(position), 0) FROM crm.log")
            if self._one(PUBLISHED) < head:
                return ["published"]
            return [table.name for table in self.tables if table.reached() < head]
        except (psycopg.Error, OSError):
            return ["postgres"]

    def violations(self) -> list[str]:
        """Tell in sentences what is not as it must be."""
        return [*self._store_and_topic(), *self._read_models()]

    def _store_and_topic(self) -> list[str]:
        with self._pool.connection() as conn:
            stored = conn.execute(STORED, [self.head], binary=True).fetchall()
        told = []
        positions = [position for position, *_ in stored]
        if positions != list(range(self.head + 1, self.head + 1 + len(stored))):
            told.append("Positions have gaps.")
        for _, _, stream, version in stored:
            self._versions[stream] += 1
            if version != self._versions[stream]:
                told.append(f"Version {version} of a stream stands where another belongs.")
        if len(stored) != self._one("SELECT count(*) FROM crm.event") - self.head:
            told.append("The log has not every event of the store, or has one twice.")
        self._read_topic()
        published = {n: v for n, v in self.seen.values.items() if n > self.head}
        if published != {position: bytes(envelope) for position, envelope, *_ in stored}:
            told.append(f"The topic has {len(published)} new events, the store {len(stored)}.")
        if self.seen.strayed:
            told.append("Events of one customer are in two partitions.")
        self.seen.values.clear()
        self.head += len(stored)
        return told

    def _read_topic(self) -> None:
        """Read on with a client of its own: none that a fault has left in whatever state."""
        consumer = KafkaConsumer(
            bootstrap_servers=self._runtime.settings.kafka_bootstrap_servers,
            reconnect_backoff_max_ms=500,
        )
        consumer.assign(self._parts)
        for part, offset in self._read.items():
            consumer.seek(part, offset)
        ends = consumer.end_offsets(self._parts)
        while any(self._read[part] < ends[part] for part in self._parts):
            for part, records in consumer.poll(timeout_ms=200).items():
                for record in records:
                    self.seen.see(record)
                self._read[part] = records[-1].offset + 1
        consumer.close(autocommit=False)

    def _read_models(self) -> list[str]:
        told = []
        if parked := self._one("SELECT count(*) FROM crm.parked"):
            told.append(f"{parked} rows are parked.")
        if wrong := self._one(COUNTED):
            told.append(f"{wrong} customers have events that were not applied exactly once.")
        for table, fresh in zip(self.tables, self._fresh, strict=False):
            while advance(self._runtime.events, fresh):
                pass
            if wrong := self._one(DIFFERENT.format(table.name, fresh.name)):
                told.append(f"{wrong} rows of {table.name} are not what the store makes of them.")
        return told

    def _one(self, query: str) -> int:
        with self._pool.connection() as conn:
            row = conn.execute(query).fetchone()
        return int(row[0]) if row else 0
