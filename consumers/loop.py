"""How a loop waits, stops and survives a fault of what it depends on."""

import threading
from collections.abc import Callable

import psycopg
import structlog
from psycopg_pool import PoolTimeout

IDLE_SECONDS = 0.005
FAULT_PAUSE_SECONDS = 0.5
FAULT_PAUSE_SECONDS_MAX = 5.0

log = structlog.get_logger()


def run(name: str, step: Callable[[], bool], stop: threading.Event) -> None:
    """Repeat a step until told to stop; a step tells whether there may be more to do at once.

    When the database is away, the loop says so once per pause and tries again.
    """
    pause = FAULT_PAUSE_SECONDS
    while not stop.is_set():
        try:
            more = step()
        except (psycopg.OperationalError, PoolTimeout) as error:
            log.warning("loop.database_away", loop=name, error=type(error).__name__)
            stop.wait(pause)
            pause = min(pause * 2, FAULT_PAUSE_SECONDS_MAX)
            continue
        pause = FAULT_PAUSE_SECONDS
        if not more:
            stop.wait(IDLE_SECONDS)
