"""Rebuilding the customer view against stream processors that build it from the same topic.

Every program in `peers/` fills the columns that the `eventsourcing` control fills, in one table of
the same server, from the topic that our relay published; it is stopped when the table has all
facts, and its rows are compared with ours. The clock starts when a program has loaded itself.
`CRM_BENCH_PEER_EVENTS` says how many events there are.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from brokers import broker, fresh_topic, publish_all
from follow import fill
from kafka_follow import PARTITIONS
from measure import RUNS, fresh_runtime, report
from psycopg.conninfo import conninfo_to_dict

from consumers import building
from consumers.building import Means
from consumers.follow import advance
from infra.database import url_of
from infra.read_models import drop
from infra.runtime import Runtime

EVENTS = int(os.environ.get("CRM_BENCH_PEER_EVENTS", "100000"))
CUSTOMERS = (100, EVENTS // 5)
PROGRAMS = Path(__file__).parent / "peers"
SECONDS = 300
INSTALL_SECONDS = 300
MEMORY = 512_000_000

TABLE = """
DROP TABLE IF EXISTS public.peer_customer_view;
CREATE TABLE public.peer_customer_view (
    key text PRIMARY KEY, interactions bigint NOT NULL DEFAULT 0,
    channels jsonb NOT NULL DEFAULT '{}', purchases bigint NOT NULL DEFAULT 0,
    items bigint NOT NULL DEFAULT 0, revenue jsonb NOT NULL DEFAULT '{}',
    last_contact_at timestamptz, last_purchase_at timestamptz)
"""
FACTS = "SELECT coalesce(sum(interactions + purchases), 0) FROM {}"
DIFFERENT = """
SELECT count(*)
FROM read.customer_view v FULL JOIN public.peer_customer_view p ON p.key = v.key::text
WHERE (v.interactions, v.channels, v.purchases, v.items, v.revenue)
    IS DISTINCT FROM (p.interactions, p.channels, p.purchases, p.items, p.revenue)
  AND coalesce(v.interactions, 1) + coalesce(v.purchases, 1) > 0
"""


class Quiet:
    """Watches without a word."""

    def progress(self, progress: object) -> None:
        pass

    def poison(self, poison: object) -> None:
        raise AssertionError(poison)


class Peer(NamedTuple):
    """A stream processor: its packages, its program, and the goal against it."""

    name: str
    packages: tuple[str, ...]
    program: str
    goal: float


PEERS = (
    Peer("Pathway 0.33.0", ("pathway==0.33.0",), "pathway_view.py", 1.5),
    Peer(
        "Bytewax 0.21.1", ("bytewax[kafka]==0.21.1", "psycopg[binary]", "orjson"),
        "bytewax_view.py", 1,
    ),
    Peer("Quix Streams 3.28.1", ("quixstreams[postgresql]==3.28.1",), "quix_view.py", 1),
    Peer(
        "Faust 0.15.3", ("faust-streaming==0.15.3", "psycopg[binary]", "orjson"),
        "faust_view.py", 1,
    ),
)  # fmt: skip


class Failed(Exception):
    """A peer cannot be measured here; the sentence says why."""


@contextmanager
def installed(peer: Peer) -> Iterator[Path]:
    """Put a peer's packages into a temporary place; what was tried without success is told."""
    with tempfile.TemporaryDirectory(prefix="crm-bench-peer-") as place:
        for installer in ([sys.executable, "-m", "pip", "install"], ["uv", "pip", "install"]):
            asked = [*installer, "--quiet", "--target", place, *peer.packages]
            with suppress(OSError, subprocess.SubprocessError):
                subprocess.run(asked, capture_output=True, check=True, timeout=INSTALL_SECONDS)
                break
        else:
            raise Failed("its packages cannot be installed here")
        yield Path(place)


def peers_rate(runtime: Runtime, bootstrap: str, topic: str, peer: Peer, place: Path) -> float:
    """Give the events a second of a peer until its table has all facts. Raises `Failed`."""
    at = conninfo_to_dict(str(runtime.settings.database_url))
    where = [str(at.get(name, "5432")) for name in ("host", "port", "dbname", "user")]
    facts = number(runtime, FACTS.format("read.customer_view"))
    with runtime.pool.connection() as conn:
        conn.execute(TABLE)
    started = subprocess.Popen(
        [sys._base_executable, str(PROGRAMS / peer.program), bootstrap, topic, *where],
        env={**os.environ, "PYTHONPATH": str(place)}, cwd=place, text=True,
        stdout=subprocess.PIPE, stderr=(place / "errors").open("w"),
    )  # fmt: skip
    try:
        if started.stdout is None or started.stdout.readline() != "ready\n":
            raise Failed("it did not start: " + last_line(place / "errors"))
        began = time.perf_counter()
        while number(runtime, FACTS.format("public.peer_customer_view")) < facts:
            if time.perf_counter() - began > SECONDS:
                raise Failed(f"it was not ready after {SECONDS} s")
            if started.poll():
                raise Failed("it ended: " + last_line(place / "errors"))
            time.sleep(0.02)
        seconds = time.perf_counter() - began
    finally:
        started.kill()
        started.wait(30)
    if different := number(runtime, DIFFERENT):
        raise Failed(f"{different} of its rows are not as ours")
    return runtime.events.head() / seconds


def number(runtime: Runtime, query: str) -> int:
    """Ask for one number."""
    with runtime.pool.connection() as conn:
        row = conn.execute(query).fetchone()
    return int(row[0]) if row else 0


def last_line(errors: Path) -> str:
    """Give the last line a program wrote before it ended."""
    lines = errors.read_text().strip().splitlines()
    return lines[-1] if lines else "no word"


def ours(runtime: Runtime) -> float:
    """Rebuild until the version is level and indexed; gives the events a second."""
    means = Means(url_of(runtime.pool), os.cpu_count() or 1, MEMORY)
    began = time.perf_counter()
    table = building.rebuild(runtime.tables, "customer_view", means, Quiet())
    seconds = time.perf_counter() - began
    drop(runtime.tables, "customer_view", table.version)
    return runtime.events.head() / seconds


def compare_on(runtime: Runtime, bootstrap: str, case: str) -> None:
    """Measure ours and every peer by turns; a peer that fails gives a sentence, not a line."""
    topic = fresh_topic(bootstrap, PARTITIONS)
    publish_all(runtime, bootstrap, topic)
    while advance(runtime.events, runtime.tables["customer_view"]):
        pass
    for peer in PEERS:
        try:
            with installed(peer) as place:
                pairs = [
                    (ours(runtime), peers_rate(runtime, bootstrap, topic, peer, place))
                    for _ in range(RUNS)
                ]
        except Failed as failed:
            print(f"{peer.name} is not compared with: {failed}.", file=sys.stderr, flush=True)
            continue
        mine, its = (statistics.median(column) for column in zip(*pairs, strict=True))
        report("rebuild", f"{case} into the customer view, against {peer.name}", mine, its,
               peer.goal, RUNS)  # fmt: skip


def compare_peers() -> None:
    """Compare on few customers and on many."""
    for customers in CUSTOMERS:
        with fresh_runtime() as runtime, broker() as bootstrap:
            head = fill(runtime, EVENTS, customers)
            compare_on(runtime, bootstrap, f"{head:,} events of {customers:,} customers")
