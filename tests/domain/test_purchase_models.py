"""The purchase models, against the digits that their authors published."""

import random
from dataclasses import astuple
from datetime import date
from math import fsum

import pytest

from bench import cdnow
from domain.beta_geometric import BgNbd, MbgNbd
from domain.contract_retention import ShiftedBetaGeometric, cohort
from domain.gamma_gamma import GammaGamma, Spend, usable
from domain.numerics import differences
from domain.pareto_nbd import ParetoNbd
from domain.purchase_history import Grouped, History, grouped, history
from domain.purchase_models import (
    MODELS,
    Fit,
    fit_purchases,
    fit_retention,
    fit_spend,
    lifetime_value,
    named,
    purchase_model,
    repeats_ratio,
)
from domain.rejected import Rejected

needs_cdnow = pytest.mark.skipif(not cdnow.available(), reason="shared/data/cdnow is not here")
BG = BgNbd(0.2426, 4.4135, 0.7929, 2.4258)
MBG = MbgNbd(0.5248, 6.1830, 0.8914, 1.6140)
PARETO = ParetoNbd(0.5533, 10.578, 0.6062, 11.669)


@pytest.fixture(scope="module")
def sample() -> Grouped:
    return grouped(cdnow.published_histories())


@needs_cdnow
@pytest.mark.parametrize(
    ("model", "parameters", "log_likelihood"),
    [
        ("bg_nbd", (0.243, 4.414, 0.793, 2.426), -9582.4),
        ("pareto_nbd", (0.553, 10.578, 0.606, 11.669), -9595.0),
        ("mbg_nbd", (0.525, 6.183, 0.891, 1.614), -9582.1),
    ],
)
def test_the_published_parameters_are_found(
    sample: Grouped, model: str, parameters: tuple[float, ...], log_likelihood: float
) -> None:
    fit = fit_purchases(model, sample)
    assert fit.parameters == pytest.approx(parameters, abs=0.0015)
    assert fit.log_likelihood == pytest.approx(log_likelihood, abs=0.05)
    assert fit.customers == 2357


@needs_cdnow
@pytest.mark.parametrize("kind", [BgNbd, MbgNbd])
def test_the_slope_is_the_derivative_of_the_likelihood(sample: Grouped, kind: type) -> None:
    at = (0.6, 5.0, 1.2, 2.0)
    searched = differences(lambda p: kind(*p).log_likelihood(sample), at)
    assert kind(*at).slope(sample) == pytest.approx(searched, rel=1e-5)


@needs_cdnow
def test_the_order_of_customers_does_not_change_a_bit() -> None:
    histories = cdnow.published_histories()
    shuffled = random.Random(7).sample(histories, len(histories))
    assert fit_purchases("mbg_nbd", grouped(histories)) == fit_purchases(
        "mbg_nbd", grouped(shuffled)
    )


def test_the_worked_customer_of_the_paper() -> None:
    bought_twice = History(2, 30.43, 38.86)
    assert BG.expected_more(bought_twice, 39.0) == pytest.approx(1.226, abs=0.0005)
    assert BG.p_alive(bought_twice) == pytest.approx(0.7266, abs=0.0001)


def test_the_expected_purchases_of_a_new_customer() -> None:
    published = {0.1429: 0.0078, 1: 0.0532, 3: 0.1506, 31.8571: 1.0405, 32: 1.0437, 78: 1.8576}
    for span, expected in published.items():
        assert BG.expected(span) == pytest.approx(expected, abs=0.0005)


def test_only_bg_nbd_is_certain_of_one_time_buyers() -> None:
    once = History(0, 0.0, 38.0)
    assert BG.p_alive(once) == 1.0
    assert 0.0 < MBG.p_alive(once) < 0.6
    assert 0.0 < PARETO.p_alive(once) < 0.6


@pytest.mark.parametrize("model", [BG, MBG, PARETO])
def test_probabilities_agree_with_simulated_customers(model: BgNbd | MbgNbd | ParetoNbd) -> None:
    """A check of the conditional formulas that does not use them: many simulated lives."""
    dice, silent, more, alike = random.Random(3), 0, 0, 0
    for _ in range(60_000):
        times = list(simulated(model, dice, 50.0))
        seen = [at for at in times if at <= 20.0]
        if len(seen) == 1 and 4.0 <= seen[-1] <= 8.0:
            later = len(times) - len(seen)
            silent, more, alike = silent + (later == 0), more + later, alike + 1
    about = History(1, 6.0, 20.0)
    assert alike > 1000
    assert silent / alike == pytest.approx(model.p_silent(about, 30.0), abs=0.035)
    assert more / alike == pytest.approx(model.expected_more(about, 30.0), rel=0.1)


def simulated(model, dice, end):  # type: ignore[no-untyped-def]
    rate = dice.gammavariate(model.r, 1 / model.alpha)
    if isinstance(model, ParetoNbd):
        end, leaves = min(end, dice.expovariate(dice.gammavariate(model.s, 1 / model.beta))), 0.0
    else:
        leaves = dice.betavariate(model.a, model.b)
    if model.name == "mbg_nbd" and dice.random() < leaves:
        return
    at = dice.expovariate(rate)
    while at <= end:
        yield at
        if dice.random() < leaves:
            return
        at += dice.expovariate(rate)


@needs_cdnow
def test_the_expected_curve_follows_the_actual_one_through_the_holdout(sample: Grouped) -> None:
    """Pareto/NBD stays within 3 % in all 39 weeks; BG/NBD falls 4 % short, as in its paper."""
    days: dict[str, set[date]] = {}
    for purchase in cdnow.purchases(sample=True):
        days.setdefault(purchase.customer, set()).add(purchase.day)
    worst = {}
    for name in ("bg_nbd", "pareto_nbd"):
        model = MODELS[name](*fit_purchases(name, sample).parameters)
        worst[name] = max(abs(gap) for gap in curve_gaps(model, list(days.values())))
    assert worst["pareto_nbd"] < 0.03
    assert worst["bg_nbd"] < 0.045


def curve_gaps(model, customers):  # type: ignore[no-untyped-def]
    firsts = [(min(days) - cdnow.BEGIN).days for days in customers]
    repeats = [(day - cdnow.BEGIN).days for days in customers for day in days if day != min(days)]
    counted = {first: firsts.count(first) for first in sorted(set(firsts))}
    for week in range(40, 79):
        end = week * 7 - 1
        expected = fsum(n * model.expected((end - first) / 7) for first, n in counted.items())
        yield expected / sum(day <= end for day in repeats) - 1


@needs_cdnow
def test_the_published_spend_model_is_found() -> None:
    days: dict[str, dict[date, int]] = {}
    for purchase in cdnow.purchases(sample=True):
        if purchase.day <= cdnow.CALIBRATION_END:
            spent = days.setdefault(purchase.customer, {})
            spent[purchase.day] = spent.get(purchase.day, 0) + purchase.cents
    repeats = [[cents for day, cents in sorted(spent.items())][1:] for spent in days.values()]
    spends = usable(Spend(len(r), sum(r) / len(r) / 100) for r in repeats if r)
    fit = fit_spend(spends)
    assert fit.customers == 946
    assert fit.parameters == pytest.approx((6.25, 3.74, 15.44), abs=0.01)
    assert abs(fit.diagnostics["correlation"]) < 0.3


def test_the_expected_amount_lies_between_the_customers_and_everybodys() -> None:
    model = GammaGamma(6.25, 3.74, 15.44)
    everybody = model.expected(None)
    assert everybody == pytest.approx(6.25 * 15.44 / 2.74)
    assert everybody < model.expected(Spend(2, 80.0)) < 80.0
    assert model.expected(Spend(500, 80.0)) == pytest.approx(80.0, rel=0.02)


@pytest.mark.parametrize(
    ("survivors", "alpha", "beta", "log_likelihood", "after_12"),
    [
        ((1000, 869, 743, 653, 593, 551, 517, 491), 0.668, 3.806, -1611.2, 0.378),
        ((1000, 631, 468, 382, 326, 289, 262, 241), 0.704, 1.182, -1680.3, 0.170),
    ],
)
def test_the_published_retention_curves_are_found(
    survivors: tuple[int, ...], alpha: float, beta: float, log_likelihood: float, after_12: float
) -> None:
    fit = fit_retention(cohort(survivors))
    assert fit.parameters == pytest.approx((alpha, beta), abs=0.0005)
    assert fit.log_likelihood == pytest.approx(log_likelihood, abs=0.05)
    assert ShiftedBetaGeometric(*fit.parameters).survival(12) == pytest.approx(after_12, abs=5e-4)


def test_residual_periods_are_the_discounted_survival() -> None:
    model = ShiftedBetaGeometric(0.668, 3.806)
    summed = fsum(model.survival(2 + t) / model.survival(1) * 1.1**-t for t in range(2000))
    assert model.residual_periods(1, 0.1) == pytest.approx(summed, rel=1e-9)


def test_lifetime_value_discounts_what_comes_later() -> None:
    regular = History(8, 36.0, 38.0)
    undiscounted = lifetime_value(MBG, regular, 25.0, 52.0, 0.0)
    assert undiscounted == pytest.approx(25.0 * MBG.expected_more(regular, 52.0))
    discounted = lifetime_value(MBG, regular, 25.0, 52.0, 0.15)
    assert 0.86 * undiscounted < discounted < 0.97 * undiscounted


def test_a_handful_of_customers_is_refused() -> None:
    with pytest.raises(Rejected, match="There are 3 customers; a fit needs 100") as no:
        fit_purchases("mbg_nbd", grouped([History(1, 2.0, 9.0)] * 3))
    assert no.value.code == "value_model.too_few"


def test_customers_who_do_not_differ_are_refused() -> None:
    with pytest.raises(Rejected, match="do not determine") as no:
        fit_purchases("bg_nbd", grouped([History(10, 38.0, 39.0)] * 200))
    assert no.value.code == "value_model.poor_fit"


def test_a_customer_base_that_changed_its_habits_is_refused() -> None:
    """Half of them stopped at once, all together: no model of steady rates fits that."""
    crowd = [History(3, 1.0, 40.0)] * 500 + [History(2, 39.0, 40.0)] * 500
    with pytest.raises(Rejected, match="times the repeat purchases") as no:
        fit_purchases("pareto_nbd", grouped(crowd))
    assert no.value.code == "value_model.poor_fit"


def test_spend_that_depends_on_frequency_is_refused() -> None:
    with pytest.raises(Rejected, match="correlation"):
        fit_spend(usable(Spend(n, 10.0 * n) for n in range(1, 60)))


@pytest.mark.parametrize("unit", [100, 100_000])
def test_what_is_spent_may_be_counted_in_any_unit(unit: int) -> None:
    """In cents, or in a currency of large numbers: the same customers, the same shape."""
    dice = random.Random(3)
    amounts = [
        Spend(n, fsum(dice.gammavariate(6.25, 1 / rate) for _ in range(n)) / n)
        for n, rate in ((1 + i % 5, dice.gammavariate(3.74, 1 / 15.44)) for i in range(400))
    ]
    one = fit_spend(usable(amounts))
    scaled = fit_spend(usable(Spend(n, unit * mean) for n, mean in amounts))
    assert scaled.parameters[:2] == pytest.approx(one.parameters[:2], rel=1e-4)
    assert scaled.parameters[2] == pytest.approx(unit * one.parameters[2], rel=1e-4)


def test_survivors_who_do_not_follow_the_curve_are_refused() -> None:
    with pytest.raises(Rejected, match="away from the real survivors"):
        fit_retention(cohort((1000, 400, 380, 150, 140)))
    with pytest.raises(Rejected, match="never rising"):
        fit_retention(cohort((1000, 500, 600)))


def test_histories_are_made_of_days() -> None:
    days = [date(1997, 2, 1), date(1997, 1, 4), date(1997, 2, 1), date(1997, 12, 1)]
    assert history(days, date(1997, 2, 15)) == History(1, 4.0, 6.0)
    assert history(days, date(1997, 1, 1)) is None


@pytest.mark.parametrize("model", [BG, MBG, PARETO])
def test_a_model_is_made_again_from_its_named_parameters(model: BgNbd | MbgNbd | ParetoNbd) -> None:
    fit = Fit(model.name, astuple(model), 0.0, 0, 0, {})
    stored = dict(sorted(named(fit).items()))  # as a stored fact gives them back
    assert purchase_model(model.name, stored) == model


@needs_cdnow
def test_a_good_fit_expects_what_was_bought(sample: Grouped) -> None:
    assert repeats_ratio(MBG, sample) == pytest.approx(1.0, abs=0.03)


def test_a_fit_is_the_same_bit_by_bit_in_whatever_order_customers_come() -> None:
    """With so many different histories that a part of them is searched first."""
    dice = random.Random(9)
    ages = [dice.uniform(20.0, 60.0) for _ in range(1500)]
    bought = [(list(simulated(MBG, dice, age)), age) for age in ages]
    made = [History(len(at), at[-1] if at else 0.0, age) for at, age in bought]
    fits = {
        (fit.parameters, fit.log_likelihood)
        for fit in (
            fit_purchases("mbg_nbd", grouped(dice.sample(made, len(made)))) for _ in range(3)
        )
    }
    assert len(fits) == 1
