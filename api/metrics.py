"""What the process counts, and what it measures when asked, for Prometheus."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from consumers.measured import FOLLOWED
from infra.progress import Progress, progress, refused
from infra.read_models.versions import versions
from infra.runtime import Runtime

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BY_PROJECTION = {
    "position": ("crm_projection_position", "Up to where the log is taken into account."),
    "lag_events": ("crm_projection_lag_events", "Committed events beyond that position."),
    "lag_seconds": ("crm_projection_lag_seconds", "Age of the first of them."),
    "parked": ("crm_projection_parked_rows", "Rows that an event could not be applied to."),
}


class Metrics:
    """The metrics of one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._registry = CollectorRegistry()
        self._messages = Counter(
            "crm_ingest_messages_total",
            "Messages taken in, by what became of them.",
            ["source", "result"],
            registry=self._registry,
        )
        self._requests = Histogram(
            "crm_ingest_request_duration_seconds",
            "How long a request to publish took.",
            registry=self._registry,
        )
        self._registry.register(Measured(runtime))

    def count(self, results: Iterable[str]) -> None:
        """Count verdicts on messages that came over HTTP."""
        for result in results:
            self._messages.labels("http", result).inc()

    def timed(self) -> AbstractContextManager[object]:
        """Measure how long the block takes."""
        return self._requests.time()

    def exposed(self) -> bytes:
        """Give all of it as text."""
        return generate_latest(self._registry) + generate_latest(FOLLOWED)


class Measured(Collector):
    """What is measured in the database at the moment of asking."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def describe(self) -> Iterable[Metric]:
        """Tell nothing in advance: that would take the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Measure."""
        now = progress(self._runtime.pool, self._runtime.tables)
        waiting, seconds = refused(self._runtime.pool)
        single = {
            "crm_outbox_pending": ("Events without a position.", now.pending),
            "crm_outbox_oldest_age_seconds": ("Age of the oldest of them.", now.pending_seconds),
            "crm_projection_head_position": ("The last position of the log.", now.head),
            "crm_dlq_messages": ("Messages that were not kept.", waiting),
            "crm_dlq_oldest_age_seconds": ("Age of the oldest of them.", seconds),
        }
        for name, (told, value) in single.items():
            yield GaugeMetricFamily(name, told, value)
        yield from by_projection(now)
        yield self._versions()

    def _versions(self) -> Metric:
        """Tell which versions of read models there are, and which of them serves."""
        labels = ["projection", "version", "state"]
        gauge = GaugeMetricFamily(
            "crm_projection_info", "Versions and their states.", labels=labels
        )
        for name in self._runtime.tables:
            for each in versions(self._runtime.pool, name):
                gauge.add_metric([name, str(each.version), each.state], 1)
        return gauge


def by_projection(now: Progress) -> Iterator[Metric]:
    """Give what is measured for each read model."""
    for attribute, (name, told) in BY_PROJECTION.items():
        gauge = GaugeMetricFamily(name, told, labels=["projection"])
        for level in now.levels:
            gauge.add_metric([level.projection], getattr(level, attribute))
        yield gauge
