"""The log over a real broker: the same read models as from the store, each event once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.structs import OffsetAndMetadata

from consumers.service import running
from infra.kafka.published import partition_of, records
from infra.kafka.topics import TopicNames
from infra.runtime import Runtime
from tests.kafka.support import digests, eventually, folded_from_the_store, level, traffic


def events_topic(runtime: Runtime) -> str:
    return TopicNames(runtime.settings.kafka_prefix).events


def everything_in_the_topic(runtime: Runtime) -> list[object]:
    consumer = KafkaConsumer(bootstrap_servers=runtime.settings.kafka_bootstrap_servers)
    parts = [TopicPartition(events_topic(runtime), n) for n in range(4)]
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    ends = consumer.end_offsets(parts)
    found: list[object] = []
    while any(consumer.position(part) < ends[part] for part in parts):
        for polled in consumer.poll(timeout_ms=500).values():
            found.extend(polled)
    consumer.close()
    return found


def position(record) -> int:
    return int(dict(record.headers)["position"])


def test_read_models_over_kafka_equal_those_from_the_store(kafka: Runtime) -> None:
    traffic(kafka, 600)
    with running(kafka):
        assert eventually(lambda: level(kafka))
        traffic(kafka, 200, seed=2)
        assert eventually(lambda: level(kafka))
    over_kafka = digests(kafka.tables)
    assert over_kafka == folded_from_the_store(kafka)


def test_the_topic_holds_every_event_byte_for_byte_and_in_order_per_customer(
    kafka: Runtime,
) -> None:
    traffic(kafka, 300)
    with running(kafka, roles=["sequencer", "relay"]):
        assert eventually(lambda: published(kafka) == kafka.events.head() > 300)
    found = everything_in_the_topic(kafka)
    stored = dict(kafka.events.read(0, 10_000, ()).events)
    assert {position(r): r.value for r in found} == stored
    assert all(r.partition == partition_of(r.key.decode(), 4) for r in found)
    for partition in range(4):
        chain = [(int(dict(r.headers)["previous"]), position(r)) for r in found
                 if r.partition == partition]  # fmt: skip
        assert [previous for previous, _ in chain] == [0, *(at for _, at in chain[:-1])]


def test_repeated_and_late_records_are_applied_once(kafka: Runtime) -> None:
    traffic(kafka, 300)
    with running(kafka):
        assert eventually(lambda: level(kafka))
        before = digests(kafka.tables)
        producer = KafkaProducer(bootstrap_servers=kafka.settings.kafka_bootstrap_servers)
        for record in reversed(everything_in_the_topic(kafka)):
            producer.send(
                record.topic, key=record.key, value=record.value, headers=record.headers,
                partition=record.partition,
            )  # fmt: skip
        producer.close()
        traffic(kafka, 50, seed=3)
        assert eventually(lambda: level(kafka))
    after = digests(kafka.tables)
    assert after != before
    assert after == folded_from_the_store(kafka)


@pytest.mark.parametrize("where", ["deleted", "beginning", "end"])
def test_group_offsets_are_only_a_hint(kafka: Runtime, where: str) -> None:
    """Wherever they are: read models that are level stay so, and one made anew gets everything."""
    traffic(kafka, 300)
    with running(kafka):
        assert eventually(lambda: level(kafka))
    kafka.tables["customer_view"].drop()
    move_groups(kafka, where)
    traffic(kafka, 50, seed=2)
    with running(kafka):
        assert eventually(lambda: level(kafka))
    assert digests(kafka.tables) == folded_from_the_store(kafka)


def test_records_in_any_order_are_applied_in_theirs(kafka: Runtime) -> None:
    """Strangers' copies of the log, shuffled and doubled, come before the relay's own."""
    traffic(kafka, 300)
    with running(kafka, roles=["sequencer"]):
        assert eventually(lambda: kafka.events.head() > 300)
    page, chance = kafka.events.read(0, 10_000, ()), Random(7)
    made, _ = records(page.events, [0] * 4)
    shuffled = chance.sample(made * 2, len(made) * 2)
    producer = KafkaProducer(bootstrap_servers=kafka.settings.kafka_bootstrap_servers)
    for record in shuffled:
        producer.send(
            events_topic(kafka), key=record.key, value=record.value, headers=record.headers,
            partition=record.partition,
        )  # fmt: skip
    producer.close()
    with running(kafka):
        assert eventually(lambda: level(kafka))
        traffic(kafka, 50, seed=2)
        assert eventually(lambda: level(kafka))
    assert digests(kafka.tables) == folded_from_the_store(kafka)


def test_a_lost_topic_is_filled_again_with_the_same_positions(kafka: Runtime) -> None:
    traffic(kafka, 200)
    with running(kafka):
        assert eventually(lambda: level(kafka))
        before = digests(kafka.tables)
    with kafka.pool.connection() as conn:
        conn.execute("DELETE FROM crm.published")
    with running(kafka):
        assert eventually(lambda: level(kafka))
        assert digests(kafka.tables) == before
    twice = [position(record) for record in everything_in_the_topic(kafka)]
    assert sorted(twice) == sorted([*range(1, kafka.events.head() + 1)] * 2)


def test_two_members_share_the_partitions(kafka: Runtime) -> None:
    with running(kafka), another(kafka):
        for seed in range(5):
            traffic(kafka, 100, seed)
        assert eventually(lambda: level(kafka))
    assert digests(kafka.tables) == folded_from_the_store(kafka)


def published(runtime: Runtime) -> int:
    with runtime.pool.connection() as conn:
        row = conn.execute("SELECT max(position) FROM crm.published").fetchone()
    return int(row[0] or 0) if row else 0


def move_groups(runtime: Runtime, where: str) -> None:
    """Delete what the groups remember, or have them remember the wrong place."""
    bootstrap = runtime.settings.kafka_bootstrap_servers
    parts = [TopicPartition(events_topic(runtime), n) for n in range(4)]
    groups = [f"{runtime.settings.kafka_prefix}.{table.name}" for table in runtime.tables.values()]
    if where == "deleted":
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        admin.delete_groups(groups)
        admin.close()
        return
    for group in groups:
        consumer = KafkaConsumer(
            bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False
        )
        consumer.assign(parts)
        ask = consumer.end_offsets if where == "end" else consumer.beginning_offsets
        consumer.commit({part: OffsetAndMetadata(at, "", -1) for part, at in ask(parts).items()})
        consumer.close(autocommit=False)


@contextmanager
def another(runtime: Runtime) -> Iterator[threading.Event]:
    with running(runtime, roles=["follow"]) as stop:
        yield stop
