"""A real broker for the tests: one that is given, one in a container, or one on plain Java."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.runtime import Runtime, open_runtime
from infra.settings import Settings
from infra.topics import TopicNames, Topics, wanted
from projections.catalogue import ALL
from tests.kafka.broker import Cluster, NoBroker


@pytest.fixture(scope="session")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker: CRM_TEST_KAFKA, else Docker, else Java and Maven, else a skip."""
    given = os.environ.get("CRM_TEST_KAFKA")
    if given:
        yield given
    elif docker_runs():
        from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415

        with KafkaContainer("confluentinc/cp-kafka:7.9.0").with_kraft() as container:
            yield container.get_bootstrap_server()
    else:
        try:
            cluster = Cluster(tmp_path_factory.mktemp("kafka"))
        except NoBroker as missing:
            pytest.skip(f"no Kafka broker: {missing} Or set CRM_TEST_KAFKA to the address of one.")
        try:
            yield cluster.start().bootstrap
        finally:
            cluster.stop()


def docker_runs() -> bool:
    """Tell whether a Docker engine answers; the client alone is not enough."""
    if shutil.which("docker") is None:
        return False
    asked = ["docker", "info", "--format", "{{.ServerVersion}}"]
    try:
        return subprocess.run(asked, capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@pytest.fixture
def kafka(bootstrap: str, database_url: str, tmp_path: Path) -> Iterator[Runtime]:
    """A runtime on a fresh database, with topics of its own on the broker. Nothing runs yet."""
    settings = Settings(
        database_url=database_url,
        directory=tmp_path / "crm",
        kafka_bootstrap_servers=bootstrap,
        kafka_prefix=f"test-{uuid.uuid4().hex[:8]}",
        kafka_partitions=4,
        kafka_replicas=1,
    )
    names = TopicNames(settings.kafka_prefix)
    topics = Topics(bootstrap)
    models = [projection.name for projection in ALL]
    topics.apply(wanted(names, settings.kafka_partitions, 1, models), replicas=1)
    topics.close()
    with open_runtime(settings) as opened:
        yield opened
