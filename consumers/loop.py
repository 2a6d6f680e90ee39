"""How a loop waits, stops, and survives a fault of itself or of what it depends on."""

import threading
import traceback
from collections.abc import Callable

import structlog

IDLE_SECONDS = 0.005
IDLE_SECONDS_MAX = 0.05
"""How long to wait before looking again: twice as long each time that there is nothing to do."""
FAULT_PAUSE_SECONDS = 0.5
FAULT_PAUSE_SECONDS_MAX = 5.0

log = structlog.get_logger()


def run(name: str, step: Callable[[], bool], stop: threading.Event) -> None:
    """Repeat a step until told to stop; a step tells whether there may be more to do at once.

    Whatever a step raises, what it was doing is not marked as done: it is tried again after a
    pause. A loop never ends by itself and never passes anything over.
    """
    pause, idle = FAULT_PAUSE_SECONDS, IDLE_SECONDS
    while not stop.is_set():
        try:
            more = step()
        except Exception as error:  # a dead loop would go unnoticed
            log.error(  # noqa: TRY400 - a traceback could quote personal data
                "loop.fault", loop=name, error=type(error).__name__, at=place(error)
            )
            stop.wait(pause)
            pause = min(pause * 2, FAULT_PAUSE_SECONDS_MAX)
            continue
        pause = FAULT_PAUSE_SECONDS
        if more:
            idle = IDLE_SECONDS
        else:
            stop.wait(idle)
            idle = min(idle * 2, IDLE_SECONDS_MAX)


def place(error: Exception) -> str:
    """Tell where an error was raised; its message may quote personal data and is left out."""
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-4:]))
