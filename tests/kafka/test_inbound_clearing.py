"""What was taken in leaves the inbound topic, where it lies in the clear; nothing else does."""

import time
from dataclasses import replace

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from consumers.service import running
from infra.kafka.inbound_clearing import Clearing
from infra.kafka.topics import TopicNames
from infra.runtime import Runtime
from tests.kafka.support import eventually
from tests.kafka.test_inbound import structured_mode

CANARY = b"Adelheid Musterfrau"
PARTS = range(4)


def produce(runtime: Runtime, numbers: range) -> None:
    """Produce messages with a name in them to all partitions, which claim to be very old."""
    producer = KafkaProducer(bootstrap_servers=runtime.settings.kafka_bootstrap_servers)
    for n in numbers:
        value = b'{"id": "%d", "name": "%s"}' % (n, CANARY)
        producer.send(
            inbound_topic(runtime), value, headers=structured_mode(), partition=n % 4,
            timestamp_ms=1,
        )  # fmt: skip
    producer.close()


def inbound_topic(runtime: Runtime) -> str:
    return TopicNames(runtime.settings.kafka_prefix).inbound


def member(runtime: Runtime) -> KafkaConsumer:
    """Give a member of the group that has all partitions, and stands where the group stands."""
    consumer = KafkaConsumer(
        bootstrap_servers=runtime.settings.kafka_bootstrap_servers,
        group_id=inbound_topic(runtime), enable_auto_commit=False, auto_offset_reset="earliest",
    )  # fmt: skip
    consumer.assign([TopicPartition(inbound_topic(runtime), n) for n in PARTS])
    return consumer


def to_be_read(runtime: Runtime) -> dict[int, list[int]]:
    """Give the offsets that a reader from the beginning gets, by partition."""
    reader = KafkaConsumer(bootstrap_servers=runtime.settings.kafka_bootstrap_servers)
    parts = [TopicPartition(inbound_topic(runtime), n) for n in PARTS]
    reader.assign(parts)
    reader.seek_to_beginning(*parts)
    ends, found = reader.end_offsets(parts), {n: list[int]() for n in PARTS}
    while any(reader.position(part) < ends[part] for part in parts):
        for part, records in reader.poll(timeout_ms=500).items():
            assert all(CANARY in record.value for record in records)
            found[part.partition] += [record.offset for record in records]
    reader.close()
    return found


@pytest.mark.parametrize("hours", [0.0, 24.0])
def test_nothing_goes_beyond_what_the_group_has_committed(kafka: Runtime, hours: float) -> None:
    produce(kafka, range(40))
    consumer = member(kafka)
    for n, done in enumerate((0, 1, 7, 10)):
        part = TopicPartition(inbound_topic(kafka), n)
        consumer.commit({part: OffsetAndMetadata(done, "", -1)})
        consumer.seek(part, 10)  # it has been read to its end, and that does not count
    clearing = Clearing(str(kafka.settings.kafka_bootstrap_servers), consumer, hours)
    clearing.clear(time.time())
    clearing.clear(time.time())
    young = {n: list(range(10)) for n in PARTS}
    cleared = {n: list(range(done, 10)) for n, done in enumerate((0, 1, 7, 10))}
    assert to_be_read(kafka) == (young if hours else cleared)
    clearing.close()
    consumer.close(autocommit=False)


def test_what_is_old_enough_goes_whatever_time_its_producer_claims(kafka: Runtime) -> None:
    produce(kafka, range(20))
    between = time.time()
    produce(kafka, range(20, 40))
    consumer = member(kafka)
    for n in PARTS:
        at = TopicPartition(inbound_topic(kafka), n)
        consumer.commit({at: OffsetAndMetadata(3 if n == 0 else 10, "", -1)})
    clearing = Clearing(str(kafka.settings.kafka_bootstrap_servers), consumer, 1.0)
    clearing.clear(between + 3600)
    assert to_be_read(kafka) == {n: list(range(3 if n == 0 else 5, 10)) for n in PARTS}
    clearing.close()
    consumer.close(autocommit=False)


def test_the_inbound_consumer_clears_behind_itself(kafka: Runtime) -> None:
    """Also the refused ones: they lie sealed in the database. What comes later is taken in."""
    at_once = replace(kafka, settings=kafka.settings.model_copy(update={"inbound_hours": 0.0}))
    for numbers in (range(20), range(20, 40)):
        produce(kafka, numbers)
        with running(at_once, roles=["inbound"]):
            assert eventually(lambda: to_be_read(kafka) == {n: [] for n in PARTS})
    refused = kafka.refused.page("default", "00000000-0000-0000-0000-000000000000", 100)
    assert len(refused) == 40
