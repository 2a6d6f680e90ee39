"""A whole system on the broker of the tests, with topics of its own."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.kafka.topics import TopicNames, Topics, wanted
from infra.runtime import Runtime, open_runtime
from infra.settings import Settings
from projections.catalogue import ALL


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
