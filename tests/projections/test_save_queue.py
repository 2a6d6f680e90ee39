"""The save queue: a customer's newest alert, and those before it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from psycopg.rows import dict_row

from commands.execute import execute
from commands.ports import Request, Who
from commands.retention import SetRetentionPolicy
from domain.churn_alert import ExitInterviewHeld
from domain.retention_policy import RetentionPolicy
from infra.ids import uuid7
from infra.runtime import Runtime
from projections.save_queue import BY_PLAY, PRECISION, save_queue
from tests.consumers.test_retention import ask
from tests.domain.test_churn_alert import ANN, ASSIGNED, FIRST, LOST, SECOND, raised
from tests.projections.test_customer_features import happened

HISTORY = [
    happened(0, raised(), ANN),
    happened(1, ASSIGNED, ANN),
    happened(100, LOST, ANN),
    happened(150, raised(SECOND, 150), ANN),
    happened(160, ExitInterviewHeld(alert=FIRST, answers={"main_reason": "price"}), ANN),
]


def test_a_new_alert_takes_the_place_and_the_old_one_is_kept() -> None:
    (row,) = save_queue.fold(HISTORY).values()
    assert (row["alert"], row["outcome"], row["agent"]) == (SECOND, None, None)
    (past,) = row["past"]
    assert (past["alert"], past["outcome"], past["agent"]) == (FIRST, "lost", "kim")
    assert past["answers"] == {"main_reason": "price"}
    assert row["answers"] is None


def test_reports_count_the_alerts_before_the_newest(
    runtime: Runtime, catch_up: Callable[[], int]
) -> None:
    policy = SetRetentionPolicy(policy=RetentionPolicy(currency="EUR", cool_down_days=0))
    execute([Request(policy, uuid7())], Who("shop", "test"), runtime.ports)
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    ask(runtime, "customer.register", customer=ANN)
    for number, alert in enumerate((FIRST, SECOND)):
        at = begin + timedelta(days=400 * number)
        told = raised(alert).model_dump(exclude={"assessed_at", "due_at", "watch_until"})
        assert ask(runtime, "churn_alert.raise", **told, assessed_at=at).status == "accepted"
        end = at + timedelta(weeks=39)
        proof = {"proof": "silence", "proven_at": end}
        about = {"customer": ANN, "alert": alert}
        assert ask(runtime, "churn_alert.settle", **about, **proof).status == "accepted"
    catch_up()
    with runtime.pool.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        (plays,) = cursor.execute(BY_PLAY, {"tenant": "shop"}).fetchall()
        (precision,) = cursor.execute(PRECISION, {"tenant": "shop"}).fetchall()
    assert (plays["play"], plays["lost"], plays["settled"]) == ("none", 2, 2)
    assert (precision["settled"], precision["mean_lead_days"]) == (2, 273.0)
