"""Takes out of the inbound topic what was taken in: it lies there in the clear, and once is enough.

Kafka is told to delete what lies before an offset, which is never beyond what the group has
committed: a message is in the store by then, or sealed among the refused ones.
"""

import time

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from infra.kafka.topics import BACK_SOON, REACH_SECONDS

LOOK_SECONDS = 60.0
SOON_SECONDS = 1.0
"""How often is looked where nothing is kept."""

log = structlog.get_logger()


class Clearing:
    """Deletes messages of the partitions of one member so long after they came."""

    def __init__(self, bootstrap: str, consumer: KafkaConsumer, hours: float) -> None:
        self._consumer, self._hours = consumer, hours
        self._admin = KafkaAdminClient(
            **BACK_SOON,
            bootstrap_servers=bootstrap,
            bootstrap_timeout_ms=int(REACH_SECONDS * 1000),
            client_id="crm-inbound-clearing",
        )
        self._look_at = 0.0

    def look(self) -> None:
        """Delete what is due, once in a while; where that cannot be done, say so and go on."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + (LOOK_SECONDS if self._hours else SOON_SECONDS)
        try:
            self.clear(time.time())
        except KafkaError as error:
            log.warning("inbound.not_cleared", error=type(error).__name__)

    def clear(self, now: float) -> None:
        """Delete everything that is due."""
        due = self._due(now)
        first = self._consumer.beginning_offsets(list(due))
        gone = {part: offset for part, offset in due.items() if offset > first[part]}
        if gone:
            self._admin.delete_records(gone)
            messages = sum(offset - first[part] for part, offset in gone.items())
            log.info("inbound.cleared", messages=messages)

    def _due(self, now: float) -> dict[TopicPartition, int]:
        """Give, by partition, the offset before which everything is taken in and old enough."""
        parts = self._consumer.assignment()
        done = {part: self._consumer.committed(part) or 0 for part in parts}
        if self._hours:
            since = int((now - self._hours * 3600) * 1000)
            newer = self._consumer.offsets_for_times(dict.fromkeys(parts, since))
            done |= {part: min(done[part], at.offset) for part, at in newer.items() if at}
        return done

    def close(self) -> None:
        """Leave the cluster."""
        self._admin.close()
