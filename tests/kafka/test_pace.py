"""Everybody at their own pace: slow ones hold nobody back, and stopping is bounded."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from consumers import relay
from consumers.follow import apply
from consumers.follow_kafka import follow_kafka
from consumers.service import running
from infra.ids import uuid7
from infra.log_kafka import KafkaLog
from infra.published import Publication
from infra.runtime import Runtime
from infra.tables import Table
from infra.topics import TopicNames
from tests.kafka.support import eventually, level, traffic

SLOW = "churn_alerts"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """One read model gets nowhere until this is set."""
    opened = threading.Event()

    def through_the_gate(table: Table, *arguments: object) -> None:
        if table.projection.name == SLOW:
            opened.wait(60)
        apply(table, *arguments)

    monkeypatch.setattr("consumers.follow_kafka.apply", through_the_gate)
    yield opened
    opened.set()


def all_but_the_slow_one(runtime: Runtime) -> Callable[[], bool]:
    others = [table for name, table in runtime.tables.items() if name != SLOW]
    return lambda: all(table.reached() >= runtime.events.head() > 0 for table in others)


def test_a_slow_read_model_holds_nobody_back(kafka: Runtime, gate: threading.Event) -> None:
    with running(kafka):
        traffic(kafka, 200)
        assert eventually(all_but_the_slow_one(kafka))
        assert kafka.tables[SLOW].reached() < kafka.events.head()
        gate.set()
        assert eventually(lambda: level(kafka))


def test_whoever_is_slow_to_apply_does_not_doubt_what_it_has_not_come_to(
    kafka: Runtime, bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records of the last partition are there for long before it is their turn."""

    def slowly(*arguments: object) -> None:
        time.sleep(0.8)
        apply(*arguments)

    monkeypatch.setattr("consumers.follow_kafka.apply", slowly)
    monkeypatch.setattr("consumers.follow_kafka.DOUBT_SECONDS", 1.5)
    monkeypatch.setattr("infra.log_kafka.POLL_RECORDS", 60)
    traffic(kafka, 200)
    with running(kafka, roles=["sequencer", "relay"]):
        topic = TopicNames(kafka.settings.kafka_prefix).events
        table, stop = kafka.tables["customer_view"], threading.Event()
        assert eventually(
            lambda: table.published() and kafka.events.head() == max(table.published())
        )
        with capture_logs() as told:
            events = KafkaLog(bootstrap, uuid7(), None, topic)
            thread = threading.Thread(target=follow_kafka, args=(events, table, stop))
            thread.start()
            assert eventually(lambda: table.reached() >= kafka.events.head() > 200)
            stop.set()
            thread.join()
    assert [line for line in told if line["event"] == "follower.rewound"] == []


def test_stopping_does_not_wait_for_one_that_hangs(
    kafka: Runtime, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.service.STOP_SECONDS", 3.0)
    with capture_logs() as told, running(kafka):
        traffic(kafka, 100)
        assert eventually(all_but_the_slow_one(kafka))
        asked = time.monotonic()
    assert time.monotonic() - asked < 30  # it would hang for ever
    assert [line["unfinished"] for line in told if line["event"] == "service.stopped"] == [
        [f"follow {SLOW}"]
    ]
    gate.set()


def test_the_relay_takes_no_more_than_a_few_pages_ahead(
    kafka: Runtime, bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "PAGE", 10)
    traffic(kafka, 200)
    with running(kafka, roles=["sequencer"]):
        assert eventually(lambda: kafka.events.head() > 200)
    topic = TopicNames(kafka.settings.kafka_prefix).events
    publication, in_flight, held = Publication(kafka.pool, bootstrap, "test", topic), deque(), []
    assert publication.lease.take()
    while relay.publish(publication, in_flight):
        held.append(sum(len(sent.futures) for sent in in_flight))
    publication.close()
    assert len(held) > 20
    assert max(held) < relay.PAGES_IN_FLIGHT * relay.PAGE


def test_a_follower_is_given_a_bounded_part_at_once(
    kafka: Runtime, bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.log_kafka.POLL_RECORDS", 30)
    traffic(kafka, 200)
    with running(kafka, roles=["sequencer", "relay"]):
        assert eventually(lambda: level(kafka) or kafka.tables[SLOW].reached() == 0)
        log = KafkaLog(bootstrap, uuid7(), None, TopicNames(kafka.settings.kafka_prefix).events)
        given: list[int] = []

        def everything() -> bool:
            polled = log.poll(0.2)
            given.append(sum(len(records.links) for records in polled.values()))
            return sum(given) >= kafka.events.head() > 0

        assert eventually(everything)
        log.close()
    assert max(given) <= 30
