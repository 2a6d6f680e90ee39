"""Where the log goes on is found without reading all of it, whatever lies in the topic."""

from collections.abc import Sequence

import pytest
from kafka import KafkaProducer, TopicPartition

from consumers.service import running
from infra.kafka.log import KafkaLog
from infra.kafka.log_search import Search, offset_after
from infra.kafka.published import Record, records
from infra.kafka.topics import TopicNames
from infra.runtime import Runtime
from tests.kafka.support import digests, eventually, folded_from_the_store, level, traffic

TAKE_BACK = """
UPDATE crm.checkpoint c SET position = p.position FROM progress p
WHERE (c.projection, c.version, c.partition) = (p.projection, p.version, p.partition)
AND c.projection = 'customer_view'
"""
ROLES = ("sequencer", "relay", "follow")
POSITIONS = (0, 1, 2, 79, 80, 81, 82, 83, 150, 240, 297, 298, 299, 300)


def made(events: int) -> list[Record]:
    """Give records of one partition, whose positions are odd."""
    page = [(2 * n + 1, b'{"subject":"a","type":"t"}') for n in range(events)]
    return records(page, [0])[0]


def fill(runtime: Runtime, *parts: Sequence[Record]) -> tuple[str, TopicPartition]:
    bootstrap = str(runtime.settings.kafka_bootstrap_servers)
    topic = TopicNames(runtime.settings.kafka_prefix).events
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for part in parts:
        for each in part:
            producer.send(topic, key=each.key, value=each.value, headers=each.headers, partition=0)
        producer.flush()  # a batch ends, too
    producer.close()
    return bootstrap, TopicPartition(topic, 0)


def test_it_is_found_in_a_log(kafka: Runtime) -> None:
    log = made(150)
    bootstrap, part = fill(kafka, log[:40], log[40:41], log[41:])
    search = Search(bootstrap, part)
    for position in POSITIONS:
        following = next((n for n, each in enumerate(log) if each.position > position), None)
        assert search.offset_after(position) == following, position
    search.close()


def test_what_was_published_again_is_no_hindrance(kafka: Runtime) -> None:
    """Whichever copy is found continues the chain; where the last one has too little, none is."""
    log = made(150)
    topic = [*log, *log[60:90], *log[:120]]
    bootstrap, part = fill(kafka, topic)
    search = Search(bootstrap, part)
    found = {position: search.offset_after(position) for position in POSITIONS}
    search.close()
    for position, offset in found.items():
        if offset is not None:
            assert topic[offset].previous <= position < topic[offset].position
    assert len([offset for offset in found.values() if offset is not None]) > len(found) / 2


def test_nothing_is_found_where_the_topic_has_a_hole(kafka: Runtime) -> None:
    log = made(150)
    bootstrap, part = fill(kafka, log[:50], log[60:])
    assert offset_after(bootstrap, *part, log[55].position) is None
    assert offset_after(bootstrap, *part, log[70].position) == 61
    assert offset_after(bootstrap, *part, log[-1].position) is None


def test_a_follower_whose_last_moments_are_gone_reads_no_more_than_them(
    kafka: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash of the database: the group remembers more than the read model has."""
    rewound: list[int | None] = []
    rewind = KafkaLog.rewind

    def noted(self: KafkaLog, partition: int, offset: int | None) -> None:
        rewound.append(offset)
        rewind(self, partition, offset)

    traffic(kafka, 300)
    with running(kafka, ROLES):
        assert eventually(lambda: level(kafka))
    with kafka.pool.connection() as conn:
        conn.execute("CREATE TABLE rows AS TABLE read.customer_view_v1")
        conn.execute("CREATE TABLE progress AS TABLE crm.checkpoint")
    traffic(kafka, 100, seed=2)
    with running(kafka, ROLES):
        assert eventually(lambda: level(kafka))
    with kafka.pool.connection() as conn:
        conn.execute("DELETE FROM read.customer_view_v1")
        conn.execute("INSERT INTO read.customer_view_v1 SELECT * FROM rows")
        conn.execute(TAKE_BACK)
    monkeypatch.setattr(KafkaLog, "rewind", noted)
    with running(kafka, ROLES):
        assert eventually(lambda: level(kafka))
    assert rewound
    assert all(rewound), "A partition was read from its beginning."
    assert digests(kafka.tables) == folded_from_the_store(kafka)
