"""What a customer is worth, and how much of that is at risk, by a fitted model."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import NamedTuple

from domain.assessment import Assessment, assessment, rounded
from domain.contract_retention import Contract, ShiftedBetaGeometric
from domain.customer_features import Features, number
from domain.gamma_gamma import GammaGamma
from domain.purchase_history import DAYS_A_WEEK
from domain.purchase_models import PurchaseModel, lifetime_value

DAYS_A_YEAR = 365.25


class Valuation(NamedTuple):
    """How a tenant values its customers: two fitted models and what it agreed to assume."""

    purchases: PurchaseModel
    spend: GammaGamma
    currency: str
    horizon_weeks: float
    yearly_discount: float
    basis: str


class Worth(NamedTuple):
    """What a customer is worth over the horizon; amounts in minor units."""

    p_alive: float
    p_silent: float
    expected_purchases: float
    expected_amount: float
    lifetime_value: int
    value_at_risk: int
    """What would be bought by somebody who surely stays, times the chance to buy nothing."""


def worth(features: Features, by: Valuation) -> Worth | None:
    """Value a customer; None for who never bought."""
    if features.history is None:
        return None
    history, span = features.history, by.horizon_weeks
    amount = by.spend.expected(features.spend.get(by.currency))
    expected = by.purchases.expected_more(history, span)
    alive, silent = by.purchases.p_alive(history), by.purchases.p_silent(history, span)
    value = lifetime_value(by.purchases, history, amount, span, by.yearly_discount)
    return Worth(
        p_alive=alive,
        p_silent=silent,
        expected_purchases=expected,
        expected_amount=amount,
        lifetime_value=rounded(value),
        value_at_risk=rounded(expected / alive * amount * silent),
    )


def purchase_risk(features: Features, by: Valuation) -> Assessment | None:
    """Tell how likely a customer buys nothing within the horizon, and why.

    There are two ways to buy nothing, and their chances add up to the score: to have left already,
    which the silence after the own rhythm tells; or to be there still and to pause for so long.
    """
    if features.history is None:
        return None
    history, span = features.history, by.horizon_weeks
    alive = by.purchases.p_alive(history)
    pause = by.purchases.p_pause(history, span)
    silence = {"silent_days": (history.age - history.recency) * DAYS_A_WEEK}
    if features.purchase_gap_days is not None:
        silence["usual_gap_days"] = features.purchase_gap_days
    rarely = {"purchases": float(features.purchases), "horizon_weeks": span}
    parts = [
        ("probably_left", 100.0 * (1.0 - alive), {"p_left": 1.0 - alive, **silence}),
        ("buys_rarely", 100.0 * alive * pause, {"p_pause": pause, **rarely}),
    ]
    return assessment(by.basis, 100.0 * (1.0 - alive * (1.0 - pause)), parts)


class Rfm(NamedTuple):
    """Quintiles among all buyers of a tenant as of an instant: 5 is best."""

    recency: int
    frequency: int
    monetary: int


def rfm(customers: Iterable[Features], currency: str) -> dict[str, Rfm]:
    """Grade all who ever bought, by how recently, how often and how much."""
    buyers = [each for each in customers if each.history is not None]
    recency = quintiles({f.customer: -(f.purchase_silence_days or 0.0) for f in buyers})
    frequency = quintiles({f.customer: float(f.purchases) for f in buyers})
    monetary = quintiles({f.customer: float(f.spent.get(currency, 0)) for f in buyers})
    return {
        f.customer: Rfm(recency[f.customer], frequency[f.customer], monetary[f.customer])
        for f in buyers
    }


def quintiles(values: Mapping[str, float]) -> dict[str, int]:
    """Grade by the share of those who have strictly less: equal values get equal grades."""
    below: dict[float, int] = {}
    for rank, value in enumerate(sorted(values.values())):
        below.setdefault(value, rank)
    return {name: 1 + 5 * below[value] // len(values) for name, value in values.items()}


class ContractWorth(NamedTuple):
    """What a contract that goes on is worth; the amount in minor units."""

    renewals: int
    p_renew: float
    """How likely it is renewed at the end of its period."""
    contract_value: int
    """What the periods to come pay, discounted, without end."""


def contract_worth(
    paid: Mapping[date, int],
    contract: Contract,
    by: ShiftedBetaGeometric,
    period_days: int,
    yearly_discount: float,
) -> ContractWorth:
    """Value a contract by how often it was renewed; a period pays what the last one did."""
    rate = (1.0 + yearly_discount) ** (period_days / DAYS_A_YEAR) - 1.0
    periods = by.residual_periods(contract.renewals, rate)
    return ContractWorth(
        contract.renewals,
        by.retention(contract.renewals + 1),
        rounded(paid[max(paid)] * periods),
    )


def profit(features: Features, currency: str, margin_percent: float, contact_cost: int) -> float:
    """Give what was earned on a customer, less what its contacts cost, in minor units."""
    earned = features.spent.get(currency, 0) * margin_percent / 100.0
    return earned - features.contacts * contact_cost


def extra(value: Worth | None, grades: Rfm | None) -> dict[str, float]:
    """Give what rules may ask of a customer beyond its features, by name."""
    told: dict[str, float] = {}
    if value is not None:
        told |= {name: float(getattr(value, name)) for name in VALUES}
    if grades is not None:
        told |= {f"rfm_{name}": float(grade) for name, grade in grades._asdict().items()}
    return told


VALUES = ("p_alive", "p_silent", "expected_purchases", "lifetime_value", "value_at_risk")
RFM_VALUES = tuple(f"rfm_{name}" for name in Rfm._fields)
MORE_VALUES = frozenset({*VALUES, *RFM_VALUES, *ContractWorth._fields, "profit"})
"""What rules may ask beyond the features themselves."""


class Member(NamedTuple):
    """A customer as rules see it: features, and what models and ranks say on top of them."""

    features: Features
    extra: Mapping[str, float]

    def number(self, name: str) -> float | None:
        """Give a number by its name; None when it cannot be told of this customer."""
        if name in MORE_VALUES:
            return self.extra.get(name)
        return number(self.features, name)
