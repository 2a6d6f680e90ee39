"""Everybody at their own pace: slow ones hold nobody back, and stopping is bounded."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
from kafka.errors import KafkaError
from structlog.testing import capture_logs

from consumers import relay
from consumers.follow import apply
from consumers.follow_kafka import follow_kafka
from consumers.service import running
from infra.ids import uuid7
from infra.kafka.log import GATHERING, KafkaLog, Polled
from infra.kafka.published import Publication
from infra.kafka.topics import TopicNames
from infra.read_models.tables import Table
from infra.runtime import Runtime
from tests.kafka.support import eventually, level, pending, traffic

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
    monkeypatch.setattr("consumers.follow_kafka.PART", 0)  # each partition alone
    monkeypatch.setattr("infra.kafka.log.POLL_RECORDS", 60)
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


class Failing(KafkaLog):
    """Its client fails whenever it is asked for more."""

    asked = 0

    def gather(self, wait_seconds: float) -> dict[int, Polled]:
        self.asked = 0
        return super().gather(wait_seconds)

    def poll(self, wait_seconds: float) -> dict[int, Polled]:
        self.asked += 1
        if self.asked > 1:
            raise KafkaError
        return super().poll(wait_seconds)


class Second(KafkaLog):
    """Another follower of its process gathers already."""


def test_a_follower_is_given_a_bounded_part_at_once_and_much_if_it_is_far_behind(
    kafka: Runtime, bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit, records in {"POLL_RECORDS": 30, "MUCH": 20, "GATHERED_RECORDS": 45}.items():
        monkeypatch.setattr(f"infra.kafka.log.{limit}", records)
    traffic(kafka, 300)
    with running(kafka, roles=["sequencer", "relay"]):
        assert eventually(lambda: kafka.events.head() > 300 and not pending(kafka))
        table = kafka.tables["customer_view"]
        assert eventually(lambda: max(table.published(), default=0) == kafka.events.head())
    topic = TopicNames(kafka.settings.kafka_prefix).events
    head, largest = kafka.events.head(), {}
    for kind, others in ((KafkaLog, nullcontext()), (Failing, nullcontext()), (Second, GATHERING)):
        log = kind(bootstrap, uuid7(), None, topic)
        with others:
            parts = list(everything(log, head))
            log.close()
        largest[kind] = max(sum(map(len, part.values())) for part in parts)
        assert all(len(positions) < 45 + 30 for part in parts for positions in part.values())
        for partition in {n for part in parts for n in part}:
            found = [position for part in parts for position in part.get(partition, ())]
            assert found == sorted(set(found))
    assert max(largest[Failing], largest[Second]) <= 30 < largest[KafkaLog]
    assert not GATHERING.locked()


def everything(log: KafkaLog, head: int) -> Iterator[dict[int, list[int]]]:
    """Give the positions that come at once, by partition, until all have come."""
    left, give_up = head, time.monotonic() + 60
    while left > 0 and time.monotonic() < give_up:
        gathered = log.gather(0.2)
        part = {n: [link.position for link in its.links] for n, its in gathered.items()}
        left -= sum(map(len, part.values()))
        yield part
    assert left == 0
