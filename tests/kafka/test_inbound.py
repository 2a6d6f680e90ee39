"""What channels produce to Kafka is taken in as HTTP takes it in."""

import json

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from consumers.service import running
from infra.kafka.topics import TopicNames
from infra.runtime import Runtime
from tests.kafka.support import eventually

CLICK = {"customer": {"system": "web", "id": "ada"}, "channel": "web", "kind": "click"}


def test_both_modes_are_taken_in_once_and_the_refused_are_dead_letters(kafka: Runtime) -> None:
    names = TopicNames(kafka.settings.kafka_prefix)
    producer = KafkaProducer(bootstrap_servers=kafka.settings.kafka_bootstrap_servers)

    def produce(value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        producer.send(names.inbound, key=b"ada", value=value, headers=headers)

    for _ in range(2):  # producers send twice
        produce(json.dumps(CLICK).encode(), attributes("1"))
        produce(json.dumps(structured("2", CLICK)).encode(), structured_mode())
    produce(b"{broken", structured_mode())
    produce(json.dumps({**CLICK, "chanel": "typo"}).encode(), attributes("3"))
    produce(json.dumps({**CLICK, "kind": "another"}).encode(), attributes("1"))
    produce(b"\xff\xfe", attributes("4"))
    produce(None, attributes("5"))
    produce(json.dumps(CLICK).encode(), attributes("6"))
    producer.close()

    with running(kafka, roles=["inbound"]):
        assert eventually(lambda: len(kept(kafka)) == 3)
        assert eventually(lambda: len(dead_letters(kafka, names)) == 5)
    letters = dead_letters(kafka, names)
    assert sorted((letter["code"], letter["id"]) for letter in letters) == [
        ("data.invalid", "3"), ("interaction.conflict", "1"),
        ("message.not_json", ""), ("message.not_json", "4"), ("message.not_json", "5"),
    ]  # fmt: skip
    assert {letter["value"] for letter in letters} == {None}  # what they said may be personal
    refused = kafka.refused.page("default", "00000000-0000-0000-0000-000000000000", 100)
    opened = [kafka.refused.open("default", each.id) for each in refused]
    assert b"{broken" in [message.raw for message in opened if message]
    assert len(refused) == 5


def test_what_was_taken_in_is_not_taken_in_again_after_a_restart(kafka: Runtime) -> None:
    names = TopicNames(kafka.settings.kafka_prefix)
    producer = KafkaProducer(bootstrap_servers=kafka.settings.kafka_bootstrap_servers)
    for number in range(50):
        producer.send(names.inbound, value=json.dumps(CLICK).encode(),
                      headers=attributes(str(number)))  # fmt: skip
    producer.close()
    for _ in range(2):
        with running(kafka, roles=["inbound"]):
            assert eventually(lambda: len(kept(kafka)) == 50)


def attributes(id_: str) -> list[tuple[str, bytes]]:
    named = structured(id_, None)
    del named["data"]
    headers = [(f"ce_{name}", str(value).encode()) for name, value in named.items()]
    return [*headers, ("content-type", b"application/json")]


def structured_mode() -> list[tuple[str, bytes]]:
    return [("content-type", b"application/cloudevents+json; charset=UTF-8")]


def structured(id_: str, data: object) -> dict[str, object]:
    return {"specversion": "1.0", "id": id_, "source": "/web", "type": "interaction.recorded.v1",
            "data": data}  # fmt: skip


def kept(runtime: Runtime) -> list[str]:
    with runtime.pool.connection() as conn:
        rows = conn.execute("SELECT stream FROM crm.event WHERE type = 'interaction.recorded.v1'")
        return [stream for (stream,) in rows]


def dead_letters(runtime: Runtime, names: TopicNames) -> list[dict[str, object]]:
    consumer = KafkaConsumer(bootstrap_servers=runtime.settings.kafka_bootstrap_servers)
    parts = [TopicPartition(names.refused, n) for n in range(4)]
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    ends = consumer.end_offsets(parts)
    letters = []
    while any(consumer.position(part) < ends[part] for part in parts):
        for records in consumer.poll(timeout_ms=500).values():
            for record in records:
                told = {name: value.decode() for name, value in record.headers}
                letter = {"code": told["refused_code"], "id": told["ce_id"]}
                letters.append({**letter, "value": record.value})
    consumer.close()
    return letters
