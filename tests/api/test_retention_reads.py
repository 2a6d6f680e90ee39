"""Reading about keeping customers: features, health, the save queue, models, the report."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.test_reads import ANN, BOB, EUR, NOBODY, now, pages

DAY = datetime(2024, 3, 1, tzinfo=UTC)
HEALTH = {
    "currency": EUR,
    "margin_percent": 40,
    "contact_cost": 150,
    "scorecards": [
        {
            "components": [
                {
                    "name": "complaints",
                    "weight": 3,
                    "measures": [{"feature": "recent_complaints", "worst": 4, "best": 0}],
                },
                {
                    "name": "buys",
                    "weight": 1,
                    "measures": [{"feature": "purchase_silence_days", "worst": 100, "best": 0}],
                },
            ]
        }
    ],
}
ASSESSMENT = {
    "score": 80,
    "basis": "silence 1",
    "reasons": [
        {"code": "silence", "points": 90, "numbers": {"silent_days": 77.0}},
        {"code": "purchases", "points": -10, "numbers": {"purchases": 3}},
    ],
}
ALERT = "0190a0a0-0000-7000-8000-00000000000a"
LATER = "0190a0a0-0000-7000-8000-00000000000b"


def iso(days: float) -> str:
    return (DAY + timedelta(days=days)).isoformat().replace("+00:00", "Z")


def buy(acme: Any, customer: str, day: float, amount: int = 1000, **more: Any) -> None:
    paid = {"amount": amount, "currency": EUR}
    acme.command("customer.record_purchase", customer=customer, amount=paid, time=iso(day), **more)


def complain(acme: Any, customer: str, day: float) -> None:
    told = {"customer": customer, "channel": "mail", "kind": "complaint", "direction": "inbound"}
    acme.command("interaction.record", **told, time=iso(day))


def raise_alert(acme: Any, customer: str, alert: str = ALERT, day: float = 0) -> None:
    acme.command(
        "churn_alert.raise", customer=customer, alert=alert, rule="silent", policy_version=1,
        assessment=ASSESSMENT, value_at_risk={"amount": 9000, "currency": EUR},
        assessed_at=iso(day),
    )  # fmt: skip


def test_features_are_shown_as_of_any_instant(acme: Any, catch_up: Any) -> None:
    ann = acme.register(ANN)
    for day in (0, 7, 21):
        buy(acme, ann, day)
    known = now()
    buy(acme, ann, 14, product="plan")
    catch_up()
    path = f"/v1/customers/{ann}/features"
    told = acme.get(f"{path}?effective_at={iso(28)}").json()
    assert told["customer"] == ann
    assert told["history"] == {"frequency": 3, "recency": 3.0, "age": 4.0}
    assert told["spent"] == {EUR: 4000}
    assert told["spend"] == {EUR: {"purchases": 3, "mean": 1000.0}}
    assert told["products"] == {"plan": {"2024-03-15": {EUR: 1000}}}
    assert told["values"] == {}
    then = acme.get(f"{path}?effective_at={iso(20)}&recorded_at={known}").json()
    assert then["history"] == {"frequency": 1, "recency": 1.0, "age": pytest.approx(20 / 7)}
    assert acme.get(f"{path}?effective_at={iso(-1)}").status_code == 404
    assert acme.get(f"/v1/customers/{NOBODY}/features").json()["code"] == "customer.unknown"
    assert acme.get(f"{path}?at={known}").status_code == 400


def test_features_follow_merges_and_their_end(acme: Any, catch_up: Any) -> None:
    ann, bob = acme.register(ANN), acme.register(BOB)
    buy(acme, ann, 0)
    buy(acme, bob, 7)
    acme.command("customer.merge", customer=bob, into=ann, reason="same")
    merged = now()
    acme.command("customer.unmerge", customer=bob, reason="not the same")
    catch_up()
    for id_ in (ann, bob):
        told = acme.get(f"/v1/customers/{id_}/features?recorded_at={merged}").json()
        assert (told["customer"], told["purchases"]) == (ann, 2)
        told = acme.get(f"/v1/customers/{id_}/features").json()
        assert (told["customer"], told["purchases"]) == (id_, 1)


def test_health_has_shares_and_a_trend(acme: Any, catch_up: Any) -> None:
    ann = acme.register(ANN)
    buy(acme, ann, 0, 20_000)
    catch_up()
    path = f"/v1/customers/{ann}/health?effective_at="
    assert acme.get(path + iso(1)).json()["code"] == "retention_policy.unknown"
    acme.command("retention_policy.set", policy=HEALTH)
    for day in (40, 41):
        complain(acme, ann, day)
    catch_up()
    told = acme.get(path + iso(50)).json()
    assert (told["score"], told["basis"], told["segment"]) == (50, "health 1", None)
    assert [(s["name"], s["grade"], s["points"]) for s in told["shares"]] == [
        ("complaints", 50.0, 38),
        ("buys", 50.0, 12),
    ]
    assert told["trend"] == 50 - (75 + round(0.25 * (100 - 22)))
    assert acme.get(path + iso(1)).json()["trend"] is None
    told = acme.get(f"/v1/customers/{ann}/features?effective_at={iso(50)}").json()
    assert told["values"] == {"profit": 20_000 * 0.4 - 2 * 150}


def test_the_save_queue_and_what_became_of_alerts(acme: Any, catch_up: Any) -> None:
    acme.command("retention_policy.set", policy=HEALTH | {"cool_down_days": 1})
    ann, bob = acme.register(ANN), acme.register(BOB)
    raise_alert(acme, ann)
    raise_alert(acme, bob, LATER)
    about = {"customer": ann, "alert": ALERT}
    acme.command("churn_alert.assign", **about, agent="kim")
    acme.command("churn_alert.settle", **about, proof="purchase", proven_at=iso(9))
    acme.command("churn_alert.assign", customer=bob, alert=LATER, agent="lea")
    catch_up()
    [waiting] = acme.items(f"/v1/retention/queue?at={iso(8)}")
    assert (waiting["customer"], waiting["agent"], waiting["overdue"]) == (bob, "lea", True)
    assert sum(reason["points"] for reason in waiting["reasons"]) == waiting["score"] == 80
    assert not acme.items(f"/v1/retention/queue?at={iso(6)}")[0]["overdue"]
    assert acme.items("/v1/retention/queue?agent=kim") == []

    [settled] = acme.items("/v1/retention/alerts?status=settled")
    assert (settled["customer"], settled["outcome"], settled["past"]) == (ann, "false_alarm", [])
    assert [each["customer"] for each in acme.items("/v1/retention/alerts?status=open")] == [bob]
    assert acme.items("/v1/retention/alerts?outcome=lost") == []
    assert len(pages(acme, "/v1/retention/alerts", 1)) == 2
    raise_alert(acme, ann, "0190a0a0-0000-7000-8000-00000000000c", day=30)
    catch_up()
    [again] = acme.items(f"/v1/retention/alerts?customer={ann}")
    assert (again["outcome"], again["past"][0]["outcome"]) == (None, "false_alarm")


def test_policy_models_and_report(acme: Any, catch_up: Any) -> None:
    assert acme.get("/v1/retention/policy").json()["code"] == "retention_policy.unknown"
    assert acme.items("/v1/retention/models") == []
    acme.command("retention_policy.set", policy=HEALTH)
    shown = acme.get("/v1/retention/policy").json()
    assert shown["version"] == 1
    assert shown["policy"]["contact_cost"] == 150
    renewals = {"model": "sbg", "ended": [369, 163, 86, 0], "going_on": [0, 0, 0, 382]}
    acme.command("value_model.fit", data_from=iso(0), data_until=iso(9), data=renewals)
    [fitted] = acme.items("/v1/retention/models")
    assert (fitted["model"], fitted["version"], fitted["customers"]) == ("sbg", 1, 1000)
    assert fitted["diagnostics"]["survival_gap"] < 0.01

    ann, bob = acme.register(ANN), acme.register(BOB)
    buy(acme, ann, 0)
    buy(acme, ann, 35)
    buy(acme, bob, 1)
    raise_alert(acme, ann)
    raise_alert(acme, bob, LATER)
    about = {"customer": bob, "alert": LATER}
    acme.command("churn_alert.settle", **about, proof="silence", proven_at=iso(7 * 39))
    acme.command("churn_alert.hold_exit_interview", **about, answers={"main_reason": "price"})
    catch_up()
    told = acme.get(f"/v1/retention/report?at={iso(40)}").json()
    assert told["defections"] == [
        {
            "month": "2024-11-01", "segment": "", "lost": 1, "value_lost": 9000,
            "currency": EUR, "drivers": {"price": 1},
        }
    ]  # fmt: skip
    assert told["value_at_risk"] == [
        {
            "segment": "", "currency": EUR, "open": 1, "value_at_risk": 9000, "unassigned": 1,
            "overdue": 1,
        }
    ]  # fmt: skip
    assert told["cohorts"] == [{"month": "2024-03", "customers": 2, "active": [2, 1]}]
    assert [row["lost"] for row in told["save_rate_by_play"]] == [1]
    assert told["precision_and_lead_time"][0]["lost_of_untreated_percent"] == 100.0


def test_another_tenant_sees_nothing_of_it(acme: Any, caller: Any, catch_up: Any) -> None:
    acme.command("retention_policy.set", policy=HEALTH)
    ann = acme.register(ANN)
    buy(acme, ann, 0)
    raise_alert(acme, ann)
    catch_up()
    other = caller()
    assert other.get(f"/v1/customers/{ann}/features").status_code == 404
    assert other.get(f"/v1/customers/{ann}/health").status_code == 404
    assert other.items("/v1/retention/queue") == other.items("/v1/retention/alerts") == []
    assert other.get("/v1/retention/policy").status_code == 404
    assert other.get("/v1/retention/report").json()["cohorts"] == []
