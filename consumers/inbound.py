"""The inbound consumer: takes in what channels produce to Kafka, as HTTP does."""

import threading
import time

import structlog

from commands.ingest import ingest
from commands.ports import Busy, Who
from consumers.loop import run
from infra.kafka.inbound import Arrived, Inbound
from infra.runtime import Runtime

POLL_SECONDS = 0.5
BUSY_PAUSE_SECONDS = 0.2

log = structlog.get_logger()


def take_in(inbound: Inbound, runtime: Runtime, stop: threading.Event) -> None:
    """Take messages in and give each a verdict; one bad message never stops its partition."""
    who = Who(runtime.settings.inbound_tenant, f"kafka:{inbound.topic}")

    def step() -> bool:
        polled = inbound.poll(POLL_SECONDS)
        try:
            for partition, arrived in polled.items():
                take(inbound, runtime, who, arrived)
                inbound.done({partition: arrived[-1].record.offset})
        except Exception:
            # Nothing of what was polled may be passed over: it is read again, and taken in once.
            for partition, arrived in polled.items():
                inbound.again(partition, arrived[0].record.offset)
            raise
        inbound.clearing.look()
        return True

    run("inbound", step, stop)
    inbound.close()


def take(inbound: Inbound, runtime: Runtime, who: Who, arrived: list[Arrived]) -> None:
    """Take in what came of one partition; waits while the database is contended."""
    messages = [each.message for each in arrived]
    while True:
        try:
            verdicts = ingest(messages, who, runtime.ports, runtime.refused)
            break
        except Busy:
            time.sleep(BUSY_PAUSE_SECONDS)
    refused = [
        (each, verdict)
        for each, verdict in zip(arrived, verdicts, strict=True)
        if verdict.status in ("rejected", "conflict")
    ]
    inbound.refuse(refused)
    log.info("inbound.taken", messages=len(arrived), refused=len(refused))
