"""The relay: from the store to a topic, against kafka-python's own producer with the same bytes.

Ours reads the log from PostgreSQL, takes every envelope apart for its partition, chains it to its
predecessor, and notes its progress. The control is given all records in memory and only sends
them: same client, partitions, keys, headers, batches, acknowledgements.
"""

import os

from brokers import broker, fresh_topic, relay_all, relaying
from follow import fill
from kafka import KafkaProducer
from measure import compare, fresh_runtime, per_second

from infra.kafka.published import Record, records
from infra.runtime import Runtime

EVENTS = int(os.environ.get("CRM_BENCH_EVENTS", "60000"))
PARTITIONS = (1, 4, 12)


def ours(runtime: Runtime, bootstrap: str, partitions: int, events: int) -> float:
    """Publish everything to a fresh topic."""
    with relaying(runtime, bootstrap, fresh_topic(bootstrap, partitions)) as publication:
        return per_second(events, lambda: relay_all(publication))


def producers(made: list[Record], bootstrap: str, partitions: int) -> float:
    """Send everything to a fresh topic, all of it handed over before any is waited for."""
    topic = fresh_topic(bootstrap, partitions)
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=5,
        batch_size=524_288, max_request_size=12_000_000,
    )  # fmt: skip
    producer.partitions_for(topic)

    def send() -> None:
        for record in made:
            producer.send(
                topic, key=record.key, value=record.value, headers=record.headers,
                partition=record.partition,
            )  # fmt: skip
        producer.flush()

    try:
        return per_second(len(made), send)
    finally:
        producer.close()


def main() -> None:
    """Compare over several numbers of partitions."""
    with broker() as bootstrap, fresh_runtime() as runtime:
        events = fill(runtime, EVENTS)
        page = runtime.events.read(0, events, ()).events
        for partitions in PARTITIONS:
            made, _ = records(page, [0] * partitions)
            measured = {
                "ours": lambda n=partitions: ours(runtime, bootstrap, n, events),
                "kafka-python": lambda n=partitions, m=made: producers(m, bootstrap, n),
            }
            case = f"events/s into {partitions} partitions"
            compare("relay", case, measured, {"kafka-python": 0.7})


if __name__ == "__main__":
    main()
