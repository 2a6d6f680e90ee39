"""The sequencer: gives every committed event its position in the log."""

import threading

import structlog

from consumers.loop import run
from infra.sequencing import Fenced, Sequencing

log = structlog.get_logger()


def sequence(sequencing: Sequencing, stop: threading.Event) -> None:
    """Number events for as long as the lease is ours; otherwise stand by to take it over."""

    def step() -> bool:
        if sequencing.epoch is None:
            if not sequencing.take_lease():
                stop.wait(sequencing.seconds / 10)
                return False
            log.info("sequencer.leading", holder=sequencing.holder, epoch=sequencing.epoch)
        try:
            return sequencing.number() == sequencing.limit
        except Fenced as fenced:
            log.warning("sequencer.fenced", holder=sequencing.holder, reason=str(fenced))
            return False

    run("sequencer", step, stop)
    sequencing.give_up()
