"""Processor time of this process, its workers and the server: other load does not count in it."""

import os
import time
from collections.abc import Callable
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
    with pool.connection() as conn:
        server = int(stat(conn.info.backend_pid)[1])
    began = (time.perf_counter(), seconds(os.getpid()), seconds(server))
    task()
    ended = (time.perf_counter(), seconds(os.getpid()), seconds(server))
    return Busy(*(after - before for before, after in zip(began, ended, strict=True)))


def seconds(root: int) -> float:
    """Add up the time of a process, of all that it started, and of those that have ended."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit() and (told := stat(int(each.name))):
            children.setdefault(int(told[1]), []).append(int(each.name))
            ticks[int(each.name)] = sum(map(int, told[11:15]))
    waiting, total = [root], 0
    while waiting:
        process = waiting.pop()
        total += ticks.get(process, 0)
        waiting += children.get(process, ())
    return total / TICKS


def stat(process: int) -> list[str]:
    """Read what the system tells of a process, from its state on; nothing when it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []
