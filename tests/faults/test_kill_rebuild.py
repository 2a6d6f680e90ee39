"""A rebuild and a switch that are killed before any of their statements: readers see old or new.

What is killed here is everything that the process does from that statement on, in all its threads;
`tests/faults/test_kill.py` kills real processes, and so does the slow test at the end.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import count

import psycopg
import pytest

from consumers import building, rebuild, switching
from consumers.building import Means
from infra.database import url_of
from infra.read_models.versions import ServingTables, find, versions
from projections.catalogue import BY_NAME
from projections.projection import Column
from tests.consumers.rebuilding import Watch, dump
from tests.worlds import caught_up, grown

OLD = BY_NAME["churn_alerts"]


class Killed(BaseException):
    """What a kill -9 is to the process: nothing after it happens."""


class Killer:
    """Kills before the n-th statement, a commit being one; after that nothing is sent any more."""

    def __init__(self, monkeypatch, at: int) -> None:
        self.at, self.seen, self._thread = at, 0, threading.get_ident()
        execute, copy = psycopg.Cursor.execute, psycopg.Cursor.copy
        leave = psycopg.Transaction.__exit__
        monkeypatch.setattr(
            psycopg.Cursor, "execute", lambda *a, **k: (self.meet(), execute(*a, **k))[1]
        )
        monkeypatch.setattr(psycopg.Cursor, "copy", lambda *a, **k: (self.meet(), copy(*a, **k))[1])

        def left(transaction, kind, error, trace):
            if kind is not None:
                return leave(transaction, kind, error, trace)
            try:
                self.meet()
            except Killed as killed:
                leave(transaction, Killed, killed, None)
                raise
            return leave(transaction, None, None, None)

        monkeypatch.setattr(psycopg.Transaction, "__exit__", left)

    def meet(self) -> None:
        if threading.get_ident() != self._thread:
            return  # a server that other tests share lives on
        self.seen += 1
        if self.seen >= self.at:
            raise Killed


def definition(number: int):
    """The same read model with a column that tells which definition filled it."""
    mood = {"mood": Column("text", f"v{number}")}
    return replace(OLD, version=number, columns={**OLD.columns, **mood})


def test_killed_before_any_statement_readers_see_old_or_new_and_the_next_run_finishes(
    runtime, monkeypatch
):
    grown(runtime, length=30)
    caught_up(runtime)
    monkeypatch.setattr(rebuild, "PAGE", 60)
    monkeypatch.setattr(rebuild.Work, "_is_time_to_save", lambda _: True)
    expected = dump(runtime, "churn_alerts")
    kills = 0
    for at in count(1):
        tables = ServingTables(runtime.pool, (definition(at + 1),), None)
        monkeypatch.setitem(building.BY_NAME, "churn_alerts", definition(at + 1))
        before = moods(runtime)
        with monkeypatch.context() as patched:
            killer = Killer(patched, at)
            try:
                go(runtime, tables)
            except Killed:
                kills += 1
        assert moods(runtime) in (before, [f"v{at + 1}"]), f"a mixture at statement {at}"
        assert shown(runtime) == find(runtime.pool, "churn_alerts", "serving").version
        if find(runtime.pool, "churn_alerts", "serving").definition != at + 1:
            go(runtime, tables)
        assert moods(runtime) == [f"v{at + 1}"]
        assert [row.rsplit(",", 2)[0] for row in dump(runtime, "churn_alerts")] == [
            row.rsplit(",", 1)[0] for row in expected
        ]
        assert len(versions(runtime.pool, "churn_alerts")) == 2, "nothing is left over"
        if killer.seen < at:
            break
    assert kills > 50


def go(runtime, tables) -> None:
    """What the command line does: build on whatever is there, and let it serve."""
    if find(runtime.pool, "churn_alerts", "built") is None:
        building.rebuild(tables, "churn_alerts", Means(url_of(runtime.pool), 1, 10**9), Watch())
    switching.promote(tables, "churn_alerts")


def moods(runtime) -> list[str]:
    with runtime.pool.connection() as conn:
        query = "SELECT DISTINCT to_jsonb(t) ->> 'mood' FROM read.churn_alerts t"
        return [mood for (mood,) in conn.execute(query)]


def shown(runtime) -> int:
    """The version that the view shows."""
    query = """
        SELECT substring(pg_get_viewdef('read.churn_alerts') FROM 'churn_alerts_v([0-9]+)')::int
    """
    with runtime.pool.connection() as conn:
        (version,) = conn.execute(query).fetchone()
    return version


@pytest.mark.slow
def test_killed_as_a_process_it_goes_on_and_leaves_no_worker_behind(runtime, tmp_path):
    grown(runtime, length=3000)
    caught_up(runtime)
    expected = dump(runtime, "customer_view")
    command = [sys.executable.replace("python", "crm"), "projections", "rebuild", "customer_view"]
    environment = os.environ | {
        "CRM_DATABASE_URL": str(runtime.settings.database_url),
        "CRM_DIRECTORY": str(runtime.settings.directory),
    }
    for seconds in (0.5, 1.0, 1.5):
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run(command, env=environment, check=False)
    if find(runtime.pool, "customer_view", "built") is None:
        assert done.returncode == 0
    assert dump(runtime, "customer_view_v2") == expected
