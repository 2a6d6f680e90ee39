"""What goes on while a read model is rebuilt: the lag of the one that serves, and every write.

Real processes: sequencer, follower and rebuild as `crm` runs them; the writers are here. The lag of
an event is the time from its commit until the read model that serves has it.
"""

import os
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import latency
from measure import as_a_service, fresh_runtime, report
from rebuild_events import EVENTS, fill, line

from infra.runtime import Runtime

CRM = str(Path(sys.executable).with_name("crm"))
NAME = "customer_view"
SECONDS = 15.0
WARM_SECONDS = 2.0
"""Connections are made and the writers' program is loaded meanwhile."""
PACES = {"at 200 events/s": 200.0, "at full speed": 1e9}
WRITTEN = "SELECT count(*) FROM crm.event WHERE type = 'customer.purchase_recorded.v1'"
SERVED = f"SELECT sum(purchases) FROM read.{NAME}"


def main() -> None:
    """Write at each pace, by turns without a rebuild and during one; then let the new one serve."""
    with as_a_service() as alike, fresh_runtime() as runtime:
        if not alike:
            print("# Processors are shared by session here: waits of 200 ms are the kernel's.")
        fill(runtime, EVENTS)
        with runtime.pool.connection() as conn:
            conn.execute("VACUUM ANALYZE")  # as the server would have, in the time that it took
        with live(runtime):
            catch_up(runtime)
            for pace, rate in PACES.items():
                latency.RATE = rate
                latency.write(runtime, WARM_SECONDS, {})
                usual = lags(runtime)
                with rebuilding(runtime):
                    during = lags(runtime)
                tell(pace, usual, during)
            crm(runtime, "projections", "rebuild", NAME, "--promote").wait()
            catch_up(runtime)
        with runtime.pool.connection() as conn:
            written, served = (conn.execute(query).fetchone() for query in (WRITTEN, SERVED))
        line("purchases written, and in the version that serves now", written=written[0],
             served=int(served[0]), met=written == served)  # fmt: skip


def crm(runtime: Runtime, *command: str) -> subprocess.Popen[bytes]:
    """Start a command of the program."""
    env = os.environ | {
        "CRM_DATABASE_URL": str(runtime.settings.database_url),
        "CRM_DIRECTORY": str(runtime.settings.directory),
    }
    return subprocess.Popen(
        [CRM, *command], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


@contextmanager
def live(runtime: Runtime) -> Iterator[None]:
    """Run the sequencer and the follower."""
    started = [crm(runtime, "sequencer"), crm(runtime, "follow", NAME)]
    try:
        yield
    finally:
        for each in started:
            each.terminate()
        for each in started:
            each.wait(30)


@contextmanager
def rebuilding(runtime: Runtime) -> Iterator[None]:
    """Rebuild again and again, on both cores, until it is enough."""
    enough = threading.Event()

    def repeat() -> None:
        while not enough.is_set():
            crm(runtime, "projections", "rebuild", NAME, "--workers", "2").wait()
            crm(runtime, "projections", "cancel", NAME).wait()

    thread = threading.Thread(target=repeat)
    thread.start()
    time.sleep(2)  # it has begun
    yield
    enough.set()
    thread.join()


def lags(runtime: Runtime) -> list[float]:
    """Write for a while; give the milliseconds that each event took from commit to effect."""
    told: dict[str, tuple[float, float]] = {}
    moments: list[tuple[int, float]] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.002):
            reached = runtime.tables[NAME].reached()
            if not moments or reached > moments[-1][0]:
                moments.append((reached, time.perf_counter()))

    looking = threading.Thread(target=look)
    looking.start()
    latency.write(runtime, SECONDS, told)
    catch_up(runtime)
    done.set()
    looking.join()
    with runtime.pool.connection() as conn:
        positions = conn.execute(latency.POSITIONS, [list(told)]).fetchall()
    return sorted(
        1000 * max(0.0, moments[bisect_left(moments, (position, 0.0))][1] - told[commandid][1])
        for position, commandid in positions
    )


def catch_up(runtime: Runtime) -> None:
    """Wait until everything is numbered and followed."""
    while True:
        with runtime.pool.connection() as conn:
            (pending,) = conn.execute("SELECT count(*) FROM crm.pending").fetchone() or (0,)
        if not pending and runtime.tables[NAME].reached() >= runtime.events.head():
            time.sleep(0.05)  # whoever looks has seen it too
            return
        time.sleep(0.02)


def tell(pace: str, usual: list[float], during: list[float]) -> None:
    """Print the middle and the worst hundredth, during against usual; twice as long is allowed."""
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        before, now = (each[int(len(each) * share)] for each in (usual, during))
        case = f"{name} of the live lag in ms {pace}, during a rebuild against without"
        report("rebuild", case, now, before, 0.5, 1, less=True)
    rates = [len(each) / SECONDS for each in (usual, during)]
    line(f"writes a second {pace}, without and during", usual=rates[0], during=rates[1],
         load=os.getloadavg()[0])  # fmt: skip
