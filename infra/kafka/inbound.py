"""Messages that channels produce to Kafka: CloudEvents, binary or structured."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from commands.ingest import Message
from commands.ports import Verdict
from domain.rejected import Rejected
from infra.kafka.inbound_clearing import Clearing
from infra.kafka.log import SESSION_SECONDS
from infra.kafka.topics import BACK_SOON, PATIENT, TopicNames
from infra.store.refused import message_of, printable

POLL_RECORDS = 500
STRUCTURED = "application/cloudevents+json"


class Arrived(NamedTuple):
    """A record as it came, and as a message."""

    record: Any
    message: Message


class Inbound:
    """One member of the group that takes messages in."""

    def __init__(self, bootstrap: str, names: TopicNames, hours: float) -> None:
        self.topic, self._refused = names.inbound, names.refused
        self._consumer = KafkaConsumer(
            **BACK_SOON,
            bootstrap_servers=bootstrap,
            group_id=self.topic,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=POLL_RECORDS,
            session_timeout_ms=int(SESSION_SECONDS * 1000),
            heartbeat_interval_ms=int(SESSION_SECONDS * 250),
        )
        self._consumer.partitions_for_topic(self.topic)  # as in `KafkaLog`
        self._consumer.subscribe([self.topic])
        self._producer = KafkaProducer(
            **PATIENT, bootstrap_servers=bootstrap, acks="all", linger_ms=5
        )
        self.clearing = Clearing(bootstrap, self._consumer, hours)

    def poll(self, wait_seconds: float) -> dict[int, list[Arrived]]:
        """Give what has come, by partition."""
        polled = self._consumer.poll(timeout_ms=int(wait_seconds * 1000))
        return {
            tp.partition: [Arrived(record, message(record)) for record in records]
            for tp, records in polled.items()
        }

    def refuse(self, refused: Iterable[tuple[Arrived, Verdict]]) -> None:
        """Tell on the dead-letter topic what was not kept, and why; never what it said.

        That may be personal, and nobody knows whose: it lies sealed among the refused messages.
        """
        sent = [
            self._producer.send(
                self._refused, key=place(each.record), headers=reason(each, verdict)
            )
            for each, verdict in refused
        ]
        self._producer.flush()
        for future in sent:
            future.get(timeout=0)

    def done(self, offsets: Mapping[int, int]) -> None:
        """Tell the group that everything up to these offsets was taken in."""
        self._consumer.commit(
            {
                TopicPartition(self.topic, partition): OffsetAndMetadata(offset + 1, "", -1)
                for partition, offset in offsets.items()
            }
        )

    def again(self, partition: int, offset: int) -> None:
        """Read a partition again from a record on."""
        self._consumer.seek(TopicPartition(self.topic, partition), offset)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close(autocommit=False)
        self._producer.close(timeout=5)
        self.clearing.close()


def reason(arrived: Arrived, verdict: Verdict) -> list[tuple[str, bytes]]:
    """Say in headers which record was not kept, why, and where it stood."""
    record, message = arrived
    named = message.parsed if isinstance(message.parsed, dict) else {}
    return [
        ("ce_id", printable(named.get("id")).encode()),
        ("ce_source", printable(named.get("source")).encode()),
        ("refused_code", verdict.code.encode()),
        ("refused_reason", verdict.sentence.encode()),
        ("refused_from", place(record)),
    ]


def place(record: Any) -> bytes:  # noqa: ANN401 - as in `message`
    """Tell where a record stands."""
    return f"{record.topic}/{record.partition}/{record.offset}".encode()


def message(record: Any) -> Message:  # noqa: ANN401 - the client's record has no public type
    """Read a record in CloudEvents' Kafka binding (version 1.0.2)."""
    raw = record.value or b""
    try:
        headers = {name: value.decode() for name, value in record.headers if value is not None}
    except UnicodeDecodeError:
        return Message(None, raw, Rejected("message.encoding", "A header is not UTF-8."))
    if headers.get("content-type", "").startswith(STRUCTURED):
        return message_of(raw)
    return binary(headers, raw)


def binary(headers: Mapping[str, str], raw: bytes) -> Message:
    """Read a message whose attributes are headers and whose value is the data."""
    parsed = message_of(raw)
    attributes = {name[3:]: value for name, value in headers.items() if name.startswith("ce_")}
    whole = {**attributes, "data": parsed.parsed}
    return Message(whole, orjson.dumps(whole), parsed.fault)
