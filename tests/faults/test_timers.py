"""Two timers, one of which stands still for a while: all marks fire, once, and none early."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from commands.cases import OpenCase
from commands.execute import execute
from commands.ports import Request, Who
from consumers.service import running
from domain.sla import TARGETS
from infra.envelope import decode
from infra.runtime import Runtime
from tests.desk import ANN, case

CRM = str(Path(sys.executable).with_name("crm"))
CASES = 30
ANSWER = TARGETS["urgent"].first_response


@contextmanager
def timers(runtime: Runtime, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Timers as processes of their own, while the block lasts."""
    env = os.environ | {
        "CRM_DATABASE_URL": str(runtime.settings.database_url),
        "CRM_DIRECTORY": str(runtime.settings.directory),
    }
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen([CRM, "timers"], env=env, **quiet) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
        ended = [process.wait(20) for process in processes]
    assert ended == [0] * count


def open_cases(runtime: Runtime, first_due: datetime) -> None:
    """Cases whose first answer is due one after the other, a tenth of a second apart."""
    requests = [
        Request(
            OpenCase(case=case(number), customer=ANN, channel="mail", priority="urgent"),
            str(uuid4()),
            first_due - ANSWER + number * timedelta(seconds=0.1),
        )
        for number in range(CASES)
    ]
    verdicts = execute(requests, Who("acme", "tests"), runtime.ports)
    assert [verdict.status for verdict in verdicts] == ["accepted"] * CASES


def fired(runtime: Runtime) -> list[tuple[str, datetime, datetime, datetime]]:
    """Every mark of the log: whose it is, when it was due, when it happened, when it was kept."""
    page = runtime.events.read(0, 100_000, ())
    recorded = [decode(envelope) for _, envelope in page.events]
    marks = [each for each in recorded if each.type == "case.mark_reached.v1"]
    return [(each.stream, each.event.due, each.time, each.recordedtime) for each in marks]


def test_a_timer_that_stands_still_and_goes_on_fires_nothing_twice(runtime: Runtime) -> None:
    with running(runtime, ("sequencer", "follow")), timers(runtime, 2) as (first, second):
        time.sleep(3)  # both have started
        due = datetime.now(UTC) + timedelta(seconds=1)
        open_cases(runtime, due)
        for still in (first, second):
            time.sleep(1.2)
            still.send_signal(signal.SIGSTOP)
            time.sleep(0.8)
            still.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + 20
        while len(fired(runtime)) < CASES and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)  # whatever would fire twice has had its time
    marks = fired(runtime)
    assert len(marks) == CASES
    assert len({stream for stream, *_ in marks}) == CASES
    assert {at - due for _, due, at, _ in marks} == {timedelta(0)}
    assert min(kept - due for _, due, _, kept in marks) > timedelta(0)
