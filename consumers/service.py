"""The loops of one process, by their roles, started together and stopped together."""

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial

import structlog

from consumers.audit import audit
from consumers.expiring import expire
from consumers.follow import follow
from consumers.followers import keep_followed
from consumers.sequencer import sequence
from consumers.settling import settle
from consumers.timers import watch
from infra.lease import holder
from infra.read_models.due import DueCases
from infra.read_models.tables import Table
from infra.runtime import Runtime
from infra.store.sequencing import Sequencing

ROLES = ("sequencer", "follow", "timers", "audit", "relay", "inbound", "announce")
"""What a process can do besides answering; the last three need Kafka."""

STOP_SECONDS = 10.0
"""How long all loops together have to finish what they are doing; what they leave is done again."""

log = structlog.get_logger()


@contextmanager
def running(runtime: Runtime, roles: Collection[str] = ROLES) -> Iterator[threading.Event]:
    """Run the loops of some roles while the block lasts; all that the settings allow by default."""
    stop = threading.Event()
    loops = list(loops_of(runtime, roles, stop))
    for loop in loops:
        loop.daemon = True  # one that hangs on something frozen does not keep the process alive
    for loop in loops:
        loop.start()
    log.info("service.started", loops=[loop.name for loop in loops])
    try:
        yield stop
    finally:
        stop.set()
        give_up = time.monotonic() + STOP_SECONDS
        for loop in loops:
            loop.join(max(0.0, give_up - time.monotonic()))
        log.info("service.stopped", unfinished=[loop.name for loop in loops if loop.is_alive()])


def loops_of(
    runtime: Runtime, roles: Collection[str], stop: threading.Event
) -> Iterator[threading.Thread]:
    """Make the loops of some roles."""
    if "sequencer" in roles:
        sequencing = Sequencing(runtime.pool, holder())
        yield threading.Thread(target=sequence, args=(sequencing, stop), name="sequencer")
    if "timers" in roles:
        due = DueCases(runtime.pool, "sla_clocks")  # the view: whichever version serves
        yield threading.Thread(target=watch, args=(due, runtime.ports, stop), name="timers")
        yield threading.Thread(target=settle, args=(runtime, stop), name="settling")
        yield threading.Thread(target=expire, args=(runtime, stop), name="expiring")
    if "audit" in roles:
        yield threading.Thread(target=audit, args=(runtime.audit, stop), name="audit")
    if runtime.settings.kafka_bootstrap_servers is not None:
        yield from kafka_loops(runtime, runtime.settings.kafka_bootstrap_servers, roles, stop)
    elif "follow" in roles:
        for name in runtime.tables:
            arguments = (runtime.tables, name, partial(follow, runtime.events), stop)
            yield threading.Thread(target=keep_followed, args=arguments, name=f"follow {name}")


def kafka_loops(
    runtime: Runtime, bootstrap: str, roles: Collection[str], stop: threading.Event
) -> Iterator[threading.Thread]:
    """Make the loops that work on Kafka; whoever has none does not pay for the client."""
    from consumers.announce import announce  # noqa: PLC0415
    from consumers.follow_kafka import follow_kafka  # noqa: PLC0415
    from consumers.inbound import take_in  # noqa: PLC0415
    from consumers.relay import relay  # noqa: PLC0415
    from infra.kafka.announced import Announcement  # noqa: PLC0415
    from infra.kafka.inbound import Inbound  # noqa: PLC0415
    from infra.kafka.log import KafkaLog  # noqa: PLC0415
    from infra.kafka.published import Publication  # noqa: PLC0415
    from infra.kafka.topics import TopicNames  # noqa: PLC0415

    names = TopicNames(runtime.settings.kafka_prefix)
    if "relay" in roles:
        replicas = runtime.settings.kafka_replicas
        publication = Publication(runtime.pool, bootstrap, holder(), names.events, replicas)
        yield threading.Thread(target=relay, args=(publication, stop), name="relay")
    if "follow" in roles:

        def join_and_follow(table: Table, until: threading.Event) -> None:
            group = f"{names.prefix}.{table.name}"
            events = KafkaLog(bootstrap, group, runtime.settings.kafka_member, names.events)
            follow_kafka(events, table, until)

        for name in runtime.tables:
            arguments = (runtime.tables, name, join_and_follow, stop)
            yield threading.Thread(target=keep_followed, args=arguments, name=f"follow {name}")
    if "announce" in roles:
        for name in runtime.tables:
            announcement = Announcement(runtime.tables, name, bootstrap, names, holder())
            yield threading.Thread(
                target=announce, args=(announcement, stop), name=announcement.topic
            )
    if "inbound" in roles:
        inbound = Inbound(bootstrap, names, runtime.settings.inbound_hours)
        yield threading.Thread(target=take_in, args=(inbound, runtime, stop), name="inbound")
