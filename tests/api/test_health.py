"""Health: alive, ready with reasons, and figures that are measured."""

import re
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from starlette.testclient import TestClient

from api.http import create_app
from infra.progress import progress
from infra.read_models.change import Key, Parking
from infra.read_models.tables import Step, Table
from infra.runtime import Runtime


def figures(client: Any) -> dict[str, float]:
    """The metrics as they are exposed: name and labels → value."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_a_process_that_answers_is_alive(client: Any) -> None:
    assert client.get("/livez").json() == {"live": True}


def test_a_running_server_is_ready(live_caller: Any) -> None:
    answer = live_caller.client.get("/readyz")
    assert (answer.status_code, answer.json()["reasons"]) == (200, [])


def test_without_a_sequencer_it_is_not_ready(runtime: Runtime, client: Any, catch_up: Any) -> None:
    catch_up()
    with runtime.pool.connection() as conn:
        [lease] = conn.execute("SELECT expires_at FROM crm.lease WHERE name = 'sequencer'")
        conn.execute("UPDATE crm.lease SET expires_at = '-infinity' WHERE name = 'sequencer'")
        try:
            answer = client.get("/readyz")
        finally:
            conn.execute(
                "UPDATE crm.lease SET expires_at = %s WHERE name = 'sequencer'", [lease[0]]
            )
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["No sequencer is running: new events get no position."]


def test_without_a_database_it_is_not_ready(runtime: Runtime) -> None:
    class Away:
        def connection(self) -> None:
            raise psycopg.OperationalError("secret address")

    away: Any = Away()
    tables = {name: Table(away, table.projection) for name, table in runtime.tables.items()}
    client = TestClient(create_app(replace(runtime, pool=away, tables=tables)))
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)
    assert answer.json()["reasons"] == ["The database cannot be reached."]
    assert client.get("/livez").status_code == 200
    assert client.get("/metrics").status_code == 503


def test_a_parked_row_is_a_warning(runtime: Runtime, client: Any, catch_up: Any) -> None:
    catch_up()
    table = runtime.tables["sla_clocks"]
    at = table.position()
    parking = Parking(Key("health", "0190a0a0-0000-7000-8000-000000000000"), at, "x", "why")
    with table.transaction(Step(at, at)) as change:
        change.park([parking])
    try:
        state = client.get("/readyz").json()
        # Not the only one, perhaps: tests that call whatever comes to mind park rows as well.
        assert (
            "Rows of sla_clocks to which an event could not be applied: 1;"
            " `crm parked list` tells which and why."
        ) in state["warnings"]
        assert figures(client)['crm_projection_parked_rows{projection="sla_clocks"}'] == 1
    finally:
        with runtime.pool.connection() as conn:
            conn.execute("DELETE FROM crm.parked WHERE tenant = 'health'")


def test_lag_is_measured_against_what_is_committed(
    runtime: Runtime, acme: Any, catch_up: Any
) -> None:
    head = catch_up()
    assert {level.lag_events for level in progress(runtime.pool, runtime.tables).levels} == {0}
    acme.register("ann@example.org")
    now = progress(runtime.pool, runtime.tables)
    assert (now.head, now.pending) == (head, 2)
    assert now.pending_seconds > 0
    for level in now.levels:
        assert (level.position, level.lag_events) == (head, 2)
        assert level.lag_seconds == pytest.approx(now.pending_seconds, abs=1)
    catch_up()
    now = progress(runtime.pool, runtime.tables)
    assert (now.head, now.pending, now.pending_seconds) == (head + 2, 0, 0)
    assert {(level.lag_events, level.lag_seconds) for level in now.levels} == {(0, 0)}


def test_metrics_tell_what_happened(acme: Any, catch_up: Any) -> None:
    def count(result: str) -> float:
        name = f'crm_ingest_messages_total{{result="{result}",source="http"}}'
        return figures(acme.client).get(name, 0)

    catch_up()  # others may have written before
    before = count("accepted"), count("rejected")
    acme.register("ann@example.org")
    acme.post("/v1/events", json={"id": "1", "source": "s", "type": "no", "data": {}})
    assert (count("accepted"), count("rejected")) == (before[0] + 1, before[1] + 1)
    now = figures(acme.client)
    assert now["crm_outbox_pending"] == 2
    assert now["crm_dlq_messages"] >= 1
    assert now["crm_dlq_oldest_age_seconds"] > 0
    assert now['crm_projection_lag_events{projection="customer_view"}'] >= 2
    assert now['crm_projection_lag_seconds{projection="customer_view"}'] > 0
    assert now["crm_ingest_request_duration_seconds_count"] >= 2
    head = catch_up()
    now = figures(acme.client)
    assert now["crm_projection_head_position"] == head
    assert now['crm_projection_position{projection="customer_view"}'] == head


def test_metrics_tell_which_version_serves(client: Any) -> None:
    info = 'crm_projection_info{projection="customer_view",state="serving",version="1"}'
    assert figures(client)[info] == 1


def test_metrics_tell_what_followers_did(acme: Any, catch_up: Any) -> None:
    applied = 'crm_projection_events_processed_total{outcome="applied",projection="customer_view"}'
    batches = 'crm_projection_batch_duration_seconds_count{projection="customer_view"}'
    catch_up()
    before = figures(acme.client)
    acme.register("ann@example.org")
    catch_up()
    now = figures(acme.client)
    assert now[applied] == before.get(applied, 0) + 2
    assert now[batches] > before.get(batches, 0)


def test_metrics_have_plain_names(client: Any) -> None:
    for name in figures(client):
        assert re.match(r"crm_[a-z_]+(\{[a-z_]+=\"[^\"]*\"(,[a-z_]+=\"[^\"]*\")*\})?$", name)
