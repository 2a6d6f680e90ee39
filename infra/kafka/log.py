"""The log as followers read it from Kafka: each partition in order, nothing twice, nothing missing.

Group offsets are only a hint where to begin. What counts is the chain of positions: a record is
next if the read model has everything up to the one before it.
"""

import re
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import CorruptRecordError, KafkaError
from kafka.net.compat import KafkaNetClient
from kafka.structs import OffsetAndMetadata

from infra.kafka.batches import Raw, read_quickly
from infra.kafka.topics import BACK_SOON, REACH_SECONDS

POLL_RECORDS = 10_000

MUCH = 2_000
"""Whoever is so many records behind waits for more of them before any is applied."""

GATHERED_RECORDS = 40_000
GATHERED_BYTES = 100_000_000
GATHER_SECONDS = 5.0
"""With so many records of a partition, or bytes of all, or after so long, no more are gathered."""

GATHERING = threading.Lock()
"""Of all followers in a process one gathers at a time: they share its memory."""

SESSION_SECONDS = 6.0
"""How long a member of a group may be silent until its partitions go to others."""


class Link(NamedTuple):
    """A record with its place in the chain of its partition."""

    position: int
    previous: int
    type: str
    value: bytes


class Chain(NamedTuple):
    """What of some records continues a partition's chain, and what does not."""

    links: list[Link]
    upto: int
    repeated: int
    """Records that the reader is already past: dropped."""
    ahead: int
    """Records whose predecessor has not been seen: a part of the log is missing before them."""


def continue_chain(links: Iterable[Link], after: int) -> Chain:
    """Take the records that follow `after`, one by one."""
    taken: list[Link] = []
    upto, repeated, ahead = after, 0, 0
    for link in links:
        if link.position <= upto:
            repeated += 1
        elif link.previous <= upto:
            taken.append(link)
            upto = link.position
        else:
            ahead += 1
    return Chain(taken, upto, repeated, ahead)


# The three headers of a record as the relay packs them: their number, and each one's lengths.
RELAYED = re.compile(rb"\x06\x10position.(\d+)\x10previous.(\d+)\x08type.([\w.]+)", re.DOTALL)


def link_of(record: Any) -> Link:  # noqa: ANN401 - the client's record has no public type
    """Read the place of a record from its headers; one without any is never next."""
    relayed = RELAYED.fullmatch(record.packed) if type(record) is Raw else None
    if relayed:
        position, previous, type_ = relayed.groups()
        return Link(int(position), int(previous), type_.decode(), record.value)
    try:
        headers = dict(record.headers)
        type_ = headers["type"].decode()
        return Link(int(headers["position"]), int(headers["previous"]), type_, record.value)
    except (KeyError, ValueError, CorruptRecordError):
        return Link(0, 0, "", b"")


class Polled(NamedTuple):
    """What has come of one partition, and the offsets of its first and last record."""

    links: list[Link]
    first: int
    last: int

    def and_then(self, more: "Polled") -> "Polled":
        """Put what came later behind it."""
        return Polled([*self.links, *more.links], self.first, more.last)


class KafkaLog:
    """One member of a group that shares the partitions of the log."""

    def __init__(self, bootstrap: str, group: str, member: str | None, topic: str) -> None:
        self.bootstrap, self.topic = bootstrap, topic
        self._gathers = False
        self._consumer = consumer_of(
            topic,
            bootstrap_servers=bootstrap,
            group_id=group,
            group_instance_id=member,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=[CooperativeStickyAssignor],
            max_poll_records=POLL_RECORDS,
            session_timeout_ms=int(SESSION_SECONDS * 1000),
            heartbeat_interval_ms=int(SESSION_SECONDS * 250),
            max_partition_fetch_bytes=8_388_608,
            fetch_max_bytes=16_777_216,
        )
        read_quickly(self._consumer)
        self._consumer.subscribe([topic])

    def poll(self, wait_seconds: float) -> dict[int, Polled]:
        """Give what has come, by partition."""
        polled = self._consumer.poll(timeout_ms=int(wait_seconds * 1000))
        return {
            tp.partition: Polled(list(map(link_of, found)), found[0].offset, found[-1].offset)
            for tp, found in polled.items()
        }

    def gather(self, wait_seconds: float) -> dict[int, Polled]:
        """Give what has come, by partition; whoever is far behind gets much of it at once.

        A row that many records change is then written but once.
        """
        self._let_others_gather()  # what was gathered before has been applied
        gathered = polled = self.poll(wait_seconds)
        if not self._wants_more(gathered) or not GATHERING.acquire(blocking=False):
            return gathered
        self._gathers = True
        size, until = size_of(gathered), time.monotonic() + GATHER_SECONDS
        while polled and size < GATHERED_BYTES and time.monotonic() < until:
            try:
                polled = self.poll(wait_seconds)
            except KafkaError:  # nothing gathered is lost for it; the next poll tells
                break
            size += size_of(polled)
            for partition, more in polled.items():
                known = gathered.get(partition)
                gathered[partition] = known.and_then(more) if known else more
            if not self._wants_more(gathered):
                break
        return gathered

    def _let_others_gather(self) -> None:
        if self._gathers:
            self._gathers = False
            GATHERING.release()

    def _wants_more(self, gathered: dict[int, Polled]) -> bool:
        """Tell whether many records wait at the broker, and no partition has its fill of them."""
        waiting = 0
        for partition, its in gathered.items():
            if len(its.links) >= GATHERED_RECORDS:
                return False
            tp = TopicPartition(self.topic, partition)
            if tp in self._consumer.assignment():
                waiting += (self._consumer.highwater(tp) or 0) - its.last - 1
        return waiting >= MUCH

    def hint(self, read: Mapping[int, int]) -> None:
        """Tell the group which record of each partition was read last.

        That record, not the next one: whoever gets the partition reads it again, and its position
        shows whether the hint is right.
        """
        if read:
            self._consumer.commit_async(
                {
                    TopicPartition(self.topic, partition): OffsetAndMetadata(offset, "", -1)
                    for partition, offset in read.items()
                }
            )

    def rewind(self, partition: int, offset: int | None) -> None:
        """Read a partition again from a record on, or from its beginning, while it is ours."""
        tp = TopicPartition(self.topic, partition)
        if tp not in self._consumer.assignment():
            return
        if offset is None:
            self._consumer.seek_to_beginning(tp)
        else:
            self._consumer.seek(tp, offset)

    def partitions(self) -> set[int]:
        """Give the partitions that are this member's now."""
        return {tp.partition for tp in self._consumer.assignment()}

    def close(self) -> None:
        """Leave the group."""
        self._let_others_gather()
        self._consumer.close(autocommit=False)


def size_of(polled: dict[int, Polled]) -> int:
    """Give how many bytes the events of some records have."""
    return sum(len(link.value) for its in polled.values() for link in its.links)


def consumer_of(topic: str, **settings: Any) -> KafkaConsumer:  # noqa: ANN401 - as the client's
    """Make a consumer that knows its topic; where no broker answers, leave nothing behind.

    The client itself leaves a thread, which tries to reach the broker for ever. And whoever leads
    a group before it knows the topic gives nobody a partition, and may never notice: the client
    compares what it knows with what it knew a moment too late.
    """
    begun: list[KafkaNetClient] = []

    def begin(**given: Any) -> KafkaNetClient:  # noqa: ANN401 - as the client gives them
        begun.append(KafkaNetClient(**given))
        return begun[0]

    within = {"bootstrap_timeout_ms": int(REACH_SECONDS * 1000)}
    try:
        consumer = KafkaConsumer(kafka_client=begin, **BACK_SOON, **within, **settings)
        consumer.partitions_for_topic(topic)
    except KafkaError:
        for client in begun:
            client.close()
        raise
    return consumer
