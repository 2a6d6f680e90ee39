"""The announcer: keeps the compacted topic of a read model as its rows are, at least once."""

import threading

import structlog

from consumers.loop import run
from infra.kafka.announced import Announcement
from infra.lease import Fenced

log = structlog.get_logger()
IDLE_SECONDS = 0.2


def announce(announcement: Announcement, stop: threading.Event) -> None:
    """Announce for as long as the lease is ours; otherwise stand by to take it over."""
    lease = announcement.lease

    def step() -> bool:
        if lease.epoch is None and not lease.take():
            stop.wait(lease.seconds / 10)
            return False
        try:
            lease.renew()
            if not announcement.announce():
                stop.wait(IDLE_SECONDS)
        except Fenced as fenced:
            log.warning("announcer.fenced", topic=announcement.topic, reason=str(fenced))
        return True

    run(f"announcer {announcement.topic}", step, stop)
    lease.give_up()
    announcement.close()
