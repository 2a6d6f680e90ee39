"""Where the log goes on after a position: found by halving, because a partition may be long.

A crash of the database may take the last moments of a checkpoint with it, and no offset is kept
beside it. Positions rise with offsets, except where something was published again.
"""

import time

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from infra.kafka.log import Link, consumer_of, link_of

SEARCH_SECONDS = 5.0


class Search:
    """Looks at single records of one partition, beside whoever follows it."""

    def __init__(self, bootstrap: str, part: TopicPartition) -> None:
        self._part = part
        self._give_up = 0.0
        self._consumer: KafkaConsumer = consumer_of(
            part.topic,
            bootstrap_servers=bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=1,
            max_partition_fetch_bytes=65_536,
        )
        self._consumer.assign([part])

    def offset_after(self, position: int) -> int | None:
        """Give the offset of the record that continues the chain; None if halving finds none."""
        self._give_up = time.monotonic() + SEARCH_SECONDS
        first: int = self._consumer.beginning_offsets([self._part])[self._part]
        end: int = self._consumer.end_offsets([self._part])[self._part]
        beyond = end
        while first < beyond:
            middle = (first + beyond) // 2
            if self._look(middle).position > position:
                beyond = middle
            else:
                first = middle + 1
        if first == end or self._look(first).previous > position:
            return None
        return first

    def _look(self, offset: int) -> Link:
        self._consumer.seek(self._part, offset)
        while time.monotonic() < self._give_up:
            for found in self._consumer.poll(timeout_ms=500).values():
                return link_of(found[0])
        raise KafkaTimeoutError("The broker did not give a record in time.")

    def close(self) -> None:
        """Leave the cluster."""
        self._consumer.close(autocommit=False)


def offset_after(bootstrap: str, topic: str, partition: int, position: int) -> int | None:
    """Find where a partition goes on after a position; None if only its beginning will tell."""
    search = Search(bootstrap, TopicPartition(topic, partition))
    try:
        return search.offset_after(position)
    finally:
        search.close()
