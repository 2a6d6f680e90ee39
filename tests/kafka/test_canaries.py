"""Canaries through every channel of a whole system: in no file of PostgreSQL, Kafka or the log."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from commands.command import ByEmail
from commands.ports import Who
from consumers.service import running
from infra import logs
from infra.approvals import Approvals
from infra.audit.export import export
from infra.kafka.topics import TopicNames
from infra.privacy.access_bundle import write_bundle
from infra.privacy.erasure import ask, erase
from infra.read_models.reader import Reader
from infra.runtime import Runtime
from tests.canaries import forms, found_in_database, new_mark, plant
from tests.kafka.support import eventually, level

MAIL = ByEmail(email="inbound@example.org")


@pytest.fixture
def log_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Everything is logged, and it is written to a file."""
    path = tmp_path / "log"
    with path.open("w", buffering=1) as file:
        monkeypatch.setattr("sys.stderr", file)
        logs.configure(logging.DEBUG, for_people=False)
        yield path
        monkeypatch.undo()


def test_no_byte_of_a_canary_is_anywhere_before_or_after_an_erasure(
    kafka: Runtime, tmp_path: Path, log_file: Path
) -> None:
    since, mark = time.time(), new_mark()
    by_command, topics = plant(kafka, mark), topics_of(kafka)
    produce(kafka, mark)
    with running(kafka):
        assert eventually(lambda: settled(kafka))
        by_kafka = kafka.store.owners("default", [MAIL.identifier()])[MAIL.identifier()]
        for tenant, customer in (("acme", by_command), ("default", by_kafka)):
            shown = orjson.dumps(Reader(kafka).history(tenant, customer, limit=500).items)
            assert mark.encode() in shown  # whoever holds the keys can read it
        assert found_in_database(kafka, mark, since) == set()
        assert found_in_topics(kafka, topics, mark) == set()
        bundle = tmp_path / "bundle"
        write_bundle(kafka, "acme", [by_command], bundle, "cli:dpo")
        assert any(mark.encode() in file.read_bytes() for file in bundle.iterdir())

        certificates = [forget(kafka, "acme", by_command), forget(kafka, "default", by_kafka)]
        assert eventually(lambda: settled(kafka))
    exported = export(kafka, "acme", by_command, tmp_path / "audit").directory
    seen = (*certificates, log_file.read_bytes(), *(f.read_bytes() for f in exported.iterdir()))
    assert not [form for form in forms(mark) if any(form in each for each in seen)]
    assert b"inbound.taken" in log_file.read_bytes()  # the log was on
    assert found_in_database(kafka, mark, since) == set()
    assert found_in_topics(kafka, topics, mark) == set()
    told = orjson.loads(certificates[0].partition(b"\n\n\xe2\x80\x94 ")[0])
    exports = {each["who"]: each["exports"] for each in told["recipients"]}
    assert exports["cli:dpo"]  # the bundle on disk is out of our reach; the certificate names it
    assert set(told["told"]["topics"]) == topics - {TopicNames(prefix(kafka)).refused}


def test_the_scan_finds_what_a_control_plants_in_the_clear(kafka: Runtime) -> None:
    topic = TopicNames(prefix(kafka)).events
    producer = KafkaProducer(bootstrap_servers=kafka.settings.kafka_bootstrap_servers)
    marks = [new_mark() for _ in forms("0")]
    for number, mark in enumerate(marks):
        producer.send(topic, b"xy" + list(forms(mark))[number] + b"z")
    producer.close()
    held = bytes_of(kafka, {topic})
    for mark in marks:
        assert len(found_in(held, mark)) == 2  # in a record, and in its segment


def produce(kafka: Runtime, mark: str) -> None:
    """What channels produce: good and bad, with canaries in key, value and headers."""
    names = TopicNames(prefix(kafka))
    producer = KafkaProducer(bootstrap_servers=kafka.settings.kafka_bootstrap_servers)
    click = {"customer": {"email": MAIL.email}, "channel": "web", "kind": "v", "message": mark}
    for number, data in enumerate((click, click, {**click, "no": mark}, f"broken {mark}")):
        headers = {"specversion": "1.0", "id": str(number), "source": "/web",
                   "type": "interaction.recorded.v1", "subject": mark}  # fmt: skip
        producer.send(
            names.inbound, orjson.dumps(data), key=mark.encode(),
            headers=[(f"ce_{name}", value.encode()) for name, value in headers.items()],
        )  # fmt: skip
    producer.close()


def settled(kafka: Runtime) -> bool:
    """Tell whether all is taken in, followed and announced."""
    if len(kafka.refused.page("default", "0" * 8 + "-0000-0000-0000-000000000000", 9)) < 2:
        return gone(kafka) and level(kafka)
    with kafka.pool.connection() as conn:
        row = conn.execute("SELECT min(position), count(*) FROM crm.announced").fetchone()
    return level(kafka) and row == (kafka.events.head(), len(kafka.tables))


def gone(kafka: Runtime) -> bool:
    """Tell whether an erasure was carried out: it takes refused messages along."""
    with kafka.pool.connection() as conn:
        return conn.execute("SELECT EXISTS (SELECT FROM crm.erasure)").fetchone() == (True,)


def forget(kafka: Runtime, tenant: str, customer: str) -> bytes:
    asked = ask(kafka, Who(tenant, "cli:alice"), customer, "asked")
    Approvals(kafka.pool).approve(Who(tenant, "cli:bob"), asked.id, asked.digest)
    return str(erase(kafka, tenant, asked.id).certificate).encode()


def prefix(kafka: Runtime) -> str:
    return kafka.settings.kafka_prefix


def topics_of(kafka: Runtime) -> set[str]:
    """All topics but the one in which channels produce, in the clear, for some days."""
    names = TopicNames(prefix(kafka))
    return {names.events, names.refused, *map(names.read_model, kafka.tables)}


def found_in_topics(kafka: Runtime, topics: set[str], mark: str) -> set[str]:
    return found_in(bytes_of(kafka, topics), mark)


def found_in(held: list[tuple[str, bytes]], mark: str) -> set[str]:
    return {where for where, raw in held if any(needle in raw for needle in forms(mark))}


def bytes_of(kafka: Runtime, topics: set[str]) -> list[tuple[str, bytes]]:
    """The broker's own files of some topics, and every record, as it is after unpacking."""
    files = [
        (str(file), file.read_bytes())
        for directory in log_directories(kafka)
        for topic in topics
        for file in Path(directory).glob(f"{topic}-[0-9]*/*.log")
    ]
    assert files
    return [*files, *records(kafka, topics)]


def log_directories(kafka: Runtime) -> list[str]:
    admin = KafkaAdminClient(bootstrap_servers=kafka.settings.kafka_bootstrap_servers)
    told = [each["log_dir"] for broker in admin.describe_log_dirs() for each in broker["log_dirs"]]
    admin.close()
    if not all(Path(each).exists() for each in told):
        pytest.skip("The broker's files are not on this machine.")
    return told


def records(kafka: Runtime, topics: set[str]) -> list[tuple[str, bytes]]:
    """Give all that a consumer is given: keys, values, headers."""
    consumer = KafkaConsumer(bootstrap_servers=kafka.settings.kafka_bootstrap_servers)
    partitions = kafka.settings.kafka_partitions
    parts = [TopicPartition(topic, n) for topic in topics for n in range(partitions)]
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    ends, found = consumer.end_offsets(parts), []
    while any(consumer.position(part) < ends[part] for part in parts):
        for part, polled in consumer.poll(timeout_ms=500).items():
            for record in polled:
                held = [record.key, record.value, *(value for _, value in record.headers)]
                found.append((part.topic, b"\0".join(each or b"" for each in held)))
    consumer.close()
    return found
