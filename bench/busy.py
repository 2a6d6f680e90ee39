"""Processor time of this process, its workers and the server: other load does not count in it."""

import os
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from infra.database import Pool

TICKS = os.sysconf("SC_CLK_TCK")


class Busy(NamedTuple):
    """Seconds by the clock, and of processors: of this process with its workers, of the server."""

    wall: float
    ours: float
    server: float

    @property
    def both(self) -> float:
        """Give the time of all processors."""
        return self.ours + self.server


def busy(pool: Pool, task: Callable[[], object]) -> Busy:
    """Run a task and tell how long it took; the server must be on this machine."""
    server = server_of(pool)
    began = (time.perf_counter(), seconds(os.getpid()), seconds(server))
    task()
    ended = (time.perf_counter(), seconds(os.getpid()), seconds(server))
    return Busy(*(after - before for before, after in zip(began, ended, strict=True)))


@contextmanager
def one_core(pool: Pool) -> Iterator[None]:
    """Keep this process and the server to one core, with all that they start meanwhile."""
    cores, server = os.sched_getaffinity(0), server_of(pool)
    keep(server, {min(cores)})
    try:
        yield
    finally:
        keep(server, cores)


def keep(server: int, cores: Set[int]) -> None:
    """Let this process and the server use some cores only."""
    for process in (os.getpid(), *family(server)):
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(process, cores)


def seconds(root: int) -> float:
    """Add up the time of a process, of all that it started, and of those that have ended."""
    return sum(sum(map(int, told[11:15])) for told in family(root).values()) / TICKS


def family(root: int) -> dict[int, list[str]]:
    """Give a process and all that it started, and what the system tells of each."""
    children: dict[int, list[int]] = {}
    told: dict[int, list[str]] = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit() and (state := stat(int(each.name))):
            children.setdefault(int(state[1]), []).append(int(each.name))
            told[int(each.name)] = state
    waiting, found = [root], {}
    while waiting:
        process = waiting.pop()
        if process in told:
            found[process] = told[process]
        waiting += children.get(process, ())
    return found


def server_of(pool: Pool) -> int:
    """Give the process from which the server's others come."""
    with pool.connection() as conn:
        return int(stat(conn.info.backend_pid)[1])


def stat(process: int) -> list[str]:
    """Read what the system tells of a process, from its state on; nothing when it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []
