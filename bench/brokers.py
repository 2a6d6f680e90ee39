"""A broker for benchmarks, and the log of a database published to a topic on it."""

import atexit
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from consumers.relay import publish
from infra.kafka.published import Publication
from infra.kafka.topics import TopicNames, Topics, wanted
from infra.runtime import Runtime

sys.path.append(str(Path(__file__).parents[1]))  # the broker is that of the tests

JVM = ("-Xmx512m",)
"""As it is set up for work: the tests' settings start quicker and run slower."""
NUMBERS = count()


@contextmanager
def broker() -> Iterator[str]:
    """Give the broker of CRM_BENCH_KAFKA, or start one on plain Java; without either, say so."""
    given = os.environ.get("CRM_BENCH_KAFKA")
    if given:
        yield given
        return
    from tests.kafka.broker import Cluster, NoBroker  # noqa: PLC0415 - only found from here on

    with tempfile.TemporaryDirectory(prefix="crm-bench-kafka-") as directory:
        try:
            cluster = Cluster(Path(directory), jvm=JVM).start()
        except NoBroker as missing:
            sys.exit(f"No Kafka broker: {missing} Or set CRM_BENCH_KAFKA to the address of one.")
        try:
            yield cluster.bootstrap
        finally:
            cluster.stop()


def fresh_topic(bootstrap: str, partitions: int) -> str:
    """Make a topic for events that nobody has used."""
    names = TopicNames(f"bench-{os.getpid()}-{next(NUMBERS)}")
    topics = Topics(bootstrap)
    topics.apply(wanted(names, partitions, 1)[:1], replicas=1)
    topics.close()
    return names.events


def publish_all(runtime: Runtime, bootstrap: str, topic: str) -> None:
    """Publish the whole log as the relay does."""
    with relaying(runtime, bootstrap, topic) as publication:
        relay_all(publication)


@contextmanager
def relaying(runtime: Runtime, bootstrap: str, topic: str) -> Iterator[Publication]:
    """Hold the relay's lease."""
    publication = Publication(runtime.pool, bootstrap, "bench", topic)
    try:
        if not publication.lease.take():
            sys.exit("Another relay is at work on this database.")
        yield publication
        publication.lease.give_up()
    finally:
        publication.close()


def relay_all(publication: Publication) -> None:
    """Publish until nothing is left."""
    in_flight: deque = deque()
    while publish(publication, in_flight):
        publication.lease.renew()


def confluent() -> object | None:
    """Give the module of confluent-kafka, put into a temporary place; None if it cannot be had."""
    place = tempfile.mkdtemp(prefix="crm-bench-confluent-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    installers = ([sys.executable, "-m", "pip", "install"], ["uv", "pip", "install"])
    for installer in installers:
        with suppress(OSError, subprocess.TimeoutExpired):
            asked = [*installer, "--quiet", "--target", place, "confluent-kafka"]
            if subprocess.run(asked, capture_output=True, check=False, timeout=120).returncode == 0:
                sys.path.append(place)
                return importlib.import_module("confluent_kafka")
    sys.stderr.write("confluent-kafka cannot be installed here: it is not compared with.\n")
    return None
