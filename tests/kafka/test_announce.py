"""A service that only reads the compacted topics has the same rows as the read models."""

from collections.abc import Iterator

import orjson
from kafka import KafkaConsumer, TopicPartition

from commands.customers import ChangeProfile
from commands.interactions import RecordInteraction
from consumers.service import running
from infra.ids import uuid7
from infra.kafka.announced import shown
from infra.kafka.topics import TopicNames
from infra.read_models.change import Key
from infra.read_models.tables import Step, Table
from infra.runtime import Runtime
from tests.canaries import forms, new_mark, plant
from tests.infra.privacy.erased import forget
from tests.kafka.support import eventually, level, traffic
from tests.strategies import PROLOGUE, UUIDS
from tests.world import World


def test_a_copy_built_from_the_topic_alone_equals_the_read_model(kafka: Runtime) -> None:
    with running(kafka):
        for seed in range(4):
            traffic(kafka, 100, seed)
        assert eventually(lambda: level(kafka))
        for table in kafka.tables.values():
            assert eventually(lambda table=table: copied(kafka, table) == rows(table)), table.name
    assert rows(kafka.tables["customer_view"])


def test_a_removed_row_of_any_read_model_becomes_a_tombstone(kafka: Runtime) -> None:
    plant(kafka, new_mark())
    with running(kafka, roles=["sequencer", "relay", "follow"]):
        assert eventually(lambda: level(kafka))
    told = [table for table in kafka.tables.values() if rows(table)]
    assert {"customer_view", "sales_pipeline", "sla_clocks"} <= {t.projection.name for t in told}
    gone = {table.name: next(iter(rows(table))) for table in told}
    for table in told:
        remove(table, Key(*gone[table.name].split("/")))
    with running(kafka, roles=["announce"]):
        assert eventually(lambda: all(copied(kafka, table) == rows(table) for table in told))
    for table in told:
        assert (gone[table.name], None) in records(kafka, table)


def test_after_an_erasure_no_topic_of_a_read_model_holds_anything_of_the_person(
    kafka: Runtime,
) -> None:
    mark, ann, world = new_mark(), UUIDS[0], World(kafka.store)
    known = ChangeProfile(customer=ann, full_name=f"A {mark}")
    said = RecordInteraction(customer=ann, channel="web", kind="visit", message=mark)
    world.ask_all([(each, uuid7(), None) for each in (*PROLOGUE, known, said)])
    with running(kafka):
        assert eventually(lambda: announced(kafka))
        before = {table.projection.name: copied(kafka, table) for table in kafka.tables.values()}
        about = {name for name, copy in before.items() if ann in str(copy)}
        assert about == kafka.tables.keys() - {"agreements"}  # which are about nobody
        assert sealed_of(before, ann) == {"customer_view"}
        assert forget(kafka, ann).state == "done"
        assert eventually(lambda: announced(kafka))
    after = {table.projection.name: copied(kafka, table) for table in kafka.tables.values()}
    assert after == {name: rows(table) for name, table in kafka.tables.items()}
    assert sealed_of(after, ann) == set()
    assert f"acme/{ann}" not in after["customer_features"]  # which are a profile of the person
    assert ("customer_features", None) in [
        (name, value)
        for name, table in kafka.tables.items()
        for key, value in records(kafka, table)
        if key == f"acme/{ann}"
    ]
    told = str(after["customer_view"][f"acme/{ann}"])
    assert "erased" in told
    assert not [form for form in forms(mark) if form in orjson.dumps(after)]


def announced(runtime: Runtime) -> bool:
    """Tell whether every read model is level, and so is its topic."""
    query = "SELECT min(position), count(*) FROM crm.announced"
    with runtime.pool.connection() as conn:
        row = conn.execute(query).fetchone()
    return level(runtime) and row == (runtime.events.head(), len(runtime.tables))


def sealed_of(copies: dict[str, dict[str, object]], customer: str) -> set[str]:
    """Tell which read models hold what is sealed under a key of a customer."""
    return {
        name
        for name, copy in copies.items()
        for value in copy.values()
        if any(block["subject"] == customer for block in blocks_in(value))
    }


def blocks_in(value: object) -> Iterator[dict[str, object]]:
    if isinstance(value, dict):
        if "sealed" in value:
            yield value
        for part in value.values():
            yield from blocks_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from blocks_in(part)


def remove(table: Table, key: Key) -> None:
    """Remove a row as a projection's handler would, in the transaction of a follower."""
    partition = 0
    at = table.position(partition)
    with table.transaction(Step(at, at, partition)) as change:
        change.write({key: None}, {key: at})


def rows(table: Table) -> dict[str, object]:
    query = f"SELECT tenant || '/' || key, to_json(t)::text FROM read.{table.name} t"
    with table.pool.connection() as conn:
        return {key: shown(orjson.loads(row)) for key, row in conn.execute(query)}


def copied(runtime: Runtime, table: Table) -> dict[str, object]:
    """Build the copy as a downstream service would: the last value of every key."""
    copy: dict[str, object] = {}
    for key, value in records(runtime, table):
        if value is None:
            copy.pop(key, None)
        else:
            copy[key] = orjson.loads(value)
    return copy


def records(runtime: Runtime, table: Table) -> list[tuple[str, bytes | None]]:
    consumer = KafkaConsumer(bootstrap_servers=runtime.settings.kafka_bootstrap_servers)
    topic = TopicNames(runtime.settings.kafka_prefix).read_model(table.projection.name)
    parts = [TopicPartition(topic, n) for n in range(4)]
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    ends = consumer.end_offsets(parts)
    found = []
    while any(consumer.position(part) < ends[part] for part in parts):
        for polled in consumer.poll(timeout_ms=500).values():
            found.extend((record.key.decode(), record.value) for record in polled)
    consumer.close()
    return found
