"""A rebuild over Kafka: the new version goes on along the topic; the compacted topic follows."""

from consumers import building, switching
from consumers.building import Means
from consumers.service import running
from infra.database import url_of
from infra.runtime import Runtime
from tests.consumers.rebuilding import Watch
from tests.kafka.support import digest, eventually, folded_from_the_store, level, traffic
from tests.kafka.test_announce import copied, rows


def test_built_promoted_and_rolled_back_while_everything_flows(kafka: Runtime) -> None:
    with running(kafka):
        traffic(kafka, 200, seed=1)
        assert eventually(lambda: level(kafka))
        served(kafka, 1)
        means = Means(url_of(kafka.pool), 1, 10**9)
        building.rebuild(kafka.tables, "customer_view", means, Watch())
        traffic(kafka, 100, seed=2)
        switching.promote(kafka.tables, "customer_view")
        traffic(kafka, 100, seed=3)
        assert eventually(lambda: level(kafka))
        served(kafka, 2)
        old = kafka.tables.version("customer_view", 1)
        assert eventually(lambda: digest(old) == digest(kafka.tables["customer_view"]))
        switching.roll_back(kafka.tables, "customer_view")
        served(kafka, 1)
        found = digest(kafka.tables["customer_view"])
    switching.roll_back(kafka.tables, "customer_view")
    for name in kafka.tables:
        for version in (1, 2, 3):
            kafka.tables.version(name, version).drop()
    assert folded_from_the_store(kafka)["customer_view"] == found


def served(kafka: Runtime, version: int) -> None:
    """The version serves, and a copy built from the compacted topic alone has its rows."""
    table = kafka.tables["customer_view"]
    assert table.version == version
    assert eventually(lambda: copied(kafka, table) == rows(table))
