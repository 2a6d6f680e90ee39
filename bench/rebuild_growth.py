"""Rebuilding by the length of the log: time an event and memory, at powers of ten.

`CRM_BENCH_EVENTS=10000000 make bench NAME=rebuild ARGS=--growth` goes to ten million. Beyond one
million, what the first tenant's customers did is done by those of further tenants.
"""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from math import log
from pathlib import Path

from busy import Busy, busy
from measure import fresh_runtime
from peers import MEMORY
from rebuild_events import EVENTS, PER_CUSTOMER, fill, line, rebuilt

from infra.database import url_of
from infra.runtime import Runtime, open_runtime
from infra.settings import Settings
from infra.store.sequencing import Sequencing

MADE = 1_000_000
NAME = "customer_view"
ROW_ROOM = 4_500
"""What a row of it is estimated at in memory, in bytes."""

COPY = """
INSERT INTO crm.event (tenant, stream, version, type, subject, envelope)
SELECT %(tenant)s, stream, version, type, subject, convert_to(replace(
    convert_from(envelope, 'UTF8'), '"tenant":"bench"', '"tenant":"' || %(tenant)s || '"'), 'UTF8')
FROM crm.event WHERE tenant = 'bench' ORDER BY seq
"""
PENDING = "INSERT INTO crm.pending SELECT seq FROM crm.event WHERE tenant = %(tenant)s"


def main() -> None:
    """Measure nothing else."""
    with fresh_runtime() as runtime:
        grow(runtime)


def grow(runtime: Runtime) -> None:
    """Rebuild at each power of ten from 10⁵ on and at all events, with one worker; then compare."""
    sizes = [*(10**power for power in range(5, 9) if 10**power < EVENTS), EVENTS]
    usual: dict[int, Busy] = {}
    ample: dict[int, Busy] = {}
    grown = 0
    for size in sizes:
        extend(runtime, grown, size)
        grown = size
        usual[size], ample[size] = measure(runtime, size)
    slopes(usual, "the same memory")
    if ample != usual:
        slopes(ample, "room for all rows")


def slopes(spent: dict[int, Busy], given: str) -> None:
    """Compare what an event costs in the longest log with what it costs in each shorter one.

    Time grows as that power of the length which is told; 1 is in proportion.
    """
    *others, last = spent
    for other in others:
        ratio = (spent[last].both / last) / (spent[other].both / other)
        case = f"processor time an event with {given}, {last:,} events against {other:,}"
        power = 1 + log(ratio) / log(last / other)
        line(case, ratio=ratio, power=power, goal=1.25, met=ratio <= 1.25)


def extend(runtime: Runtime, grown: int, size: int) -> None:
    """Let the log grow to so many events."""
    if grown < MADE:
        fill(runtime, min(size, MADE) - grown, grown)
    sequencing = Sequencing(runtime.pool, "bench", seconds=60, limit=100_000)
    for number in range(max(1, grown // MADE), size // MADE):
        with runtime.pool.connection() as conn, conn.transaction():
            conn.execute(COPY, {"tenant": f"bench{number}"})
            conn.execute(PENDING, {"tenant": f"bench{number}"})
        while sequencing.run_once():
            pass
    sequencing.lease.give_up()
    with runtime.pool.connection() as conn:
        conn.execute("VACUUM ANALYZE crm.event, crm.log")


def measure(runtime: Runtime, size: int) -> tuple[Busy, Busy]:
    """Rebuild with the memory that is given by default, and with a tenth of what the rows need.

    Gives what it took by default, and with room for all rows where that is more.
    """
    needed = size // PER_CUSTOMER * ROW_ROOM
    usual, _ = [spent_with(runtime, size, memory) for memory in (MEMORY, needed // 10)]
    return usual, usual if needed <= MEMORY else spent_with(runtime, size, needed * 5 // 4)


def spent_with(runtime: Runtime, size: int, memory: int) -> Busy:
    """Rebuild in a process of its own, and tell what that took."""
    where = url_of(runtime.pool), str(runtime.settings.directory)
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, fresh) as alone:
        spent, most = alone.submit(measured, *where, memory).result()
    line(
        f"{NAME}, {size:,} events, one worker", memory_mb=memory / 1e6, peak_mb=most,
        events_per_second=size / spent.wall, processor_us_an_event=spent.both / size * 1e6,
        worker_us=spent.ours / size * 1e6, server_us=spent.server / size * 1e6,
        load=os.getloadavg()[0],
    )  # fmt: skip
    return spent


def measured(url: str, directory: str, memory: int) -> tuple[Busy, float]:
    """Rebuild; gives what it took, and how many MB of memory at most."""
    with open_runtime(Settings(database_url=url, directory=Path(directory))) as runtime:
        spent = busy(runtime.pool, partial(rebuilt, runtime, (NAME,), 1, memory))
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return spent, int(status["VmHWM"].split()[0]) / 1000
