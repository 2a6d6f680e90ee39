"""Where the clock goes with two workers: what two cores can give, and how long each phase takes.

Two workers are no quicker than two processes that share nothing, and than all processor time shared
by two cores. On a machine that does anything else at the same time these figures say nothing.
"""

import os
import statistics
import time
from concurrent.futures import Executor, wait
from typing import NamedTuple

from busy import Busy, busy, one_core
from measure import RUNS, fresh_runtime
from peers import MEMORY
from rebuild_events import EVENTS, fill, line

from consumers import building
from consumers.building import Means, Progress, executor
from infra.database import url_of
from infra.read_models.versions import drop
from infra.runtime import Runtime
from infra.store.envelope import decode

NAME = "customer_view"
DECODED = 200_000


class Phases:
    """Notes when each phase of a rebuild began."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}

    def progress(self, progress: Progress) -> None:
        """Take note of how far it is."""
        self.began.setdefault(progress.phase, time.perf_counter())

    def poison(self, poison: object) -> None:
        """There is none."""
        raise AssertionError(poison)

    def seconds(self) -> dict[str, float]:
        """Give how long each phase took, now that the last one is over."""
        ends = [*list(self.began.values())[1:], time.perf_counter()]
        return {name: end - self.began[name] for name, end in zip(self.began, ends, strict=True)}


class Took(NamedTuple):
    """What a rebuild took, altogether and by phase."""

    spent: Busy
    phases: dict[str, float]


def main() -> None:
    """Measure starting, the cores, and rebuilds with one worker and with two by turns."""
    first, again = starting(), starting()
    line("seconds until two workers are there", first=first, again=again)
    with fresh_runtime() as runtime:
        fill(runtime, EVENTS)
        cores(runtime)
        taken: dict[int, list[Took]] = {1: [], 2: []}
        alone: list[Took] = []
        for _ in range(RUNS):
            with one_core(runtime.pool):
                alone.append(rebuilt_by(runtime, 1))
            for workers, found in taken.items():
                found.append(rebuilt_by(runtime, workers))
        tell(taken, statistics.median(each.spent.wall for each in alone))


def starting() -> float:
    """Give how long it takes until two workers have done nothing."""
    began = time.perf_counter()
    with executor(2) as hands:
        wait([hands.submit(os.getpid) for _ in range(2)])
    return time.perf_counter() - began


def cores(runtime: Runtime) -> None:
    """Tell how much more two processes get done than one when they share nothing."""
    with runtime.pool.connection() as conn:
        [(envelope,)] = conn.execute("SELECT envelope FROM crm.event LIMIT 1").fetchall()
    with executor(2) as hands:
        spin(hands, envelope, 2)  # both are there
        alone, together = (
            statistics.median(spin(hands, envelope, number) for _ in range(RUNS))
            for number in (1, 2)
        )
    line("two processes that share nothing, against one", ratio=2 * alone / together)


def spin(hands: Executor, envelope: bytes, number: int) -> float:
    """Give the seconds in which as many processes decode the same, each for itself."""
    began = time.perf_counter()
    for each in [hands.submit(decoded, envelope) for _ in range(number)]:
        each.result()
    return time.perf_counter() - began


def decoded(envelope: bytes) -> None:
    """Do what a worker mostly does, without a server."""
    for _ in range(DECODED):
        decode(envelope)


def rebuilt_by(runtime: Runtime, workers: int) -> Took:
    """Rebuild, and drop what was built."""
    phases, means = Phases(), Means(url_of(runtime.pool), workers, MEMORY)
    found: list[dict[str, float]] = []

    def build() -> None:
        table = building.rebuild(runtime.tables, NAME, means, phases)
        found.append(phases.seconds())
        drop(runtime.tables, NAME, table.version)

    spent = busy(runtime.pool, build)
    return Took(spent, found[0])


def tell(taken: dict[int, list[Took]], alone: float) -> None:
    """Print the medians, what they make of two workers, and what they could make at most."""
    wall, both = {}, {}
    for workers, found in taken.items():
        wall[workers] = statistics.median(each.spent.wall for each in found)
        both[workers] = statistics.median(each.spent.both for each in found)
        phases = {p: statistics.median(e.phases[p] for e in found) for p in found[0].phases}
        case = f"{NAME}, {EVENTS:,} events, workers: {workers}"
        line(case, seconds=wall[workers], processor=both[workers], **phases)
    line(
        "two workers against one, by the clock", ratio=wall[1] / wall[2],
        at_most=wall[1] / (both[2] / 2), against_one_on_one_core=alone / wall[2],
        load=os.getloadavg()[0],
    )  # fmt: skip


if __name__ == "__main__":
    main()
