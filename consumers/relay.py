"""The relay: publishes the log to Kafka, in order, at least once."""

import threading
from collections import deque

import structlog

from consumers.loop import run
from infra.kafka.published import NotPublished, Publication, Sent
from infra.lease import Fenced

PAGE = 4_000
"""How many positions are handed to the client at once."""

PAGES_IN_FLIGHT = 6
"""How many pages may be on their way while the next one is read."""

log = structlog.get_logger()


def relay(publication: Publication, stop: threading.Event) -> None:
    """Publish for as long as the lease is ours; otherwise stand by to take it over."""
    in_flight: deque[Sent] = deque()

    def step() -> bool:
        if publication.lease.epoch is None:
            in_flight.clear()
            if not publication.lease.take():
                stop.wait(publication.lease.seconds / 10)
                return False
            log.info("relay.leading", epoch=publication.lease.epoch, topic=publication.topic)
        try:
            publication.lease.renew()
            return publish(publication, in_flight)
        except (Fenced, NotPublished) as fault:
            in_flight.clear()
            log.warning("relay.interrupted", reason=str(fault))
            return False

    run("relay", step, stop)
    publication.lease.give_up()


def publish(publication: Publication, in_flight: deque[Sent]) -> bool:
    """Send the next page and finish the oldest ones; False when everything is published.

    A page that is safe is noted at once: readers wait for that.
    """
    if in_flight:
        after, last = in_flight[-1].upto, in_flight[-1].last
    else:
        after, last = publication.progress()
    page = publication.log.read(after, PAGE)
    if page.upto > after:
        in_flight.append(publication.send(page.events, last, page.upto))
    is_last = page.upto == after
    while in_flight and (is_last or len(in_flight) >= PAGES_IN_FLIGHT or in_flight[0].is_done()):
        publication.finish(in_flight.popleft())
    return not is_last
