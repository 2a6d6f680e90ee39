"""From a command to its effect in the read model, at 200 events a second, hop by hop.

Real processes: sequencer, relay and follower of the customer view as `crm` runs them; the writers
are here. Watermarks are read every two milliseconds: what is numbered, published, followed. An
event has come to a hop when its position is at or below the watermark.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, pairwise
from pathlib import Path

from brokers import broker, fresh_topic
from measure import fresh_runtime, machine, rounded

from commands.command import ByExternalId
from commands.customers import RecordPurchase
from commands.execute import execute
from commands.ports import Request, Who
from domain.values import Money
from infra.ids import uuid7
from infra.read_models.tables import Table
from infra.runtime import Runtime

RATE = 200
WRITERS = 8
WHO = Who("bench", "bench")
HOPS = ("committed", "numbered", "published", "followed")
WATERMARKS = """
SELECT (SELECT coalesce(max(position), 0) FROM crm.log),
       (SELECT coalesce(max(position), 0) FROM crm.published WHERE topic = %s)
"""
POSITIONS = """
SELECT l.position, c.commandid::text FROM crm.command c JOIN crm.log l USING (seq)
WHERE c.commandid = ANY(%s::uuid[])
"""


@contextmanager
def roles(runtime: Runtime, bootstrap: str, topic: str) -> Iterator[None]:
    """Run the way of an event, one process a role."""
    env = {
        "CRM_DATABASE_URL": str(runtime.settings.database_url),
        "CRM_DIRECTORY": str(runtime.settings.directory),
        "CRM_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "CRM_KAFKA_PREFIX": topic.removesuffix(".events"),
        "CRM_KAFKA_REPLICAS": "1",
    }
    crm = str(Path(sys.executable).with_name("crm"))
    started = [
        subprocess.Popen([crm, *command], env=env, stderr=subprocess.DEVNULL)
        for command in (["sequencer"], ["relay"], ["follow", "customer_view"])
    ]
    try:
        yield
    finally:
        for each in started:
            each.terminate()
        for each in started:
            each.wait(30)


def write(runtime: Runtime, seconds: float, told: dict[str, tuple[float, float]]) -> None:
    """Ask for one purchase after another, each at its moment; note when it began and was kept."""
    numbers, began, guard = count(), time.perf_counter(), threading.Lock()

    def ask() -> None:
        while True:
            with guard:
                number = next(numbers)
            due = began + number / RATE
            if max(due, time.perf_counter()) - began > seconds:
                return
            time.sleep(max(0.0, due - time.perf_counter()))
            asked = Request(buy(number), uuid7())
            start = time.perf_counter()
            execute([asked], WHO, runtime.ports)
            told[asked.commandid] = (start, time.perf_counter())

    threads = [threading.Thread(target=ask) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def buy(number: int) -> RecordPurchase:
    """Let one of some customers buy something."""
    customer = ByExternalId(system="shop", id=str(number % 500))
    return RecordPurchase(customer=customer, amount=Money(amount=100, currency="EUR"))


class Watch:
    """Notes when each watermark came to where."""

    def __init__(self, runtime: Runtime, table: Table, topic: str) -> None:
        self._runtime, self._table, self._topic = runtime, table, topic
        self._seen: list[tuple[float, int, int, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def level(self) -> bool:
        """Tell whether everything was followed."""
        return bool(self._seen) and self._seen[-1][1] == self._seen[-1][3] > 0

    def moments(self, position: int) -> list[float]:
        """Tell when a position was numbered, published and followed."""
        return [
            next(marks[0] for marks in self._seen if marks[hop] >= position) for hop in (1, 2, 3)
        ]

    def _look(self) -> None:
        while not self._stop.wait(0.002):
            followed = self._table.reached()
            with self._runtime.pool.connection() as conn:
                numbered, published = conn.execute(WATERMARKS, [self._topic]).fetchone() or (0, 0)
            marks = (numbered, published, followed)
            if not self._seen or self._seen[-1][1:] != marks:
                self._seen.append((time.perf_counter(), *marks))


def spans(
    runtime: Runtime, watch: Watch, told: dict[str, tuple[float, float]]
) -> list[list[float]]:
    """Give the milliseconds that each event took for each hop."""
    with runtime.pool.connection() as conn:
        positions = conn.execute(POSITIONS, [list(told)]).fetchall()
    found = []
    for position, commandid in positions:
        start, committed = told[commandid]
        moments = [start, committed, *watch.moments(position)]
        found.append([1000 * max(0.0, b - a) for a, b in pairwise(moments)])
    return found


def report(found: list[list[float]]) -> None:
    """Print one line: percentiles of the whole, and the share of each hop in its mean."""
    whole = sorted(map(sum, found))
    means = [statistics.mean(hop) for hop in zip(*found, strict=True)]
    shares = {name: rounded(mean / sum(means)) for name, mean in zip(HOPS, means, strict=True)}
    p50, p99 = (rounded(whole[int(len(whole) * share)]) for share in (0.5, 0.99))
    line = {"bench": "latency", "case": f"ms to the customer view at {RATE} events/s",
            "events": len(whole), "p50_ms": p50, "p99_ms": p99, "share": shares,
            "machine": machine()}  # fmt: skip
    print(json.dumps(line), flush=True)


def main() -> None:
    """Write for a while, and tell how long each event took."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seconds", type=float, default=15.0)
    given = asked.parse_args()
    with broker() as bootstrap, fresh_runtime() as runtime:
        topic = fresh_topic(bootstrap, 4)
        table = Table(runtime.pool, runtime.tables["customer_view"].projection, topic)
        watch = Watch(runtime, table, topic)
        with roles(runtime, bootstrap, topic):
            write(runtime, 3.0, {})  # everybody is at work, every customer is known
            while not watch.level():
                time.sleep(0.05)
            told: dict[str, tuple[float, float]] = {}
            write(runtime, given.seconds, told)
            while not watch.level():
                time.sleep(0.05)
        watch.close()
        report(spans(runtime, watch, told))


if __name__ == "__main__":
    main()
