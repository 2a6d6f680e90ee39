"""What goes wrong on our side is told as a problem, and nothing personal gets out with it."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg_pool import PoolTimeout
from structlog.testing import capture_logs

from commands.ports import Busy
from infra.runtime import Runtime

SECRET = "ann@example.org"
VISIT = {
    "id": "1", "source": "s", "type": "interaction.record",
    "data": {"customer": {"email": SECRET}, "channel": "web", "kind": "visit"},
}  # fmt: skip


def failing(error: Exception) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (psycopg.OperationalError(SECRET), "database.away"),
        (psycopg.errors.AdminShutdown(SECRET), "database.away"),
        (psycopg.errors.QueryCanceled(SECRET), "database.away"),
        (PoolTimeout(SECRET), "database.away"),
        (Busy("Others were quicker."), "write.busy"),
    ],
)
@pytest.mark.parametrize(
    ("place", "method", "path"),
    [
        ("api.publish.ingest", "POST", "/v1/events"),
        ("infra.read_models.reader.Reader.leads", "GET", "/v1/leads"),
        ("infra.api_keys.ApiKeys.find", "GET", "/v1/leads"),
    ],
)
def test_what_may_pass_asks_to_come_back(
    acme: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str,
    place: str, method: str, path: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(place, failing(error))
    answer = acme.call(method, path, json=VISIT)
    assert (answer.status_code, answer.json()["code"]) == (503, code)
    assert answer.headers["retry-after"] == "1"
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    ("place", "method", "path"),
    [
        ("api.publish.ingest", "POST", "/v1/events"),
        ("infra.read_models.reader.Reader.leads", "GET", "/v1/leads"),
        ("infra.api_keys.ApiKeys.find", "GET", "/v1/leads"),
        ("api.health.progress", "GET", "/readyz"),
    ],
)
def test_what_we_did_not_foresee_is_logged_without_its_words(
    acme: Any, monkeypatch: pytest.MonkeyPatch, place: str, method: str, path: str
) -> None:
    monkeypatch.setattr(place, failing(RuntimeError(SECRET)))
    with capture_logs() as logs:
        answer = acme.call(method, path, json=VISIT)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal.fault")
    assert answer.headers["content-type"] == "application/problem+json"
    assert SECRET not in answer.text
    [told] = [entry for entry in logs if entry["event"] == "http.fault"]
    assert told["error"] == "RuntimeError"
    assert any("test_faults.py" in place for place in told["places"])
    assert SECRET not in str(logs)


def test_nothing_personal_is_logged_whatever_is_sent(
    acme: Any, catch_up: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    with capture_logs() as logs:
        id_ = acme.register(SECRET, full_name="Annabel Other")
        for kind in (7, "\x00", "x" * 500):
            acme.post("/v1/events", json=VISIT | {"data": VISIT["data"] | {"kind": kind}})
        acme.post("/v1/events", content=b'{"email": "ann@example.org", }')
        catch_up()
        acme.get(f"/v1/customers?email={SECRET}")
        acme.get(f"/v1/customers/{id_}/history?email={SECRET}")
    printed = capfd.readouterr()
    for text in (str(logs), printed.out, printed.err):
        assert SECRET not in text
        assert "Annabel" not in text


def test_lost_connections_are_told_and_replaced(live_caller: Any, live: Any) -> None:
    runtime: Runtime = live[0]
    statuses = set()
    for _ in range(3):
        terminate_connections(runtime)
        for _ in range(20):
            answer = live_caller.get("/v1/leads")
            statuses.add(answer.status_code)
            if answer.status_code == 200:
                break
    settle(runtime)
    assert answer.status_code == 200
    assert statuses <= {200, 503}


def test_who_publishes_while_connections_are_lost_loses_and_doubles_nothing(
    live_caller: Any, live: Any
) -> None:
    runtime: Runtime = live[0]
    statuses = set()

    def publish(number: int) -> None:
        answer = live_caller.post("/v1/events", json=VISIT | {"id": str(number)})
        while answer.status_code != 200:
            statuses.add(answer.status_code)
            answer = live_caller.post("/v1/events", json=VISIT | {"id": str(number)})

    with ThreadPoolExecutor(8) as threads:
        published = [threads.submit(publish, number) for number in range(120)]
        for done in published[::30]:
            done.result()
            terminate_connections(runtime)
    settle(runtime)
    assert [each.exception() for each in published] == [None] * 120
    assert statuses <= {503}
    query = "SELECT count(*), count(DISTINCT stream) FROM crm.event WHERE tenant = %s AND type = %s"
    with psycopg.connect(runtime.settings.database_url) as conn:  # the pool's may be lost
        counted = conn.execute(query, [live_caller.tenant, "interaction.recorded.v1"]).fetchone()
    assert counted == (120, 120)


def terminate_connections(runtime: Runtime) -> None:
    with psycopg.connect(runtime.settings.database_url) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def settle(runtime: Runtime) -> None:
    """Let the server's loops find what they lost now: what they say would be in others' output."""
    runtime.pool.drain()
    time.sleep(0.2)
