"""Building a version of a read model: workers fold its slices, then it follows the log until level.

The one who builds is alone (`presence`) and holds the version's token; a pause from elsewhere is
seen within a page, and building goes on when it is over.
"""

import gc
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures import ThreadPoolExecutor as InProcess
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, Protocol

from consumers.follow import advance
from consumers.rebuild import Paused, fold_slice
from infra.database import pool as open_pool
from infra.read_models.builds import Build, Poison, Slice, begin, begin_check, presence
from infra.read_models.tables import Moved, Table
from infra.read_models.versions import ServingTables
from infra.store.log import BUCKETS, EmbeddedLog
from projections.catalogue import BY_NAME

LOOK_SECONDS = 0.25
LEVEL = 1_000
"""So few positions behind the head, a version is as level as one that is followed."""

SMALL = 200_000
"""Starting processes takes longer than folding so few events."""

NICE = 10
"""How much workers give way: beside one busy thread of the usual priority they get a tenth."""

CHECK = 0
"""The number of a version that only serves to be compared with."""


class Progress(NamedTuple):
    """How far a version is; the target is the head of the log when its building began."""

    version: int
    phase: str
    position: int
    target: int
    share: float
    events: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Give the events a second since this process is at it."""
        return self.events / self.seconds if self.seconds else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """Give how long it still takes to the target; None when nobody knows yet."""
        return None if not self.share else self.seconds * (1 - self.share) / self.share


class Watch(Protocol):
    """Who is told how it goes."""

    def progress(self, progress: Progress) -> None:
        """Take note of how far it is."""

    def poison(self, poison: Poison) -> None:
        """Take note of an event that could not be applied."""


class Means(NamedTuple):
    """With what to build: where the database is, how many workers, how much memory for all."""

    url: str
    workers: int
    memory: int


def rebuild(tables: ServingTables, name: str, means: Means, watch: Watch) -> Table:
    """Build the next version of a read model, or go on building it, until it is level."""
    with presence(means.url, name), open_pool(means.url, 2) as pool:
        events = EmbeddedLog(pool)
        build = begin(pool, partial(tables.version, name), name, events.head(), means.workers)
        bring_forward(build, events, means, watch)
        build.hand_over()
        return build.table


@contextmanager
def checked(tables: ServingTables, name: str, means: Means, watch: Watch) -> Iterator[Table]:
    """Fold a read model afresh, only to compare with; it is dropped afterwards."""
    with presence(means.url, name), open_pool(means.url, 2) as pool:
        events, table = EmbeddedLog(pool), tables.version(name, CHECK)
        build = begin_check(pool, table, events.head(), means.workers)
        try:
            bring_forward(build, events, means, watch)
            yield table
        finally:
            table.drop()


def bring_forward(build: Build, events: EmbeddedLog, means: Means, watch: Watch) -> None:
    """Fold what is not folded yet, make what finds rows, and follow until level."""
    looking = Looking(build, watch)
    while not build.is_complete():
        try:
            fold_all(build, means, looking)
            looking.look("indexing")
            build.complete()
        except Paused:
            wait_for_resume(build, looking)
    while True:
        try:
            if follow(build, events, looking):
                return
        except Moved:
            wait_for_resume(build, looking)


def follow(build: Build, events: EmbeddedLog, looking: "Looking") -> bool:
    """Take the next part of the log into account; tells whether the version is level."""
    advance(events, build.table)
    looking.look("following")
    return events.head() - build.table.position() <= LEVEL


def wait_for_resume(build: Build, looking: "Looking") -> None:
    """Stand still as long as the version is paused. Raises `TakenOver`."""
    while True:
        state = build.state()
        if state is None:
            raise build.taken_over()
        if not state.paused:
            return
        looking.look("paused")
        time.sleep(LOOK_SECONDS)


# ---- Workers -------------------------------------------------------------------------------------


def fold_all(build: Build, means: Means, looking: "Looking") -> None:
    """Hand slices out to workers until all are finished; raises what a worker raised."""
    running: dict[Future[None], int] = {}
    workers = means.workers if build.target > SMALL else 1
    with executor(workers) as hands:
        while True:
            looking.look("folding")
            waiting = [s for s in build.slices() if not s.finished]
            for slice_ in waiting:
                if slice_.low not in running.values() and len(running) < workers:
                    running[hands.submit(work, order(build, slice_, means, workers))] = slice_.low
            if not running:
                return
            done, _ = wait(running, LOOK_SECONDS, FIRST_COMPLETED)
            for future in done:
                del running[future]
                future.result()


class Order(NamedTuple):
    """What a worker is to fold, and with what."""

    url: str
    projection: str
    version: int
    token: int
    target: int
    slice: Slice
    memory: int


def order(build: Build, slice_: Slice, means: Means, workers: int) -> Order:
    """Write down what a worker is to fold."""
    table, memory = build.table, means.memory // workers
    return Order(
        means.url, table.projection.name, table.version, build.token, build.target, slice_, memory
    )


def work(order: Order) -> None:
    """Fold a slice, on connections of its own: one that writes may have to read besides."""
    with open_pool(order.url, 2) as pool, without_gc():
        table = Table(pool, BY_NAME[order.projection], None, order.version)
        build = Build(table, order.token, order.target)
        fold_slice(EmbeddedLog(pool), build, order.slice, order.memory)


@contextmanager
def without_gc() -> Iterator[None]:
    """Look for no cycles: rows have none, and looking through all of them again takes a third."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def executor(workers: int) -> Executor:
    """Make hands that work: processes, but one alone needs none.

    They come from a process that has loaded everything: doing so takes each a second of its own.
    """
    if workers == 1:
        return InProcess(1, initializer=give_way)
    loaded_once = multiprocessing.get_context("forkserver")
    loaded_once.set_forkserver_preload(["consumers.building"])
    return ProcessPoolExecutor(workers, loaded_once, initializer=stay_behind)


def stay_behind() -> None:
    """Give way, and leave no worker behind when the process that started it is killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    give_way()


def give_way() -> None:
    """Let whatever else wants the processor go first: what serves must not be late for a rebuild.

    It holds for this thread alone on Linux, elsewhere for the process.
    """
    os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))


class Looking:
    """Looks at how a version comes on, and tells it."""

    def __init__(self, build: Build, watch: Watch) -> None:
        self._build, self._watch = build, watch
        self._began = time.monotonic()
        slices = build.slices()
        self._share, self._events = share(slices, build.target), sum(s.events for s in slices)
        self._told: set[tuple[str, str]] = set()

    def look(self, phase: str) -> None:
        """Tell how far it is, and which events could not be applied since the last time."""
        build, slices = self._build, self._build.slices()
        target = build.target
        following = phase == "following"
        done = share(slices, target)
        self._watch.progress(
            Progress(
                build.table.version,
                phase,
                build.table.position() if following else min((s.seen for s in slices), default=0),
                target,
                1.0 if following else max(0.0, done - self._share) / max(1e-9, 1 - self._share),
                sum(s.events for s in slices) - self._events,
                time.monotonic() - self._began,
            )
        )
        for poison in build.parked():
            if (poison.tenant, poison.key) not in self._told:
                self._told.add((poison.tenant, poison.key))
                self._watch.poison(poison)


def share(slices: list[Slice], target: int) -> float:
    """Tell which share of the work is done: of every customer, up to the target."""
    if not target:
        return 1.0
    return sum((s.high - s.low + 1) * s.seen for s in slices) / (target * BUCKETS)
