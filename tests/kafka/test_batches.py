"""Our reader of record batches gives what the client's gives, of whatever a broker may send."""

import struct
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple
from uuid import uuid4

import kafka
import pytest
from crc32c import crc32c
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka import codec as codecs
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords
from structlog.testing import capture_logs

from infra.kafka import batches
from infra.kafka.batches import Raw
from infra.kafka.log import Link, link_of
from infra.kafka.published import Record
from infra.kafka.topics import TopicNames, Topics, wanted

COMPRESSIONS = [c for c in ("gzip", "snappy", "lz4", "zstd") if getattr(codecs, f"has_{c}")()]
MAGIC_AT, CRC_AT, COVERED_FROM = 16, 17, 21
PLACE = Record(70_000, 69_999, "customer.registered.v1", 0, b"", b"").headers


class Answer(NamedTuple):
    """What a broker said of a partition."""

    offset: int
    said: bytes
    aborted: Any


class Result(NamedTuple):
    """What a reader made of it, what stopped it, and where it would go on."""

    records: list[tuple[Any, ...]]
    fault: type[Exception] | None
    next_offset: int | None


@pytest.fixture
def topic(bootstrap: str) -> TopicPartition:
    names, topics = TopicNames(f"test-{uuid4().hex[:8]}"), Topics(bootstrap)
    topics.apply(wanted(names, 1, 1)[:1], replicas=1)
    topics.close()
    return TopicPartition(names.events, 0)


def produce(producer: KafkaProducer, topic: TopicPartition, count: int = 60) -> None:
    """Send what a record can be: with and without key, value and headers, short and long."""
    chance = Random(7)
    for number in range(count):
        value = chance.choice([None, b"", bytes(63), bytes(64), bytes(8_191), bytes(8_192)])
        headers = [(chance.choice(["", "é" * 40]), bytes(chance.choice([0, 64])))
                   for _ in range(chance.choice([0, 1, 70]))]  # fmt: skip
        producer.send(topic.topic, value, b"key" if number % 2 or value is None else None,
                      headers=PLACE if number % 3 else headers, partition=0)  # fmt: skip
    producer.flush()


@pytest.fixture
def answers(bootstrap: str, topic: TopicPartition) -> list[Answer]:
    """Real ones: of every compression there is, of a transaction that was kept and one that not."""
    for compression in (None, *COMPRESSIONS):
        producer = KafkaProducer(
            bootstrap_servers=bootstrap, linger_ms=20, compression_type=compression
        )
        produce(producer, topic)
        producer.close()
    producer = KafkaProducer(bootstrap_servers=bootstrap, transactional_id=topic.topic)
    producer.init_transactions()
    for ended in (producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        produce(producer, topic, 10)
        ended()
    producer.close()
    return list(heard(bootstrap, topic))


def heard(bootstrap: str, topic: TopicPartition) -> Iterator[Answer]:
    """Read a topic, from its beginning and from within, and keep what the broker says."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed")
    found: list[Answer] = []

    def keep(offset: int, part: TopicPartition, records: Any, **given: Any) -> Any:
        found.append(Answer(offset, bytes(records._buffer), given["aborted_transactions"]))
        return Fetcher.PartitionRecords(offset, part, records, **given)

    consumer._fetcher.PartitionRecords = keep
    consumer.assign([topic])
    for start in (0, 7):
        consumer.seek(topic, start)
        end = consumer.end_offsets([topic])[topic]
        while consumer.position(topic) < end:
            consumer.poll(timeout_ms=500)
    consumer.close()
    yield from found


def result(reader: Any, answer: Answer, isolation: IsolationLevel) -> Result:
    part, records = TopicPartition("topic", 0), MemoryRecords(answer.said)
    made = reader(answer.offset, part, records, isolation_level=isolation,
                  aborted_transactions=answer.aborted)  # fmt: skip
    read: list[tuple[Any, ...]] = []
    fault = None
    try:
        read.extend((r.offset, r.key, r.value, r.headers) for r in made.record_iterator)
    except Exception as error:
        fault = type(error)
    return Result(read, fault, None if fault else made.next_fetch_offset)


def both(answer: Answer, isolation: IsolationLevel) -> list[Result]:
    readers = (Fetcher.PartitionRecords, batches.part_of_an_answer)
    return [result(reader, answer, isolation) for reader in readers]


@pytest.mark.parametrize("isolation", IsolationLevel)
def test_the_same_as_the_client(answers: list[Answer], isolation: IsolationLevel) -> None:
    read = 0
    for answer in answers:
        theirs, ours = both(answer, isolation)
        assert ours == theirs
        assert not ours.fault
        read += len(ours.records)
    per_pass = 60 * (1 + len(COMPRESSIONS)) + 10
    aborted = 10 if isolation == IsolationLevel.READ_UNCOMMITTED else 0
    assert read == 2 * (per_pass + aborted) - 7
    assert any(answer.aborted for answer in answers)


def test_the_same_as_the_client_of_what_was_altered(answers: list[Answer]) -> None:
    """A byte changed, or the end missing; with the old checksum or one that fits."""
    seed = Random().randrange(2**32)
    print(f"seed {seed}")  # shown when the test fails
    chance, faults = Random(seed), []
    for _ in range(250):
        answer = chance.choice(answers)
        said = altered(answer.said, chance)
        isolation = chance.choice(list(IsolationLevel))
        theirs, ours = both(answer._replace(said=said), isolation)
        assert ours == theirs
        faults.append(ours.fault)
    assert faults.count(CorruptRecordError) > 20
    assert faults.count(None) > 20


def altered(said: bytes, chance: Random) -> bytes:
    """Change something in one batch; another format is not for us, so its number stays."""
    data, start = bytearray(said), chance.choice(list(starts(said)))
    end = start + 12 + struct.unpack_from(">i", data, start + 8)[0]
    if chance.random() < 0.1:
        return bytes(data[: chance.randrange(len(data))])
    at = chance.randrange(start, chance.choice([end, min(end, start + 200)]))
    if at != start + MAGIC_AT:
        data[at] ^= 1 << chance.randrange(8)
    if chance.random() < 0.8:
        covered = crc32c(bytes(data[start + COVERED_FROM : end]))
        struct.pack_into(">I", data, start + CRC_AT, covered)
    return bytes(data)


def starts(said: bytes) -> Iterator[int]:
    """Tell where each batch of an answer begins."""
    at = 0
    while at + 61 <= len(said):
        yield at
        at += 12 + struct.unpack_from(">i", said, at + 8)[0]


@pytest.mark.parametrize(("which", "raised"), [(0, 1), (-1, 0)])
def test_after_a_batch_that_was_damaged_on_its_way_reading_goes_on(
    bootstrap: str, topic: TopicPartition, which: int, raised: int
) -> None:
    """The client itself would ask a dead iterator for more, for ever.

    What came before the damage is given first; the rest is fetched again, and is whole then.
    """
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    produce(producer, topic)
    producer.close()
    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    assert batches.read_quickly(consumer)
    damaged: list[int] = []

    def damage_once(offset: int, part: TopicPartition, records: Any, **given: Any) -> Any:
        said = bytearray(records._buffer)
        if not damaged:
            damaged.append(list(starts(said))[which])
            said[damaged[0] + COVERED_FROM] ^= 1
        return batches.part_of_an_answer(offset, part, MemoryRecords(said), **given)

    consumer._fetcher.PartitionRecords = damage_once
    consumer.assign([topic])
    consumer.seek(topic, 0)
    offsets, faults = [], 0
    while len(offsets) < 60:
        try:
            for records in consumer.poll(timeout_ms=500).values():
                offsets += [record.offset for record in records]
        except CorruptRecordError:
            faults += 1
    consumer.close()
    assert offsets == list(range(60))
    assert faults == raised


def test_the_place_of_a_record_is_the_same_by_either_reader(answers: list[Answer]) -> None:
    def links(reader: Any) -> list[Link]:
        made = reader(0, TopicPartition("topic", 0), MemoryRecords(answers[0].said))
        return list(map(link_of, made.record_iterator))

    ours = links(batches.part_of_an_answer)
    assert ours == links(Fetcher.PartitionRecords)
    assert {link.position for link in ours} == {0, 70_000}


def test_a_header_without_a_name_is_no_header() -> None:
    with pytest.raises(CorruptRecordError, match="no name"):
        _ = Raw(0, None, b"", b"\x02\x01\x00").headers  # one header, its name -1 bytes long


@pytest.mark.parametrize("packed", [b"", b"\x01", b"\x06\x02\x00", b"\x02\x02\xff\x00"])
def test_headers_that_make_no_sense_give_no_place(packed: bytes) -> None:
    assert link_of(Raw(0, None, b"", packed)).position == 0


def test_an_unknown_client_reads_by_itself_and_it_is_told(bootstrap: str) -> None:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    with capture_logs() as told:
        assert not batches.read_quickly(consumer, "4.0.0")
    assert [line["event"] for line in told] == ["kafka.client_unknown"]
    assert consumer._fetcher.PartitionRecords is Fetcher.PartitionRecords
    consumer.close()


def test_the_client_is_one_that_was_looked_at() -> None:
    """With another one: read what its fetcher does now, then name it in `KNOWN`."""
    assert kafka.__version__.startswith(batches.KNOWN)
