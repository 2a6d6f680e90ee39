"""Where the tests get a broker: one that is given, one in a container, or one on plain Java."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache

import pytest

from tests.kafka.broker import Cluster, NoBroker, jars

KAFKA_IMAGE = "confluentinc/cp-kafka:7.9.0"
POSTGRES_IMAGE = "postgres:18.1"
NO_BROKER = "no Kafka broker: "
HOW_TO_GET_ONE = (
    "The tests of the Kafka path were skipped: there is no broker. Any of these gives one:\n"
    "  CRM_TEST_KAFKA=host:port   the address of a Kafka >= 4 that the tests may use\n"
    "  a running Docker engine    the tests start a container\n"
    "  Java >= 17 and Maven       the tests start Apache Kafka on it, fetched once into a cache"
)


@pytest.fixture(scope="session")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker: CRM_TEST_KAFKA, else Docker, else Java and Maven, else a skip."""
    given = os.environ.get("CRM_TEST_KAFKA")
    if given:
        yield given
    elif docker_runs():
        from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415

        with KafkaContainer(KAFKA_IMAGE).with_kraft() as container:
            yield container.get_bootstrap_server()
    else:
        cluster = Cluster(tmp_path_factory.mktemp("kafka")) if can_start_one() else None
        try:
            yield cluster.start().bootstrap
        finally:
            cluster.stop()


def can_start_one() -> bool:
    """Tell that a broker can be started on plain Java, or skip with what is missing."""
    try:
        jars()
    except NoBroker as missing:
        pytest.skip(f"{NO_BROKER}{missing}")
    return True


@pytest.fixture
def our_own_broker() -> None:
    """For tests that kill brokers: none that is given will do."""
    can_start_one()


@cache
def docker_runs() -> bool:
    """Tell whether a Docker engine answers; the client alone is not enough."""
    if shutil.which("docker") is None:
        return False
    asked = ["docker", "info", "--format", "{{.ServerVersion}}"]
    try:
        return subprocess.run(asked, capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Say at the very end that a part was not tested, and how to get what it needs."""
    yield
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", ())]
    if any(NO_BROKER in reason for reason in reasons):
        terminalreporter.write_line("")
        terminalreporter.write_line(HOW_TO_GET_ONE, yellow=True)
