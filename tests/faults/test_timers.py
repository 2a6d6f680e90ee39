"""Timers that stand still, are killed, or have a wrong clock: all fires, once, and none early."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from uuid import uuid4

from commands.cases import OpenCase
from commands.execute import execute
from commands.ports import Request, Who
from consumers.service import running
from consumers.timers import watch
from domain.sla import TARGETS
from infra.read_models.due import DueCases
from infra.runtime import Runtime
from infra.store.envelope import decode
from tests.desk import ANN, case
from tests.kafka.support import eventually

CRM = str(Path(sys.executable).with_name("crm"))
CASES = 30
ANSWER = TARGETS["urgent"].first_response


@contextmanager
def timers(runtime: Runtime, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Timers as processes of their own, while the block lasts."""
    processes = [timer(runtime) for _ in range(count)]
    try:
        assert eventually(lambda: said(runtime).count("service.started") == count)
        yield processes
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
        ended = [process.wait(60) for process in processes]
    assert ended == [0] * len(processes)


def timer(runtime: Runtime) -> subprocess.Popen[bytes]:
    env = os.environ | {
        "CRM_DATABASE_URL": str(runtime.settings.database_url),
        "CRM_DIRECTORY": str(runtime.settings.directory),
    }
    with log_of(runtime).open("ab") as log:
        return subprocess.Popen([CRM, "timers"], env=env, stdout=log, stderr=log)


def log_of(runtime: Runtime) -> Path:
    return runtime.settings.directory / "timers.log"


def said(runtime: Runtime) -> str:
    return log_of(runtime).read_text()


def open_cases(runtime: Runtime, first_due: datetime, first: int = 0) -> None:
    """Cases whose first answer is due one after the other, a tenth of a second apart."""
    requests = [
        Request(
            OpenCase(case=case(number), customer=ANN, channel="mail", priority="urgent"),
            str(uuid4()),
            first_due - ANSWER + (number - first) * timedelta(seconds=0.1),
        )
        for number in range(first, first + CASES)
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
        due = datetime.now(UTC) + timedelta(seconds=1)
        open_cases(runtime, due)
        for still in (first, second):
            time.sleep(1.2)
            still.send_signal(signal.SIGSTOP)
            time.sleep(0.8)
            still.send_signal(signal.SIGCONT)
        wait_until_fired(runtime, CASES)
    assert_each_fired_once(runtime, CASES)
    assert min(kept - due for _, due, _, kept in fired(runtime)) > timedelta(0)


def test_timers_that_are_killed_in_turn_while_cases_come_lose_nothing(runtime: Runtime) -> None:
    with running(runtime, ("sequencer", "follow")), timers(runtime, 2) as alive:
        due = datetime.now(UTC) + timedelta(seconds=1)
        for turn in range(2):
            open_cases(runtime, due + turn * timedelta(seconds=1.5), turn * CASES)
            time.sleep(1.5)
            killed = alive.pop(0)
            killed.kill()
            assert killed.wait(20) == -signal.SIGKILL, "it was at work until then"
            if turn == 0:
                alive.append(timer(runtime))  # it alone is left when the second one is killed
        wait_until_fired(runtime, 2 * CASES)
    assert_each_fired_once(runtime, 2 * CASES)
    assert min(kept - due for _, due, _, kept in fired(runtime)) > timedelta(0)


def test_a_timer_whose_clock_jumps_a_day_to_and_fro_fires_nothing_early_and_loses_nothing(
    runtime: Runtime,
) -> None:
    """Its loop runs beside that of one whose clock is right; the database's is right as well."""
    jumps = cycle(days * timedelta(days=1) for days in (0, 1, 1, -1, -1))
    wrong = runtime.ports._replace(now=lambda: datetime.now(UTC) + next(jumps))
    due, stop = datetime.now(UTC) + timedelta(seconds=1.5), threading.Event()
    open_cases(runtime, due)
    # What is due in half an hour is due already for the clock that is wrong, and for it alone.
    open_cases(runtime, due + timedelta(minutes=25), CASES)
    with running(runtime, ("sequencer", "follow")), ThreadPoolExecutor(2) as threads:
        table = runtime.tables["sla_clocks"].name
        loops = [
            threads.submit(watch, DueCases(runtime.pool, table), ports, stop)
            for ports in (wrong, runtime.ports)
        ]
        early = wait_until_fired(runtime, CASES)
        stop.set()
    assert [loop.exception() for loop in loops] == [None, None]
    assert early == []
    assert_each_fired_once(runtime, CASES)


def wait_until_fired(runtime: Runtime, count: int) -> list[str]:
    """Wait for so many marks, and then for whatever would fire twice; give those seen too early."""
    early, deadline = set[str](), time.monotonic() + 60
    while len(found := fired(runtime)) < count and time.monotonic() < deadline:
        early |= {stream for stream, due, *_ in found if due > datetime.now(UTC)}
        time.sleep(0.1)
    time.sleep(1)
    return sorted(early)


def assert_each_fired_once(runtime: Runtime, count: int) -> None:
    marks = fired(runtime)
    assert len(marks) == count
    assert len({stream for stream, *_ in marks}) == count
    assert {at - due for _, due, at, _ in marks} == {timedelta(0)}, "each at its own instant"
