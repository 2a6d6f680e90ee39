"""Rebuilding read models: against the library's runner, against the limit, and by workers.

All on the same events of a realistic mix. The limit is reading the same log without applying
anything, and one COPY of the finished rows. `peers.py` compares with stream processors.
"""

import os
import statistics
import time
from functools import partial
from itertools import pairwise

from busy import busy, one_core
from eventsourcing.application import Application
from follow import fill_library
from library import follow_rate, settings
from measure import RUNS, fresh_runtime, report
from peers import MEMORY, Quiet
from psycopg import sql
from rebuild_events import line, rebuilt
from rebuild_growth import grow

from consumers import building
from consumers.building import Means, executor
from consumers.rebuild import PAGE
from consumers.switching import promote
from infra.database import pool as open_pool
from infra.database import url_of
from infra.read_models.bulk import Bulk
from infra.read_models.change import Key
from infra.runtime import Runtime
from infra.store.log import BUCKETS, EmbeddedLog
from projections.catalogue import BY_NAME

LIBRARY_EVENTS = 1_500
NAMES = ("customer_view", "sales_pipeline", "sla_clocks", "churn_alerts")


def main() -> None:
    """Measure by the length of the log, then everything else on all of it."""
    with fresh_runtime() as runtime:
        grow(runtime)
        followed(runtime)
        compare(runtime, runtime.events.head())


def compare(runtime: Runtime, events: int) -> None:
    application = Application(env=settings(str(runtime.settings.database_url)))
    fill_library(application)
    application.close()
    pairs = []
    for _ in range(RUNS):
        with one_core(runtime.pool):
            alone = busy(runtime.pool, partial(rebuilt, runtime, NAMES, 1))
        one = busy(runtime.pool, partial(rebuilt, runtime, NAMES, 1))
        two = busy(runtime.pool, partial(rebuilt, runtime, NAMES, 2))
        least = limit(runtime, NAMES, 2)
        with runtime.pool.connection() as conn:
            conn.execute("DROP TABLE IF EXISTS library_customer_view, counted_tracking")
        rate = follow_rate(settings(str(runtime.settings.database_url)), LIBRARY_EVENTS)
        pairs.append((alone, one, two, least, rate))
    alones, ones, twos, leasts, rates = zip(*pairs, strict=True)
    alone, one, two = (
        statistics.median(each.wall for each in column) for column in (alones, ones, twos)
    )
    least, rate = statistics.median(leasts), statistics.median(rates)
    all_events = events * len(NAMES)
    case = "events/s into all four read models"
    report("rebuild", f"{case}, against eventsourcing 9.5.6", all_events / two, rate, 60, RUNS)
    report("rebuild", f"{case}, against the limit", all_events / two, all_events / least, 0.3, RUNS)
    workers = f"{case}, two workers on two cores against one"
    report("rebuild", f"{workers} on one", all_events / two, all_events / alone, 1.6, RUNS)
    # A worker and the server process that reads for it use more than one core.
    report("rebuild", f"{workers} on two", all_events / two, all_events / one, 1.6, RUNS)
    # Both cores of two workers count as one second: so it would be if nobody else used them.
    one, two = (statistics.median(each.both for each in column) for column in (ones, twos))
    by_processor = f"{workers}, by processor time"
    report("rebuild", by_processor, 2 * all_events / two, all_events / one, 1.6, RUNS)
    line("load of the machine", load=os.getloadavg()[0])


def limit(runtime: Runtime, names: tuple[str, ...], workers: int) -> float:
    """Read the same events as as many workers, apply nothing, and copy the finished rows."""
    seconds = 0.0
    for name in names:
        table = runtime.tables[name]
        with runtime.pool.connection() as conn:
            finished = conn.execute(f"SELECT * FROM read.{table.name}")
            columns = [column.name for column in finished.description or ()]
            found = [dict(zip(columns, row, strict=True)) for row in finished]
            rows = [(Key(row.pop("tenant"), row.pop("key")), row) for row in found]
        began = time.perf_counter()
        read_all(runtime, name, workers)
        seconds += time.perf_counter() - began
        began = time.perf_counter()
        with runtime.pool.connection() as conn:
            conn.execute(f"CREATE TABLE limit_rows (LIKE read.{table.name})")
            Bulk(table).copy(conn, sql.Identifier("limit_rows"), rows)
        seconds += time.perf_counter() - began
        with runtime.pool.connection() as conn:
            conn.execute("DROP TABLE limit_rows")
    return seconds


def read_all(runtime: Runtime, name: str, workers: int) -> None:
    """Read what a rebuild reads, in as many processes."""
    head, url = runtime.events.head(), url_of(runtime.pool)
    edges = [BUCKETS * n // workers for n in range(workers + 1)]
    with executor(workers) as hands:
        parts = [
            hands.submit(read_slice, url, name, head, low, after - 1)
            for low, after in pairwise(edges)
        ]
        for part in parts:
            part.result()


def read_slice(url: str, name: str, head: int, low: int, high: int) -> int:
    with open_pool(url, 1) as pool:
        events, ignored = EmbeddedLog(pool), BY_NAME[name].ignores
        return sum(
            1
            for at in range(0, head, PAGE)
            for _ in events.read_slice(at, min(at + PAGE, head), ignored, (low, high))
        )


def followed(runtime: Runtime) -> None:
    """Bring the versions that serve level, for the finished rows."""
    for name in NAMES:
        if runtime.tables[name].position() < runtime.events.head():
            means = Means(url_of(runtime.pool), 2, MEMORY)
            building.rebuild(runtime.tables, name, means, Quiet())
            promote(runtime.tables, name)
