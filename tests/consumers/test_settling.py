"""Outcomes of churn alerts are found by themselves, whoever the customer is by then."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from commands.catalogue import BY_NAME
from commands.execute import execute
from commands.ports import Request, Verdict, Who
from consumers.settling import settle, settle_open
from infra.runtime import Runtime

WHO = Who("shop", "test")
THEN = datetime.now(UTC) - timedelta(days=10)
ANN, BOB = str(uuid4()), str(uuid4())
EUR = {"amount": {"amount": 100, "currency": "EUR"}}


def ask(runtime: Runtime, name: str, at: datetime | None = None, **fields: Any) -> Verdict:
    command = BY_NAME[name].model_validate(fields)
    [verdict] = execute([Request(command, str(uuid4()), at)], WHO, runtime.ports)
    assert verdict.status == "accepted", verdict
    return verdict


@pytest.fixture
def alerted(runtime: Runtime, catch_up: Any) -> Runtime:
    """Ann has an open alert, and Bob is somebody else."""
    for customer in (ANN, BOB):
        ask(runtime, "customer.register", customer=customer)
    ask(runtime, "retention_policy.set", policy={"currency": "EUR"})
    ask(
        runtime, "churn_alert.raise", customer=ANN, alert=str(uuid4()), rule="silent",
        policy_version=1, assessed_at=THEN.isoformat(),
        assessment={"score": 0, "basis": "silence 1", "reasons": []},
    )  # fmt: skip
    catch_up()
    return runtime


def outcome(runtime: Runtime) -> tuple[Any, ...]:
    with runtime.pool.connection() as conn:
        found = conn.execute("SELECT outcome, proof FROM read.save_queue").fetchone()
    assert found is not None
    return found


def test_nothing_is_settled_that_is_still_open(alerted: Runtime) -> None:
    assert settle_open(alerted, "shop") == 0
    assert settle_open(alerted, "somebody else") == 0


def test_who_was_merged_into_another_is_found_by_what_that_one_buys(
    alerted: Runtime, catch_up: Any
) -> None:
    ask(alerted, "customer.merge", customer=ANN, into=BOB, reason="the same")
    ask(alerted, "customer.record_purchase", customer=BOB, **EUR)
    catch_up()
    assert settle_open(alerted, "shop") == 1
    catch_up()
    assert outcome(alerted) == ("false_alarm", "purchase")
    assert settle_open(alerted, "shop") == 0


def test_the_loop_settles_by_itself(
    alerted: Runtime, catch_up: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.settling.PAUSE_SECONDS", 0.05)
    stop = threading.Event()
    loop = threading.Thread(target=settle, args=(alerted, stop))
    loop.start()
    try:
        ask(alerted, "customer.record_purchase", customer=ANN, **EUR)
        until = datetime.now(UTC) + timedelta(seconds=30)
        while outcome(alerted) == (None, None) and datetime.now(UTC) < until:
            catch_up()
    finally:
        stop.set()
        loop.join()
    assert outcome(alerted) == ("false_alarm", "purchase")
