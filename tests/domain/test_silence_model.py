"""What silence has meant: learned from the past, and explained to the point."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.numerics import differences, solve
from domain.purchase_models import fit_silence
from domain.rejected import Rejected
from domain.silence_model import Seen, SilenceModel, bend_and_slope, chance, learn, ranks_well
from tests.domain.members import features

MODEL = SilenceModel(1.0, 0.13, 0.39, -0.87, -0.24, 1.9, 1.2, 0.6, 8.0)


def crowd(size: int = 3000) -> list[Seen]:
    """Customers whose silence really follows the model."""
    dice, made = random.Random(5), []
    for _ in range(size):
        weeks, purchases = dice.uniform(0, 40), 1 + int(dice.expovariate(0.7))
        spent = dice.uniform(500, 3000) * purchases
        silent = dice.random() < MODEL.p_silent(weeks, purchases, spent)
        made.append(Seen(weeks, purchases, spent, silent))
    return made


def test_the_weights_that_made_the_past_are_found() -> None:
    found = learn(crowd(), 0.0)
    assert found.converged
    for weeks, purchases, spent in ((2.0, 1, 900.0), (20.0, 3, 4000.0), (38.0, 1, 2500.0)):
        expected = MODEL.p_silent(weeks, purchases, spent)
        assert found.model.p_silent(weeks, purchases, spent) == pytest.approx(expected, abs=0.05)


def test_the_search_ends_where_the_slope_is_flat() -> None:
    rows = [(1.0, each.silence_weeks / 10, 0.3, 0.2, 0.1 * each.purchases) for each in crowd(50)]
    silent = [each.silent for each in crowd(50)]
    _, flat = bend_and_slope(rows, silent, [0.1, 0.2, 0.3, 0.4, 0.5])
    assert any(abs(each) > 0.1 for each in flat)
    assert solve([[2.0, 1.0], [1.0, 3.0]], [5.0, 10.0]) == pytest.approx([1.0, 3.0])
    assert differences(lambda p: chance(p[0]), [0.0])[0] == pytest.approx(0.25)


def test_the_order_of_customers_does_not_change_a_bit() -> None:
    seen = crowd(400)
    shuffled = random.Random(9).sample(seen, len(seen))
    assert learn(seen, 0.2) == learn(shuffled, 0.2)


@given(st.integers(0, 60), st.floats(0, 1), st.floats(0.1, 80), st.integers(0, 10**7))
def test_the_points_of_the_reasons_are_the_score(
    repeats: int, share: float, age: float, spent: int
) -> None:
    about = features(
        "x", repeats=repeats, recency=share * age * (repeats > 0), age=age, spent=spent
    )
    found = MODEL.risk(about, "EUR", "silence 1")
    assert found is not None
    assert sum(reason.points for reason in found.reasons) == found.score
    weeks = about.history.age - about.history.recency
    exact = 100 * MODEL.p_silent(weeks, about.purchases, spent)
    assert abs(found.score - exact) <= 0.5 + 1e-9


def test_reasons_speak_for_and_against() -> None:
    about = features("x", repeats=9, recency=8.0, age=38.0, spent=60_000)
    found = MODEL.risk(about, "EUR", "silence 1")
    assert found is not None
    points = {reason.code: reason.points for reason in found.reasons}
    assert points["silence"] > 10
    assert points["purchases"] < -10
    silence = next(reason for reason in found.reasons if reason.code == "silence")
    assert silence.numbers == {"silent_days": 210.0, "usual_gap_days": 6.2222}
    assert MODEL.risk(about._replace(history=None), "EUR", "silence 1") is None


def test_a_longer_time_asked_about_means_less_silence() -> None:
    fit = fit_silence(crowd(), seen_share=0.8, asked_share=0.7)
    same = fit_silence(crowd(), seen_share=0.8, asked_share=0.8)
    longer, short = SilenceModel(*fit.parameters), SilenceModel(*same.parameters)
    assert longer.p_silent(10, 2, 2000) < short.p_silent(10, 2, 2000)
    assert fit.diagnostics["ranks_well"] > 0.7


def test_silence_that_told_nothing_is_refused() -> None:
    dice = random.Random(2)
    noise = [Seen(dice.uniform(0, 40), 1, 1000.0, dice.random() < 0.5) for _ in range(4000)]
    with pytest.raises(Rejected, match="chance is 50%"):
        fit_silence(noise, 0.8, 0.7)
    with pytest.raises(Rejected, match="who then bought; a fit needs 30"):
        fit_silence([each._replace(silent=True) for each in noise[:-3]], 0.8, 0.7)


def test_equal_scores_decide_nothing() -> None:
    assert ranks_well([(1.0, True), (1.0, False)]) == 0.5
    assert ranks_well([(2.0, True), (1.0, False), (0.0, True)]) == 0.5
    assert ranks_well([(2.0, True), (1.0, False)]) == 1.0
