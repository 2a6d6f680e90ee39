"""What the followers of one process count of themselves, for Prometheus.

Counters live in the process that counts. The API shows those of its own process; a process without
an API serves them when `CRM_METRICS_PORT` says where.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

FOLLOWED = CollectorRegistry()

EVENTS = Counter(
    "crm_projection_events_processed_total",
    "Events taken into account, by what became of them: applied, parked, or waiting behind those.",
    ["projection", "outcome"],
    registry=FOLLOWED,
)
SECONDS = Histogram(
    "crm_projection_batch_duration_seconds",
    "How long a follower took for one transaction.",
    ["projection"],
    registry=FOLLOWED,
)


def count(projection: str, *, applied: int, parked: int, waiting: int) -> None:
    """Count the events of a transaction that was committed."""
    for outcome, events in (("applied", applied), ("parked", parked), ("waiting", waiting)):
        EVENTS.labels(projection, outcome).inc(events)


@contextmanager
def served(host: str, port: int | None) -> Iterator[None]:
    """Serve the counters over HTTP while the block lasts, if a port is given."""
    if port is None:
        yield
        return
    server, thread = start_http_server(port, host, FOLLOWED)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
