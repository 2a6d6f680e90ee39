"""A run without a broker says so last; with Docker, both servers come in containers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from consumers.service import running
from infra.kafka.topics import TopicNames, Topics, wanted
from infra.runtime import open_runtime
from infra.settings import Settings
from projections.catalogue import ALL
from tests.kafka.finding import HOW_TO_GET_ONE, KAFKA_IMAGE, POSTGRES_IMAGE, docker_runs
from tests.kafka.support import eventually, level, traffic

ROOT = Path(__file__).parents[2]


def test_without_a_broker_the_last_lines_say_so_and_how_to_get_one() -> None:
    nothing = {k: v for k, v in os.environ.items() if not k.startswith(("CRM_", "PYTEST_"))}
    nothing["PATH"] = "/nonexistent"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:schemathesis",
         "tests/kafka/test_topics.py", "-k", "test_the_number_of_partitions_is_never_changed"],
        cwd=ROOT, env=nothing, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    *_, first, second, third, fourth, counted = done.stdout.strip().splitlines()
    assert "1 skipped" in counted
    assert [first, second, third, fourth] == HOW_TO_GET_ONE.splitlines()


@pytest.mark.skipif(not docker_runs(), reason="no Docker engine answers")
def test_the_whole_path_works_on_servers_in_containers(tmp_path: Path) -> None:
    from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415

    with (
        PostgresContainer(POSTGRES_IMAGE, driver=None) as postgres,
        KafkaContainer(KAFKA_IMAGE).with_kraft() as kafka,
    ):
        settings = Settings(
            directory=tmp_path,
            database_url=postgres.get_connection_url(),
            kafka_bootstrap_servers=kafka.get_bootstrap_server(),
            kafka_partitions=4,
            kafka_replicas=1,
        )
        topics = Topics(kafka.get_bootstrap_server())
        models = [f"{projection.name}_v{projection.version}" for projection in ALL]
        topics.apply(wanted(TopicNames(settings.kafka_prefix), 4, 1, models), replicas=1)
        topics.close()
        with open_runtime(settings) as runtime, running(runtime):
            traffic(runtime, 200)
            assert eventually(lambda: level(runtime))
