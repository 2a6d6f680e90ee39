"""Topics are set up as they must be, and compared with the store record by record."""

import uuid

import pytest
from kafka import KafkaProducer

from consumers.service import running
from infra.kafka.published import Publication
from infra.kafka.topics import TopicNames, Topics, WrongTopic, wanted
from infra.kafka.verify import compare
from infra.runtime import Runtime
from tests.kafka.support import eventually, level, traffic


def test_applying_twice_changes_nothing_and_a_dry_run_never_does(bootstrap: str) -> None:
    names = TopicNames(f"test-{uuid.uuid4().hex[:8]}")
    topics = Topics(bootstrap)
    settings = wanted(names, 3, 1)
    planned = topics.apply(settings, 1, dry_run=True)
    assert {change.action for change in planned} == {"create"}
    assert topics.partitions(names.events) is None
    topics.apply(settings, 1)
    assert topics.partitions(names.events) == 3
    assert {change.action for change in topics.apply(settings, 1)} == {"none"}
    topics.close()


def test_the_number_of_partitions_is_never_changed(bootstrap: str) -> None:
    names = TopicNames(f"test-{uuid.uuid4().hex[:8]}")
    topics = Topics(bootstrap)
    topics.apply(wanted(names, 3, 1), 1)
    with pytest.raises(WrongTopic, match="has 3 partitions, not 6"):
        topics.apply(wanted(names, 6, 1), 1)
    topics.close()


def test_a_relay_refuses_a_topic_with_other_partitions_than_it_began_with(
    kafka: Runtime, bootstrap: str
) -> None:
    topic = TopicNames(kafka.settings.kafka_prefix).events
    with kafka.pool.connection() as conn:
        conn.execute("INSERT INTO crm.published VALUES (%s, 7, '[7, 0]')", [topic])
    publication = Publication(kafka.pool, bootstrap, "test", topic)
    with pytest.raises(WrongTopic, match="begun with 2"):
        publication.progress()
    publication.close()


def test_a_relay_refuses_a_topic_with_too_few_replicas(kafka: Runtime, bootstrap: str) -> None:
    topic = TopicNames(kafka.settings.kafka_prefix).events
    with pytest.raises(WrongTopic, match="has 1 replicas, not 3"):
        Publication(kafka.pool, bootstrap, "test", topic, replicas=3)


def test_a_faithful_topic_is_complete(kafka: Runtime, bootstrap: str) -> None:
    traffic(kafka, 200)
    with running(kafka):
        assert eventually(lambda: level(kafka))
    found = compare(kafka.pool, bootstrap, TopicNames(kafka.settings.kafka_prefix).events)
    assert found.complete
    assert (found.events, found.first, found.last) == (head := kafka.events.head(), 1, head)


def test_an_altered_and_a_missing_record_are_found(kafka: Runtime, bootstrap: str) -> None:
    topic = TopicNames(kafka.settings.kafka_prefix).events
    traffic(kafka, 50)
    with running(kafka, roles=["sequencer"]):
        assert eventually(lambda: kafka.events.head() >= 50)
    page = kafka.events.read(0, 1000, ())
    publication = Publication(kafka.pool, bootstrap, "test", topic)
    _, last = publication.progress()
    altered = [(n, e.replace(b'"demo"', b'"d3mo"') if n == 9 else e) for n, e in page.events]
    sent = publication.send(altered[:-1], last, page.upto - 1)
    publication.lease.take()
    publication.finish(sent)
    publication.close()
    with kafka.pool.connection() as conn:
        conn.execute("UPDATE crm.published SET partitions = json_build_array(%s,%s,%s,%s)",
                     [page.upto] * 4)  # fmt: skip
    found = compare(kafka.pool, bootstrap, topic)
    assert found.altered == [9]
    assert len(found.missing_after) == 4
    assert not found.complete


def test_a_stranger_s_record_is_found(kafka: Runtime, bootstrap: str) -> None:
    topic = TopicNames(kafka.settings.kafka_prefix).events
    traffic(kafka, 20)
    with running(kafka):
        assert eventually(lambda: level(kafka))
        producer = KafkaProducer(bootstrap_servers=bootstrap)
        producer.send(topic, value=b"{}", partition=0)
        producer.close()
        traffic(kafka, 20, seed=2)
        assert eventually(lambda: level(kafka))
    assert not compare(kafka.pool, bootstrap, topic).complete
