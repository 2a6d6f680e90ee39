"""A read can ask to be at least as fresh as a write: it waits, but not for ever."""

import threading
from dataclasses import replace
from time import sleep
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.http import create_app
from infra.runtime import Runtime

ANN = {"email": "ann@example.org"}


def test_without_a_token_a_read_may_be_older_than_a_write(acme: Any) -> None:
    """The control: nothing is read back by itself."""
    acme.register("ann@example.org")
    assert acme.items("/v1/customers") == []


@pytest.mark.parametrize("way", ["header", "query"])
def test_a_read_that_cannot_be_fresh_in_time_says_so(acme: Any, catch_up: Any, way: str) -> None:
    token = acme.command("customer.register", customer=ANN)["token"]
    asked: dict[str, Any] = (
        {"headers": {"X-Read-At-Least": token}}
        if way == "header"
        else {"params": {"at_least": token}}
    )
    answer = acme.get("/v1/customers", **asked)
    assert (answer.status_code, answer.json()["code"]) == (503, "read.not_fresh")
    assert answer.headers["retry-after"] == "1"
    catch_up()
    assert len(acme.items("/v1/customers", **asked)) == 1


def test_a_read_waits_until_it_is_fresh(acme: Any, catch_up: Any, runtime: Runtime) -> None:
    patient = runtime.settings.model_copy(update={"read_wait_seconds": 30})
    acme.client = TestClient(create_app(replace(runtime, settings=patient)))
    token = acme.command("customer.register", customer=ANN)["token"]
    later = threading.Timer(0.05, catch_up)
    later.start()
    try:
        assert len(acme.items("/v1/customers", headers={"X-Read-At-Least": token})) == 1
    finally:
        later.join()


@pytest.mark.parametrize(
    "path", ["/v1/leads", "/v1/cases", "/v1/sla/summary", "/v1/pipeline/summary",
             "/v1/churn-alerts", "/v1/changes/sla_clocks"],
)  # fmt: skip
def test_every_read_model_waits(acme: Any, catch_up: Any, path: str) -> None:
    token = acme.command("customer.register", customer=ANN)["token"]
    assert acme.get(f"{path}?at_least={token}").status_code == 503
    catch_up()
    assert acme.get(f"{path}?at_least={token}").status_code == 200


def test_a_batch_gives_the_token_of_its_last_write(acme: Any, catch_up: Any) -> None:
    batch = [
        {"id": str(n), "source": "s", "type": "interaction.record",
         "data": {"customer": ANN, "channel": "web", "kind": "visit"}}
        for n in range(3)
    ]  # fmt: skip
    first = acme.post("/v1/events", json=batch).json()["token"]
    again = acme.post("/v1/events", json=batch).json()
    assert again["token"] == first  # whoever never got the first answer can read its writes, too
    assert {item["status"] for item in again["items"]} == {"duplicate"}
    assert acme.get("/v1/customers", headers={"X-Read-At-Least": first}).status_code == 503
    catch_up()
    [ann] = acme.items("/v1/customers", headers={"X-Read-At-Least": first})
    assert ann["interactions"] == 3


@pytest.mark.parametrize("token", ["x", "dzA=", "dzA", "cDE", "dzk5OTk5OTk5OTk", "w1", "\x7f"])
def test_a_token_that_we_never_gave_is_refused(acme: Any, token: str) -> None:
    answer = acme.get("/v1/customers", headers={"X-Read-At-Least": token})
    assert (answer.status_code, answer.json()["code"]) == (400, "token.unknown")


def test_what_changed_nothing_needs_no_waiting(acme: Any) -> None:
    acme.command("customer.register", customer=ANN)
    same = acme.command("customer.change_stage", customer=ANN, stage="acquaintance")
    assert (same["status"], same["token"]) == ("accepted", "")
    assert acme.get("/v1/customers", headers={"X-Read-At-Least": ""}).status_code == 200


def test_whoever_shows_its_token_always_reads_its_own_writes(live_caller: Any) -> None:
    for number in range(20):
        done = live_caller.command("customer.register", customer={"email": f"c{number}@x.org"})
        fresh = {"X-Read-At-Least": done["token"]}
        id_ = done["events"][0]["stream"]
        for path in (f"/v1/customers/{id_}", f"/v1/customers/{id_}/history"):
            answer = live_caller.get(path, headers=fresh)
            while answer.status_code == 503:  # the bounded wait is over: as told, ask again
                sleep(0.05)
                answer = live_caller.get(path, headers=fresh)
            assert answer.status_code == 200


def test_a_read_model_that_is_not_there_is_not_waited_for(acme: Any) -> None:
    token = acme.command("customer.register", customer=ANN)["token"]
    assert acme.get(f"/v1/changes/nothing?at_least={token}").status_code == 404
