"""Following a topic into the customer view, against clients that merely poll it and decode JSON.

Ours drops what it has, follows the chain of each partition, folds, and writes rows and checkpoint
in one transaction a poll. The controls join a group as we do, and forget what they have decoded.
`--events 1000000` measures with more; `--grow` over 1, 4, 12 partitions and 1, 2 followers, with as
many events as it is given: `--grow 100000 1000000 3000000`.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from brokers import broker, confluent, fresh_topic, publish_all
from follow import fill
from kafka import KafkaConsumer
from measure import compare, fresh_runtime, machine, per_second, rounded

from consumers.follow_kafka import follow_kafka
from infra.ids import uuid7
from infra.kafka.log import KafkaLog
from infra.read_models.tables import Table
from infra.runtime import Runtime

EVENTS = 60_000
PARTITIONS = 4


def ours(runtime: Runtime, bootstrap: str, topic: str, events: int) -> float:
    """Follow everything from the beginning."""
    table = Table(runtime.pool, runtime.tables["customer_view"].projection, topic)
    table.drop()
    table.create()
    stop = threading.Event()

    def watch() -> None:
        while table.reached() < events:
            time.sleep(0.03)  # asking more often would cost as much as following does
        stop.set()

    threading.Thread(target=watch).start()
    return per_second(events, lambda: follow(bootstrap, topic, table, stop))


def follow(bootstrap: str, topic: str, table: Table, stop: threading.Event) -> None:
    """Follow until told to stop; leaving the group is not measured by anybody."""
    follow_kafka(KafkaLog(bootstrap, uuid7(), None, topic), table, stop)


def polled(bootstrap: str, topic: str, events: int) -> float:
    """Poll and decode everything with kafka-python as it comes."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, group_id=uuid7(), auto_offset_reset="earliest",
        enable_auto_commit=False,
    )  # fmt: skip
    consumer.partitions_for_topic(topic)  # as in `KafkaLog`: else it may wait for ever
    consumer.subscribe([topic])

    def poll() -> None:
        left = events
        while left > 0:
            for records in consumer.poll(timeout_ms=200).values():
                for record in records:
                    orjson.loads(record.value)
                left -= len(records)
        consumer.close(autocommit=False)

    return per_second(events, poll)


def confluents(module: Any, bootstrap: str, topic: str, events: int) -> float:
    """Poll and decode everything with confluent-kafka, set up for throughput."""
    consumer = module.Consumer({
        "bootstrap.servers": bootstrap, "group.id": uuid7(), "auto.offset.reset": "earliest",
        "enable.auto.commit": False, "fetch.queue.backoff.ms": 2, "queued.min.messages": 500_000,
    })  # fmt: skip
    consumer.subscribe([topic])

    def poll() -> None:
        left = events
        while left > 0:
            for record in consumer.consume(5_000, timeout=0.2):
                orjson.loads(record.value())
                left -= 1
        consumer.close()

    return per_second(events, poll)


def clients(bootstrap: str, topic: str, events: int) -> dict[str, Callable[[], float]]:
    """Give the controls that there are."""
    found = {"kafka-python polling": lambda: polled(bootstrap, topic, events)}
    module = confluent()
    if module is not None:
        found["confluent-kafka polling"] = lambda: confluents(module, bootstrap, topic, events)
    return found


def compared(runtime: Runtime, bootstrap: str, events: int) -> None:
    """Compare with the clients; what confluent-kafka would gain has no goal."""
    topic = fresh_topic(bootstrap, PARTITIONS)
    publish_all(runtime, bootstrap, topic)
    controls = clients(bootstrap, topic, events)
    measured = {"ours": lambda: ours(runtime, bootstrap, topic, events), **controls}
    goals = {name: 0.5 if name.startswith("kafka-python") else None for name in controls}
    compare("kafka-follow", "events/s into the customer view", measured, goals)


def grow(runtime: Runtime, bootstrap: str, events: int) -> None:
    """Measure real processes over partitions and followers."""
    for partitions in (1, 4, 12):
        topic = fresh_topic(bootstrap, partitions)
        publish_all(runtime, bootstrap, topic)
        for followers in (1, 2):
            rate = processes(runtime, bootstrap, topic, events, followers)
            line = {"bench": "kafka-follow", "case": "growth", "partitions": partitions,
                    "followers": followers, "events": events, "ours": rounded(rate),
                    "machine": machine()}  # fmt: skip
            print(json.dumps(line), flush=True)


def processes(runtime: Runtime, bootstrap: str, topic: str, events: int, followers: int) -> float:
    """Give the rate of `crm follow` from its first transaction to its last."""
    table = Table(runtime.pool, runtime.tables["customer_view"].projection, topic)
    table.drop()
    table.create()
    env = {
        "CRM_DATABASE_URL": str(runtime.settings.database_url),
        "CRM_DIRECTORY": str(runtime.settings.directory),
        "CRM_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "CRM_KAFKA_PREFIX": topic.removesuffix(".events"),
    }
    crm = str(Path(sys.executable).with_name("crm"))
    started = [
        subprocess.Popen([crm, "follow", "customer_view"], env=env, stderr=subprocess.DEVNULL)
        for _ in range(followers)
    ]
    try:
        while not (before := followed(table)):
            time.sleep(0.005)
        began = time.perf_counter()
        while table.reached() < events:
            time.sleep(0.01)
        return (events - before) / (time.perf_counter() - began)
    finally:
        for each in started:
            each.terminate()
        for each in started:
            each.wait(30)


def followed(table: Table) -> int:
    """Count the events that were taken into account, whatever the partition."""
    query = """
        SELECT count(*) FROM crm.log l JOIN crm.event e USING (seq)
        JOIN read.customer_view_v1 r ON r.tenant = e.tenant AND r.key = e.subject
        WHERE l.position <= r.position
    """
    with table.pool.connection() as conn:
        row = conn.execute("SELECT EXISTS (SELECT FROM read.customer_view_v1)").fetchone()
        if row != (True,):
            return 0
        counted = conn.execute(query).fetchone()
    return int(counted[0]) if counted else 0


def main() -> None:
    """Compare, and measure growth if asked."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--events", type=int, default=EVENTS)
    asked.add_argument("--grow", type=int, nargs="+", default=(), metavar="EVENTS")
    given = asked.parse_args()
    with broker() as bootstrap:
        for events in given.grow or (given.events,):
            with fresh_runtime() as runtime:
                measure = grow if given.grow else compared
                measure(runtime, bootstrap, fill(runtime, events))


if __name__ == "__main__":
    main()
