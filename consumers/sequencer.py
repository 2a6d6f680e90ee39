"""The sequencer: gives every committed event its position in the log."""

import threading

import structlog

from consumers.loop import run
from infra.lease import Fenced
from infra.store.sequencing import Sequencing

GATHER_SECONDS = 0.005
"""How long to let events gather: numbering them is a commit, for one as for thousands."""

log = structlog.get_logger()


def sequence(sequencing: Sequencing, stop: threading.Event) -> None:
    """Number events for as long as the lease is ours; otherwise stand by to take it over."""
    lease = sequencing.lease

    def step() -> bool:
        if lease.epoch is None:
            if not lease.take():
                stop.wait(lease.seconds / 10)
                return False
            log.info("sequencer.leading", holder=lease.holder, epoch=lease.epoch)
        try:
            numbered = sequencing.number()
        except Fenced as fenced:
            log.warning("sequencer.fenced", holder=lease.holder, reason=str(fenced))
            return False
        if 0 < numbered < sequencing.limit:
            stop.wait(GATHER_SECONDS)
        return numbered > 0

    run("sequencer", step, stop)
    lease.give_up()
