"""From purchases to saved customers: fit, segments, alerts, outcomes, through the real store."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from psycopg.rows import dict_row

from commands.catalogue import BY_NAME
from commands.execute import execute
from commands.ingest import Message, ingest
from commands.ports import Request, Verdict, Who
from consumers.retention import Sweep, assess, fit, raise_alerts, regroup, settle_alerts
from domain.rejected import Rejected
from infra.ids import uuid7
from infra.read_models.retention import fits_of
from infra.runtime import Runtime
from projections import save_queue

WHO = Who("shop", "test")
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
CustomerDays = dict[str, list[int]]

POLICY = {
    "currency": "EUR",
    "horizon_weeks": 26,
    "cool_down_days": 30,
    "tiers": {
        "rules": [{"name": "gold", "top": {"feature": "lifetime_value", "percent": 10}}],
        "otherwise": "standard",
    },
    "segments": {
        "rules": [{"name": "loyal", "all_of": [{"feature": "purchases", "at_least": 6}]}],
        "otherwise": "others",
    },
    "alerts": [{"name": "silent", "basis": "silence", "threshold": 75, "value_at_risk_min": 4000}],
}


def shop(customers: int = 160, days: int = 270) -> CustomerDays:
    """Made-up customers who buy at rates of their own, and some of whom leave."""
    dice = random.Random(11)
    made: CustomerDays = {}
    for number in range(customers):
        rate, leaves = dice.gammavariate(0.8, 1 / 40), dice.betavariate(1.0, 2.5)
        bought, at = [dice.randrange(80)], 0.0
        at = bought[0] + dice.expovariate(rate)
        while at < days and dice.random() > leaves:
            bought.append(int(at))
            at += dice.expovariate(rate) + 1
        made[f"c{number:03}"] = sorted(set(bought))
    return made


def cents(customer: int, day: int) -> int:
    """Some customers are rich, and no two days are alike."""
    return (2 + customer * 7 % 23) * (150 + 37 * (day * 5 % 13))


def buy(runtime: Runtime, customers: CustomerDays, **more: str) -> None:
    messages = [
        {
            "id": f"{name}/{day}",
            "source": "till",
            "type": "customer.purchase_recorded.v1",
            "time": (BEGIN + timedelta(days=day)).isoformat(),
            "data": {
                "customer": {"system": "till", "id": name},
                "amount": {"amount": cents(int(name[1:]), day), "currency": "EUR"},
                **more,
            },
        }
        for name, days in sorted(customers.items())
        for day in days
    ]
    verdicts = ingest([Message(m, b"") for m in messages], WHO, runtime.ports, runtime.refused)
    assert {verdict.status for verdict in verdicts} == {"accepted"}


def ask(runtime: Runtime, name: str, at: float | None = None, **asked: object) -> Verdict:
    time = None if at is None else BEGIN + timedelta(days=at)
    request = Request(BY_NAME[name].model_validate(asked), uuid7(), time)
    return execute([request], WHO, runtime.ports)[0]


def look(runtime: Runtime, day: int, recorded_at: datetime | None = None) -> Sweep:
    return Sweep(runtime, WHO, BEGIN + timedelta(days=day), recorded_at or datetime.now(UTC))


def rows(runtime: Runtime, query: str, **asked: object) -> list[dict[str, object]]:
    with runtime.pool.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, {"tenant": "shop", **asked}).fetchall()


@pytest.fixture
def fitted(runtime: Runtime, catch_up: Callable[[], int]) -> Runtime:
    """A shop whose customers are known for 270 days, its models and its policy."""
    buy(runtime, shop())
    catch_up()
    assert ask(runtime, "retention_policy.set", policy=POLICY).status == "accepted"
    verdicts = fit(look(runtime, 270), BEGIN)
    assert [verdict.events[0].type for verdict in verdicts] == ["value_model.fitted.v1"] * 3
    return runtime


def test_an_alert_lives_from_suspicion_to_outcome(
    fitted: Runtime, catch_up: Callable[[], int]
) -> None:
    found = assess(look(fitted, 270))
    assert 10 < len(found) < 80
    assert all(sum(r.points for r in each.assessment.reasons) >= 75 for each in found)
    assert {verdict.status for verdict in raise_alerts(look(fitted, 270))} == {"accepted"}
    catch_up()
    queue = rows(fitted, save_queue.QUEUE, at=datetime.now(UTC), agent=None, limit=1000)
    assert [str(row["customer"]) for row in queue] == [each.customer for each in found]
    assert [row["value_at_risk"] for row in queue] == sorted(
        (row["value_at_risk"] for row in queue), reverse=True
    )

    saved, comes_by_itself, *others = queue
    about_saved = {"customer": str(saved["customer"]), "alert": str(saved["alert"])}
    assert ask(fitted, "churn_alert.assign", **about_saved, agent="kim").status == "accepted"
    assert ask(fitted, "churn_alert.choose_play", 275, **about_saved, play="call").status == (
        "accepted"
    )
    for row, day in ((saved, 290), (comes_by_itself, 295)):
        purchase = {"amount": {"amount": 100, "currency": "EUR"}}
        verdict = ask(
            fitted, "customer.record_purchase", day, customer=str(row["customer"]), **purchase
        )
        assert verdict.status == "accepted"
    catch_up()
    assert len(settle_alerts(look(fitted, 300))) == 2
    settle_alerts(look(fitted, 270 + 26 * 7))
    catch_up()
    outcomes = {
        row["customer"]: (row["outcome"], row["proof"], row["proven_at"])
        for row in rows(fitted, "SELECT * FROM read.save_queue WHERE tenant = %(tenant)s")
    }
    assert outcomes.pop(saved["customer"]) == ("saved", "purchase", BEGIN + timedelta(days=290))
    assert outcomes.pop(comes_by_itself["customer"])[0] == "false_alarm"
    assert set(outcomes.values()) == {("lost", "silence", BEGIN + timedelta(days=270 + 26 * 7))}
    assert len(outcomes) == len(others)

    interview = {"customer": str(others[0]["customer"]), "alert": str(others[0]["alert"])}
    told = ask(
        fitted, "churn_alert.hold_exit_interview", **interview,
        answers={"main_reason": "price"}, words={"main_reason": "Cheaper elsewhere."},
    )  # fmt: skip
    assert told.status == "accepted"
    catch_up()
    assert rows(fitted, save_queue.QUEUE, at=datetime.now(UTC), agent=None, limit=9) == []
    plays = {row["play"]: row for row in rows(fitted, save_queue.BY_PLAY)}
    assert plays["call"]["save_rate_percent"] == 100.0
    assert plays["none"]["lost"] == len(others)
    assert plays["none"]["save_rate_percent"] is None
    assert plays["none"]["false_alarms"] == 1
    (precision,) = rows(fitted, save_queue.PRECISION)
    assert precision["mean_lead_days"] == 182.0
    lost = rows(fitted, save_queue.DEFECTIONS)
    assert sum(int(str(row["lost"])) for row in lost) == len(others)
    assert [row["drivers"] for row in lost if row["drivers"]] == [{"price": 1}]


def test_a_sweep_that_is_repeated_changes_nothing(fitted: Runtime) -> None:
    sweep = look(fitted, 270)
    first = [verdict.events for verdict in raise_alerts(sweep)]
    again = raise_alerts(sweep)
    assert {verdict.status for verdict in again} == {"duplicate"}
    assert [verdict.events for verdict in again] == first
    later = raise_alerts(look(fitted, 271))
    assert {verdict.code for verdict in later} <= {"churn_alert.open", ""}
    assert sum(verdict.code == "churn_alert.open" for verdict in later) >= len(first) - 3


def test_alerts_as_of_an_instant_use_nothing_that_came_later(
    fitted: Runtime, catch_up: Callable[[], int]
) -> None:
    """Planted: a purchase that happened later, one that was learned later, a later fit, a rule."""
    before = assess(look(fitted, 270))
    known = datetime.now(UTC)
    quiet = before[0].customer
    purchase = {"amount": {"amount": 9900, "currency": "EUR"}}
    for day in (260, 280):
        ask(fitted, "customer.record_purchase", day, customer=quiet, **purchase)
    ask(fitted, "retention_policy.set", policy=POLICY | {"alerts": []})
    catch_up()
    assert fit(look(fitted, 300), BEGIN)[0].status == "accepted"
    assert assess(look(fitted, 270, known)) == before
    ask(fitted, "retention_policy.set", policy=POLICY)
    after = {each.customer: each for each in assess(look(fitted, 270))}
    assert quiet not in after  # what happened on day 260 is known now
    values = fits_of(fitted.pool, WHO.tenant, datetime.now(UTC))
    assert len(values) > 3  # the later fit is known, too, and is none of that day's
    assert [after[each.customer] for each in before[1:]] == before[1:]


def test_contracts_are_valued_by_how_often_they_were_renewed(
    runtime: Runtime, catch_up: Callable[[], int]
) -> None:
    dice = random.Random(4)
    payments: CustomerDays = {}
    for number in range(200):
        begins, leaves = dice.randrange(0, 200), dice.betavariate(0.8, 4.0)
        paid = [begins]
        while paid[-1] + 30 <= 270 and dice.random() > leaves:
            paid.append(paid[-1] + 30)
        payments[f"c{number:03}"] = paid
    buy(runtime, payments, product="plan")
    catch_up()
    contract = {"product": "plan", "period_days": 30, "grace_days": 5}
    rules = [{"name": "renewing", "all_of": [{"feature": "p_renew", "at_least": 0}]}]
    segments = {"rules": rules, "otherwise": "none"}
    policy = POLICY | {"tiers": None, "segments": segments, "contract": contract}
    ask(runtime, "retention_policy.set", policy=policy)
    fit(look(runtime, 270), BEGIN)
    fits = {each.model: each for each in fits_of(runtime.pool, "shop", datetime.now(UTC))}
    assert fits["sbg"].customers == 200
    moved = regroup(look(runtime, 270), dry_run=True)["segments"]
    going_on = sum(paid[-1] + 35 >= 270 for paid in payments.values())
    assert sum(move.after == "renewing" for move in moved) == going_on > 50
    assert regroup(look(runtime, 290), dry_run=True)["segments"] != moved


def test_an_alert_by_a_policy_that_has_changed_is_refused(fitted: Runtime) -> None:
    found = assess(look(fitted, 270))[0]
    asked = {
        "customer": found.customer,
        "alert": uuid7(),
        "rule": found.rule,
        "assessment": found.assessment.model_dump(),
        "assessed_at": BEGIN,
    }
    ask(fitted, "retention_policy.set", policy=POLICY | {"due_days": 3})
    refused = ask(fitted, "churn_alert.raise", **asked, policy_version=1)
    assert refused.code == "retention_policy.changed"
    assert ask(fitted, "churn_alert.raise", **asked, policy_version=2).status == "accepted"


def test_who_took_back_the_consent_to_profiling_or_objected_gets_no_alert(
    fitted: Runtime, catch_up: Callable[[], int]
) -> None:
    first, second, *others = [each.customer for each in assess(look(fitted, 270))]
    consent = {"purpose": "profiling", "channel": "web", "text_version": "1"}
    ask(fitted, "customer.grant_consent", 1, customer=first, **consent)
    ask(fitted, "customer.withdraw_consent", 2, customer=first, purpose="profiling", channel="web")
    ask(fitted, "churn_alert.suppress", customer=second, ground="restriction")
    catch_up()
    assert [each.customer for each in assess(look(fitted, 270))] == [second, *others]
    verdicts = raise_alerts(look(fitted, 270))
    assert [verdict.code for verdict in verdicts] == ["churn_alert.suppressed"] + [""] * len(others)


def test_a_dry_run_tells_who_would_move_and_moving_is_done_once(
    fitted: Runtime, catch_up: Callable[[], int]
) -> None:
    dry = regroup(look(fitted, 270), dry_run=True)
    assert len(dry["tiers"]) == len(dry["segments"]) == 160
    assert sum(move.after == "gold" for move in dry["tiers"]) == 16
    assert all(move.numbers["purchases"] >= 6 for move in dry["segments"] if move.after == "loyal")
    catch_up()
    now = datetime.now(UTC)
    assert {each.tier for each in Sweep(fitted, WHO, now, now).customers()} == {None}
    assert regroup(look(fitted, 270), dry_run=True) == dry
    assert regroup(look(fitted, 270), dry_run=False) == dry
    catch_up()
    now = datetime.now(UTC)
    later = Sweep(fitted, WHO, now, now)
    held = {each.customer: each for each in later.customers()}
    assert [held[move.customer].tier for move in dry["tiers"]] == [m.after for m in dry["tiers"]]
    assert [held[m.customer].segment for m in dry["segments"]] == [m.after for m in dry["segments"]]


def test_health_alerts_need_no_model(runtime: Runtime, catch_up: Callable[[], int]) -> None:
    complaint = {"channel": "mail", "kind": "complaint", "direction": "inbound"}
    for number, name in enumerate(["calm", "angry", "angry", "angry"]):
        message = {
            "id": str(number),
            "source": "desk",
            "type": "interaction.recorded.v1",
            "time": (BEGIN + timedelta(days=number)).isoformat(),
            "data": {"customer": {"system": "desk", "id": name}, **complaint},
        }
        ingest([Message(message, b"")], WHO, runtime.ports, runtime.refused)
    catch_up()
    measure = {"feature": "recent_complaints", "worst": 4, "best": 0}
    component = {"name": "complaints", "weight": 1, "measures": [measure]}
    health = POLICY | {
        "scorecards": [{"components": [component]}],
        "alerts": [{"name": "unwell", "basis": "health", "threshold": 60}],
    }
    ask(runtime, "retention_policy.set", policy=health)
    (found,) = assess(look(runtime, 10))
    assert found.assessment.score == 75
    assert found.assessment.basis == "health 1"
    assert found.assessment.reasons[0].numbers["recent_complaints"] == 3.0


def test_alerts_by_a_model_need_a_policy_and_a_fit(runtime: Runtime) -> None:
    with pytest.raises(Rejected, match="no retention policy"):
        raise_alerts(look(runtime, 270))
    ask(runtime, "retention_policy.set", policy=POLICY)
    with pytest.raises(Rejected, match=r"Fit mbg_nbd, gamma_gamma\.EUR and silence first"):
        raise_alerts(look(runtime, 270))


def test_a_minimum_at_stake_needs_a_value(runtime: Runtime) -> None:
    """Without a value nothing would be at stake, and nobody would ever be told of."""
    rule = {"name": "unwell", "basis": "health", "threshold": 60, "value_at_risk_min": 1}
    ask(runtime, "retention_policy.set", policy=POLICY | {"alerts": [rule]})
    with pytest.raises(Rejected, match="Fit mbg_nbd"):
        assess(look(runtime, 270))


def test_a_poor_fit_is_refused_with_a_sentence(
    runtime: Runtime, catch_up: Callable[[], int]
) -> None:
    buy(runtime, {"c1": [0, 5], "c2": [3]})
    ask(runtime, "retention_policy.set", policy=POLICY)
    catch_up()
    purchases, spend = fit(look(runtime, 10), BEGIN)
    assert purchases == Verdict(
        "rejected", "value_model.too_few", "There are 2 customers; a fit needs 100."
    )
    assert spend.code == "value_model.too_few"
