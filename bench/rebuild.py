"""Rebuilding read models: against the library's runner, against the limit, by size and by workers.

All on the same events of a realistic mix. The limit is reading the same log without applying
anything, and one COPY of the finished rows. `CRM_BENCH_EVENTS` says how many events there are.
`peers.py` compares with stream processors.
"""

import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from random import Random

from eventsourcing.application import Application
from follow import fill_library, recorded
from library import follow_rate, settings
from measure import RUNS, fresh_runtime, machine, report, rounded
from peers import MEMORY, Quiet
from psycopg import sql

from commands.ports import Batch
from consumers import building
from consumers.building import Means, executor
from consumers.rebuild import PAGE
from consumers.switching import promote
from domain.case import AgentAnswered, CaseOpened, CaseResolved, CustomerWrote
from domain.customer import CustomerRegistered, IdentifierAdded, PurchaseRecorded, SatisfactionRated
from domain.events import Event
from domain.interaction import InteractionRecorded
from domain.lead import LeadCaptured, LeadStageMoved, LeadWon
from domain.values import Money
from infra.bulk import Bulk
from infra.database import pool as open_pool
from infra.database import url_of
from infra.ids import uuid7
from infra.log import BUCKETS, EmbeddedLog
from infra.read_models import drop
from infra.runtime import Runtime, open_runtime
from infra.sequencing import Sequencing
from infra.settings import Settings
from infra.tables import Key
from projections.catalogue import BY_NAME

EVENTS = int(os.environ.get("CRM_BENCH_EVENTS", "1000000"))
LIBRARY_EVENTS = 1_500
PER_CUSTOMER = 20
NAMES = ("customer_view", "sales_pipeline", "sla_clocks", "churn_alerts")
CHANNELS = ("mail", "chat", "phone", "shop")
TENTH = EVENTS // PER_CUSTOMER * 4_500 // 10
"""A tenth of what the rows of the customer view are estimated at."""


def lives(chance: Random, customer: str) -> list[tuple[str, Event]]:
    """What one customer does: mostly contacts, some purchases, now and then a lead or a case."""
    told: list[tuple[str, Event]] = [
        (customer, CustomerRegistered(kind="person", stage="stranger", channel="mail")),
        (customer, IdentifierAdded(number=1, kind="email", system="", value=f"{customer}@x.org")),
    ]
    if chance.random() < 0.3:
        told += lead(chance, customer)
    if chance.random() < 0.4:
        told += case(customer)
    while len(told) < PER_CUSTOMER:
        if chance.random() < 0.2:
            amount = Money(amount=chance.randrange(10_000), currency="EUR")
            told.append((customer, PurchaseRecorded(amount=amount)))
        elif chance.random() < 0.05:
            told.append((customer, SatisfactionRated(scale="nps", score=chance.randrange(11))))
        else:
            message = f"Where is order {chance.randrange(10**9)}? It should be here by now."
            channel = chance.choice(CHANNELS)
            contact = InteractionRecorded(
                channel=channel, direction="inbound", kind="message", message=message
            )
            told.append((uuid7(), contact))
    return told


def lead(chance: Random, customer: str) -> list[tuple[str, Event]]:
    stream, worth = uuid7(), Money(amount=chance.randrange(10**6), currency="EUR")
    captured = LeadCaptured(
        customer=customer, source="web", pipeline="sales", stage="new", probability=10
    )
    moved = LeadStageMoved(stage="offer", probability=60)
    return [(stream, captured), (stream, moved), (stream, LeadWon(value=worth))]


def case(customer: str) -> list[tuple[str, Event]]:
    stream = uuid7()
    opened = CaseOpened(
        customer=customer, channel="mail", category="order", priority="normal", title="Help"
    )
    said = (CustomerWrote(message="Hello?"), AgentAnswered(agent="mia", message="Soon."))
    return [(stream, each) for each in (opened, *said, CaseResolved(resolution="sent"))]


def fill(runtime: Runtime, events: int, started: int = 0) -> None:
    """Add so many events; a hundred customers live at the same time."""
    chance, sequencing = Random(started), Sequencing(runtime.pool, "bench", seconds=60)
    for first in range(0, events, 100 * PER_CUSTOMER):
        waiting = [(c, lives(chance, c)) for c in (uuid7() for _ in range(100))]
        versions: dict[str, int] = {}
        batch = []
        for turn in range(PER_CUSTOMER):
            for subject, told in waiting:
                stream, event = told[turn]
                versions[stream] = versions.get(stream, 0) + 1
                number = started + first + turn
                batch.append(recorded(event, subject, stream, versions[stream], number))
        runtime.store.append(Batch("bench", batch))
        while sequencing.run_once():
            pass
    sequencing.lease.give_up()


# ---- What is measured ----------------------------------------------------------------------------


def rebuilt(runtime: Runtime, names: tuple[str, ...], workers: int, memory: int = MEMORY) -> float:
    """Build the next versions and drop them again; gives the seconds for all of them."""
    seconds = 0.0
    for name in names:
        means = Means(url_of(runtime.pool), workers, memory)
        began = time.perf_counter()
        table = building.rebuild(runtime.tables, name, means, Quiet())
        seconds += time.perf_counter() - began
        drop(runtime.tables, name, table.version)
    return seconds


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
            len(events.read_slice(at, min(at + PAGE, head), ignored, (low, high)))
            for at in range(0, head, PAGE)
        )


def followed(runtime: Runtime) -> None:
    """Bring the versions that serve level, for the finished rows."""
    for name in NAMES:
        if runtime.tables[name].position() < runtime.events.head():
            means = Means(url_of(runtime.pool), 2, MEMORY)
            building.rebuild(runtime.tables, name, means, Quiet())
            promote(runtime.tables, name)


def peak(task: Callable[..., float], *arguments: object) -> tuple[float, float]:
    """Run in a process of its own; gives its result and how many MB it took at most."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, fresh) as alone:
        return alone.submit(measured, task, arguments).result()


def measured(task: Callable[..., float], arguments: tuple[object, ...]) -> tuple[float, float]:
    result = task(*arguments)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return result, int(status["VmHWM"].split()[0]) / 1000


def alone(url: str, directory: str, name: str, memory: int) -> float:
    """Rebuild in this process alone."""
    with open_runtime(Settings(database_url=url, directory=Path(directory))) as runtime:
        return rebuilt(runtime, (name,), 1, memory)


def line(case: str, **figures: object) -> None:
    told = {name: rounded(v) if isinstance(v, float) else v for name, v in figures.items()}
    print(json.dumps({"bench": "rebuild", "case": case, **told, "machine": machine()}), flush=True)


def main() -> None:
    with fresh_runtime() as runtime:
        url, directory = url_of(runtime.pool), str(runtime.settings.directory)
        grown, sizes, took = 0, [EVENTS // 10, EVENTS // 3, EVENTS], {}
        for size in sizes:
            fill(runtime, size - grown, grown)
            grown = size
            with runtime.pool.connection() as conn:
                conn.execute("VACUUM ANALYZE")
            took[size], most = peak(alone, url, directory, "customer_view", MEMORY)
            _, least = peak(alone, url, directory, "customer_view", TENTH)
            line(
                f"customer view, {size:,} events, one worker", events_per_second=size / took[size],
                peak_mb=most, peak_mb_with_a_tenth_of_the_memory=least,
            )  # fmt: skip
        slope = (took[EVENTS] / EVENTS) / (took[sizes[0]] / sizes[0])
        line("seconds an event, largest log against smallest", ratio=slope, met=slope <= 1.25)
        followed(runtime)
        compare(runtime, grown)


def compare(runtime: Runtime, events: int) -> None:
    application = Application(env=settings(str(runtime.settings.database_url)))
    fill_library(application)
    application.close()
    pairs = []
    for _ in range(RUNS):
        one, two = rebuilt(runtime, NAMES, 1), rebuilt(runtime, NAMES, 2)
        least = limit(runtime, NAMES, 2)
        with runtime.pool.connection() as conn:
            conn.execute("DROP TABLE IF EXISTS library_customer_view, counted_tracking")
        rate = follow_rate(settings(str(runtime.settings.database_url)), LIBRARY_EVENTS)
        pairs.append((one, two, least, rate))
    one, two, least, rate = (statistics.median(column) for column in zip(*pairs, strict=True))
    all_events = events * len(NAMES)
    case = "events/s into all four read models"
    report("rebuild", f"{case}, against eventsourcing 9.5.6", all_events / two, rate, 60, RUNS)
    report("rebuild", f"{case}, against the limit", all_events / two, all_events / least, 0.3, RUNS)
    report(
        "rebuild", f"{case}, two workers against one", all_events / two, all_events / one, 1.6, RUNS
    )


if __name__ == "__main__":
    main()
