"""Contracts: read off payments, counted, fitted, and what they are worth."""

from datetime import date, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.contract_retention import (
    Contract,
    Contracts,
    ShiftedBetaGeometric,
    cohort,
    contracts_of,
    counted,
    observed_survival,
)
from domain.customer_value import contract_worth, profit
from domain.purchase_models import fit_retention
from domain.retention import Models, contract_values
from domain.retention_policy import ContractTerms, RetentionPolicy
from tests.domain.members import AT, features
from tests.strategies import bounded

FIRST = date(2024, 1, 1)
CURVE = ShiftedBetaGeometric(0.668, 3.806)


def days(*numbers: int) -> list[date]:
    return [FIRST + timedelta(days=number) for number in numbers]


def read(*numbers: int, today: int) -> list[tuple[int, bool]]:
    return [tuple(c) for c in contracts_of(days(*numbers), *days(today), 30, 10)]


def test_contracts_are_read_off_payments() -> None:
    assert read(0, 30, 61, today=70) == [(2, False)]
    assert read(0, 30, 61, today=61 + 40) == [(2, False)]
    assert read(0, 30, 61, today=61 + 41) == [(2, True)]
    assert read(0, 30, 100, today=110) == [(1, True), (0, False)]
    assert read(0, 3, 15, 30, today=40) == [(1, False)]  # paid twice for one period
    assert read(0, 30, today=20) == [(0, False)]  # what came later is not there
    assert read(today=20) == []


def test_contracts_that_are_alike_are_counted() -> None:
    found = counted([Contract(0, ended=True), Contract(2, ended=False), Contract(0, ended=True)])
    assert found == Contracts([2, 0, 0], [0, 0, 1])
    assert found.all == 3
    assert counted([]).all == 0


def test_survival_counts_only_who_was_asked() -> None:
    assert observed_survival(cohort((1000, 631, 468))) == pytest.approx([1.0, 0.631, 0.468])
    young = Contracts([10, 5, 0], [40, 0, 5])  # 40 have not come to their first renewal yet
    assert observed_survival(young) == pytest.approx([1.0, 0.5, 0.25])


def test_contracts_of_many_beginnings_give_the_curve_that_made_them() -> None:
    dice = Random(5)
    made = []
    for _ in range(20_000):
        leaves, seen = dice.betavariate(0.8, 2.0), dice.randrange(1, 9)
        renewed = next((n for n in range(seen) if dice.random() < leaves), None)
        made.append(Contract(seen, ended=False) if renewed is None else Contract(renewed, True))
    fit = fit_retention(counted(made))
    assert fit.parameters == pytest.approx((0.8, 2.0), rel=0.08)
    assert fit.diagnostics["survival_gap"] < 0.03


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=30), st.randoms())
@bounded(50)
def test_the_order_of_contracts_does_not_matter(pairs, dice) -> None:
    contracts = [Contract(*pair) for pair in pairs]
    shuffled = dice.sample(contracts, len(contracts))
    assert counted(shuffled) == counted(contracts)


def test_a_contract_is_worth_its_periods_to_come() -> None:
    paid = {FIRST: 1200, FIRST + timedelta(days=365): 1500}
    found = contract_worth(paid, Contract(1, ended=False), CURVE, 365, 0.1)
    assert found.renewals == 1
    assert found.p_renew == pytest.approx(CURVE.retention(2))
    rate = 1.1 ** (365 / 365.25) - 1.0
    assert found.contract_value == pytest.approx(1500 * CURVE.residual_periods(1, rate), abs=1)
    loyal = contract_worth(paid, Contract(9, ended=False), CURVE, 365, 0.1)
    assert loyal.contract_value > found.contract_value


def test_only_a_contract_that_goes_on_is_worth_something() -> None:
    terms = ContractTerms(product="plan", period_days=30)
    policy = RetentionPolicy(currency="EUR", contract=terms)
    paid = {AT.date() - timedelta(days=n): {"EUR": 900} for n in (10, 40)}
    buyer = features("a", products={"plan": paid, "extra": {AT.date(): {"EUR": 5}}})
    told = contract_values(policy, Models(contracts=CURVE), buyer)
    assert told.keys() == {"renewals", "p_renew", "contract_value"}
    assert told["renewals"] == 1.0
    assert contract_values(policy, Models(), buyer) == {}
    gone = buyer._replace(products={"plan": {d - timedelta(days=60): p for d, p in paid.items()}})
    assert contract_values(policy, Models(contracts=CURVE), gone) == {}
    assert contract_values(policy, Models(contracts=CURVE), features("b")) == {}


def test_profit_is_the_margin_less_the_cost_of_contacts() -> None:
    costly = features("a", spent=10_000, contacts=30)
    assert profit(costly, "EUR", 40.0, 150) == 10_000 * 0.4 - 30 * 150
    assert profit(costly, "USD", 40.0, 150) == -30 * 150
