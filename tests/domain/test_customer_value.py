"""What a customer is worth, how that is explained, and how customers are graded and grouped."""

import random
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.assessment import apportion, rounded
from domain.beta_geometric import MbgNbd
from domain.customer_value import Valuation, extra, purchase_risk, quintiles, rfm, worth
from domain.gamma_gamma import GammaGamma
from domain.grouping import belonging, moves
from domain.health import health, health_risk, scorecard_of, weighted
from domain.retention_policy import (
    Component,
    Condition,
    Grouping,
    Measure,
    RetentionPolicy,
    Rule,
    Scorecard,
    TopShare,
)
from tests.domain.members import features, member

MBG = Valuation(
    MbgNbd(0.525, 6.183, 0.891, 1.614),
    GammaGamma(6.25, 3.74, 1544.0),
    "EUR",
    39.0,
    0.1,
    "mbg_nbd 1",
)
REGULAR = features("regular", repeats=8, recency=36.0, age=38.0, spent=30_000)
SILENT = features("silent", repeats=8, recency=12.0, age=38.0, spent=30_000)
ONCE = features("once", age=38.0, spent=2_000)


def test_who_falls_silent_against_the_own_rhythm_is_at_risk() -> None:
    regular, silent, once = (purchase_risk(each, MBG) for each in (REGULAR, SILENT, ONCE))
    assert regular is not None
    assert silent is not None
    assert once is not None
    assert regular.score < 15
    assert silent.score > 90
    assert silent.reasons[0].code == "probably_left"
    assert silent.reasons[0].numbers["silent_days"] == 182.0
    assert silent.reasons[0].numbers["usual_gap_days"] == 10.5
    assert 60 < once.score < 100


@given(st.integers(0, 60), st.floats(0, 1), st.floats(0.1, 80))
def test_the_points_of_the_reasons_are_the_score(repeats: int, share: float, age: float) -> None:
    recency = share * age if repeats else 0.0
    about = features("x", repeats=repeats, recency=recency, age=age)
    found = purchase_risk(about, MBG)
    value = worth(about, MBG)
    assert found is not None
    assert value is not None
    assert sum(reason.points for reason in found.reasons) == found.score
    assert abs(found.score - 100 * value.p_silent) <= 0.5 + 1e-9


def test_a_regular_customer_has_most_to_come_and_a_silent_one_most_at_risk() -> None:
    regular, silent, once = (worth(each, MBG) for each in (REGULAR, SILENT, ONCE))
    assert regular is not None
    assert silent is not None
    assert once is not None
    assert regular.lifetime_value > 20 * silent.lifetime_value
    assert silent.value_at_risk > 5 * regular.value_at_risk
    assert silent.value_at_risk > 5 * once.value_at_risk


def test_nobody_is_scored_by_purchases_without_one() -> None:
    stranger = features("stranger")._replace(history=None)
    assert worth(stranger, MBG) is None
    assert purchase_risk(stranger, MBG) is None


@given(st.lists(st.floats(-200, 200), min_size=1, max_size=9))
def test_no_point_is_lost_in_rounding(parts: list[float]) -> None:
    whole = apportion(rounded(fsum(parts)), parts)
    assert sum(whole) == rounded(fsum(parts))
    assert all(abs(point - part) < 1 for point, part in zip(whole, parts, strict=True))


def test_equal_remainders_go_to_the_first() -> None:
    assert apportion(10, [10 / 3] * 3) == [4, 3, 3]
    assert apportion(3, [5.5, -2.5]) == [6, -3]


# ---- RFM -----------------------------------------------------------------------------------------


def test_equal_customers_get_equal_grades_whatever_their_order() -> None:
    values = {f"c{n}": float(min(n, 6)) for n in range(10)}
    grades = quintiles(values)
    assert [grades[f"c{n}"] for n in range(10)] == [1, 1, 2, 2, 3, 3, 4, 4, 4, 4]
    names = random.Random(1).sample(list(values), len(values))
    assert quintiles({name: values[name] for name in names}) == grades
    assert set(quintiles(dict.fromkeys("abcde", 7.0)).values()) == {1}


def test_rfm_grades_recency_frequency_and_money_of_one_currency() -> None:
    buyers = [
        features(f"c{n}", repeats=n, recency=float(n), age=10.0, spent=100 * n) for n in range(10)
    ]
    grades = rfm([*buyers, features("stranger")._replace(history=None)], "EUR")
    assert grades["c0"] == (1, 1, 1)
    assert grades["c9"] == (5, 5, 5)
    assert "stranger" not in grades
    assert {grade.monetary for grade in rfm(buyers, "USD").values()} == {1}


# ---- Tiers and segments --------------------------------------------------------------------------

TIERS = Grouping(
    rules=(
        Rule(name="gold", top=TopShare(feature="lifetime_value", percent=20)),
        Rule(name="silver", all_of=(Condition(feature="purchases", at_least=3),)),
    ),
    otherwise="bronze",
)
MEMBERS = [
    member(f"c{n}", {"lifetime_value": float(n)}, repeats=n, recency=float(n)) for n in range(10)
]


def test_the_first_rule_that_fits_counts() -> None:
    tiers = belonging(TIERS, MEMBERS)
    assert [tiers[f"c{n}"] for n in range(10)] == ["bronze"] * 2 + ["silver"] * 6 + ["gold"] * 2
    assert belonging(TIERS, MEMBERS[::-1]) == tiers


def test_equal_customers_at_the_edge_of_a_share_are_in_together() -> None:
    alike = [member(f"c{n}", {"lifetime_value": 5.0}) for n in range(10)]
    assert set(belonging(TIERS, alike).values()) == {"gold"}
    unknown = [member(f"c{n}") for n in range(3)]
    assert set(belonging(TIERS, unknown).values()) == {"bronze"}


def test_a_dry_run_tells_who_would_move_and_why() -> None:
    now = dict(belonging(TIERS, MEMBERS)) | {"c9": "silver"}
    (move,) = moves(TIERS, MEMBERS, now)
    assert move == ("c9", "silver", "gold", {"lifetime_value": 9.0, "purchases": 10.0})
    assert moves(TIERS, MEMBERS, belonging(TIERS, MEMBERS)) == []


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"feature": "shoe_size", "at_least": 1}, "no feature"),
        ({"feature": "spent.eur", "at_least": 1}, "no feature"),
        ({"feature": "purchases"}, "needs at_least or at_most"),
        ({"feature": "purchases", "at_least": float("nan")}, "finite"),
    ],
)
def test_a_rule_that_says_nothing_is_refused(rule: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Condition.model_validate(rule)


# ---- Health --------------------------------------------------------------------------------------


def test_the_published_example_of_a_scorecard() -> None:
    found = weighted([("a", 7, 83), ("b", 5, 71), ("c", 8, 78), ("d", 3, 54)])
    assert found.score == 75
    assert [share.points for share in found.shares] == [25, 16, 27, 7]
    unrounded = weighted([("a", 7, 83), ("b", 5, (76 + 65) / 2), ("c", 8, 236 / 3), ("d", 3, 54)])
    assert unrounded.score == 75


def measure(feature: str, worst: float, best: float, missing: int | None = None) -> Measure:
    return Measure(feature=feature, worst=worst, best=best, missing=missing)


CARD = Scorecard(
    components=(
        Component(name="activity", weight=3, measures=(measure("contact_trend", -0.5, 0.0),)),
        Component(
            name="service",
            weight=1,
            measures=(measure("recent_complaints", 4, 0), measure("satisfaction", 0, 100, 50)),
        ),
    )
)


def test_health_is_the_weighted_mean_of_what_can_be_told() -> None:
    found = health(CARD, member("a", contact_trend=-0.2, recent_complaints=1, satisfaction=25.0))
    assert found is not None
    assert [(s.name, round(s.grade, 6)) for s in found.shares] == [
        ("activity", 60),
        ("service", 50),
    ]
    assert found.score == 58
    silent = health(CARD, member("b"))
    assert silent is not None
    assert [share.name for share in silent.shares] == ["service"]
    assert silent.score == 75
    nothing = Scorecard(components=CARD.components[:1])
    assert health(nothing, member("c")) is None


def test_the_reasons_of_bad_health_sum_to_what_is_missing() -> None:
    about = member("a", contact_trend=-0.9, recent_complaints=2, satisfaction=10.0)
    found, risk = health(CARD, about), health_risk(CARD, about, "health 2")
    assert found is not None
    assert risk is not None
    assert risk.score == 100 - found.score == sum(reason.points for reason in risk.reasons)
    assert risk.reasons[0].code == "activity"
    assert risk.reasons[0].numbers == {"contact_trend": -0.9, "grade": 0.0, "weight": 3.0}


def test_a_segment_has_its_own_scorecard_or_that_of_everybody() -> None:
    own = CARD.model_copy(update={"segment": "business"})
    policy = RetentionPolicy(currency="EUR", scorecards=(CARD, own))
    assert scorecard_of(policy, "business") == own
    assert scorecard_of(policy, "private") == CARD
    assert scorecard_of(RetentionPolicy(currency="EUR"), None) is None


def test_rules_see_values_only_where_there_are_some() -> None:
    assert extra(None, None) == {}
    assert extra(worth(REGULAR, MBG), None).keys() >= {"p_alive", "lifetime_value"}
