"""All loops of one process, started together and stopped together."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from consumers.follow import follow
from consumers.sequencer import sequence
from infra.runtime import Runtime
from infra.sequencing import Sequencing

STOP_SECONDS = 10.0

log = structlog.get_logger()


@contextmanager
def running(runtime: Runtime) -> Iterator[threading.Event]:
    """Run the sequencer and a follower for every read model while the block lasts."""
    stop = threading.Event()
    holder = f"{socket.gethostname()}/{os.getpid()}"
    loops = [
        threading.Thread(
            target=sequence, args=(Sequencing(runtime.pool, holder), stop), name="sequencer"
        ),
        *(
            threading.Thread(target=follow, args=(runtime.events, table, stop), name=table.name)
            for table in runtime.tables.values()
        ),
    ]
    for loop in loops:
        loop.start()
    log.info("service.started", loops=[loop.name for loop in loops])
    try:
        yield stop
    finally:
        stop.set()
        for loop in loops:
            loop.join(STOP_SECONDS)
        log.info("service.stopped", unfinished=[loop.name for loop in loops if loop.is_alive()])
