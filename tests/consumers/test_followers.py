"""What follows a read model begins again when it could not begin."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from consumers import followers
from consumers.followers import keep_followed
from infra.read_models.tables import Table
from infra.read_models.versions import pause
from infra.runtime import Runtime
from tests.kafka.broker import free_ports
from tests.kafka.support import eventually

NOBODY_THERE = """
import sys, threading, time
from kafka.errors import KafkaError
from infra.kafka import log as log_kafka
log_kafka.REACH_SECONDS = 0.3
try:
    log_kafka.KafkaLog(sys.argv[1], "group", None, "topic")
except KafkaError:
    give_up = time.monotonic() + 10
    while threading.active_count() > 1 and time.monotonic() < give_up:
        time.sleep(0.01)
    print([thread.name for thread in threading.enumerate()])
"""


def test_what_could_not_begin_begins_again(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followers, "LOOK_SECONDS", 0.02)
    begun, stop = [], threading.Event()

    def follow(table: Table, until: threading.Event) -> None:
        begun.append(table.name)
        if len(begun) < 3:
            raise ConnectionError
        until.wait()

    arguments = (runtime.tables, "customer_view", follow, stop)
    thread = threading.Thread(target=keep_followed, args=arguments, daemon=True)
    with capture_logs() as told:
        thread.start()
        assert eventually(lambda: len(begun) == 3, 30)
        stop.set()
        thread.join()
    faults = [line["error"] for line in told if line["event"] == "follower.not_begun"]
    assert faults == ["ConnectionError"] * 2


def test_a_log_that_cannot_be_reached_leaves_no_thread_behind() -> None:
    """In a process of its own: the client's half-open sockets are nobody's business here."""
    done = subprocess.run(
        [sys.executable, "-c", NOBODY_THERE, f"127.0.0.1:{free_ports(1)[0]}"],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "['MainThread']", done.stderr


def test_a_follower_of_a_version_that_is_gone_is_waited_for_too(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or its last step would go on without the connections that are closed by then."""
    monkeypatch.setattr(followers, "LOOK_SECONDS", 0.02)
    begun, told, stop, may_end = (threading.Event() for _ in range(4))

    def follow(_table: Table, until: threading.Event) -> None:
        begun.set()
        until.wait()
        told.set()
        may_end.wait()

    arguments = (runtime.tables, "customer_view", follow, stop)
    thread = threading.Thread(target=keep_followed, args=arguments, daemon=True)
    thread.start()
    assert begun.wait(30)
    pause(runtime.pool, "customer_view", runtime.tables["customer_view"].version, paused=True)
    assert told.wait(30)
    stop.set()
    thread.join(0.5)
    assert thread.is_alive()
    may_end.set()
    thread.join()
