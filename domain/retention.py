"""Who may be leaving by the policy and the models of a tenant, and why: no clock, no storage."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from domain.assessment import Assessment
from domain.contract_retention import Contract, ShiftedBetaGeometric, contracts_of
from domain.customer_features import Features
from domain.customer_value import (
    Member,
    Valuation,
    Worth,
    contract_worth,
    extra,
    profit,
    purchase_risk,
    rfm,
    worth,
)
from domain.gamma_gamma import GammaGamma
from domain.grouping import belonging
from domain.health import health_risk, scorecard_of
from domain.purchase_models import purchase_model
from domain.rejected import Rejected
from domain.retention_policy import AlertRule, RetentionPolicy
from domain.silence_model import SilenceModel
from domain.value_model import ValueModelFitted


class Known(NamedTuple):
    """A customer with all that models and ranks say about it."""

    member: Member
    worth: Worth | None
    segment: str | None


class Candidate(NamedTuple):
    """A customer about whom an alert is to be raised."""

    customer: str
    rule: str
    assessment: Assessment
    value_at_risk: int
    segment: str | None


class Models(NamedTuple):
    """What the fits of a tenant amount to; None where there is no fit yet."""

    purchases: Valuation | None = None
    silence: SilenceModel | None = None
    silence_version: int = 0
    contracts: ShiftedBetaGeometric | None = None


def models(policy: RetentionPolicy, fits: Mapping[str, ValueModelFitted]) -> Models:
    """Make the models of their fits."""
    silence, contracts = fits.get(SilenceModel.name), fits.get(ShiftedBetaGeometric.name)
    return Models(
        purchases=valuation(policy, fits),
        silence=SilenceModel(**silence.parameters) if silence else None,
        silence_version=silence.version if silence else 0,
        contracts=ShiftedBetaGeometric(**contracts.parameters) if contracts else None,
    )


def valuation(policy: RetentionPolicy, fits: Mapping[str, ValueModelFitted]) -> Valuation | None:
    """Give how a tenant values its customers; None before its models are fitted."""
    spend_name = f"{GammaGamma.name}.{policy.currency}"
    if policy.model not in fits or spend_name not in fits:
        return None
    purchases, spend = fits[policy.model], fits[spend_name]
    return Valuation(
        purchases=purchase_model(purchases.model, purchases.parameters),
        spend=GammaGamma(**spend.parameters),
        currency=policy.currency,
        horizon_weeks=float(policy.horizon_weeks),
        yearly_discount=policy.yearly_discount_percent / 100.0,
        basis=f"{purchases.model} {purchases.version}",
    )


def known(policy: RetentionPolicy, by: Models, customers: Sequence[Features]) -> list[Known]:
    """Value, grade and group all customers of a tenant."""
    values = {
        f.customer: None if by.purchases is None else worth(f, by.purchases) for f in customers
    }
    grades = rfm(customers, policy.currency)
    members = [
        Member(f, extra(values[f.customer], grades.get(f.customer)) | own_values(policy, by, f))
        for f in customers
    ]
    segments = belonging(policy.segments, members) if policy.segments is not None else {}
    return [
        Known(m, values[m.features.customer], segments.get(m.features.customer)) for m in members
    ]


def member_of(policy: RetentionPolicy, by: Models, features: Features) -> Member:
    """Value one customer; how it ranks among all is not told."""
    value = None if by.purchases is None else worth(features, by.purchases)
    return Member(features, extra(value, None) | own_values(policy, by, features))


def own_values(policy: RetentionPolicy, by: Models, features: Features) -> dict[str, float]:
    """Give what the policy says to reckon from a customer's own numbers."""
    earned = profit(features, policy.currency, policy.margin_percent, policy.contact_cost)
    return {"profit": earned, **contract_values(policy, by, features)}


def contracts_with(policy: RetentionPolicy, features: Features) -> list[Contract]:
    """Give the contracts that there ever were with a customer, the newest one last."""
    terms = policy.contract
    if terms is None:
        return []
    paid = features.products.get(terms.product, {})
    return contracts_of(paid, features.at.date(), terms.period_days, terms.grace_days)


def contract_values(policy: RetentionPolicy, by: Models, features: Features) -> dict[str, float]:
    """Value the contract that goes on with a customer, if there is one."""
    terms, contracts = policy.contract, contracts_with(policy, features)
    if terms is None or by.contracts is None or not contracts or contracts[-1].ended:
        return {}
    amounts = {
        day: paid.get(policy.currency, 0) for day, paid in features.products[terms.product].items()
    }
    discount = policy.yearly_discount_percent / 100.0
    found = contract_worth(amounts, contracts[-1], by.contracts, terms.period_days, discount)
    return {name: float(value) for name, value in found._asdict().items()}


def candidates(
    policy: RetentionPolicy, version: int, by: Models, customers: Iterable[Known]
) -> list[Candidate]:
    """Tell about whom an alert is to be raised, most at stake first. Who objected is not scored."""
    asked = {rule.basis for rule in policy.alerts}
    if any(rule.value_at_risk_min for rule in policy.alerts):
        asked.add("purchases")  # without a value nobody would ever reach the minimum
    if (by.purchases is None and "purchases" in asked) or (
        by.silence is None and "silence" in asked
    ):
        raise Rejected(
            "value_model.unknown",
            f"Fit {policy.model}, {GammaGamma.name}.{policy.currency} and {SilenceModel.name}"
            " first: the rules of alerts go by them.",
        )
    found = [
        candidate
        for each in customers
        if not each.member.features.withdrawn & set(policy.objections)
        for candidate in first_that_fits(policy, version, by, each)
    ]
    return sorted(found, key=lambda c: (-c.value_at_risk, -c.assessment.score, c.customer))


def first_that_fits(
    policy: RetentionPolicy, version: int, by: Models, about: Known
) -> list[Candidate]:
    """Give the alert of the first rule that a customer trips over, if any."""
    at_risk = 0 if about.worth is None else about.worth.value_at_risk
    for rule in policy.alerts:
        if at_risk < rule.value_at_risk_min:
            continue
        found = assess(rule, policy, version, by, about)
        if found is not None and found.score >= rule.threshold:
            customer = about.member.features.customer
            return [Candidate(customer, rule.name, found, at_risk, about.segment)]
    return []


def assess(
    rule: AlertRule, policy: RetentionPolicy, version: int, by: Models, about: Known
) -> Assessment | None:
    """Score a customer by what a rule goes by."""
    features = about.member.features
    match rule.basis:
        case "purchases":
            return None if by.purchases is None else purchase_risk(features, by.purchases)
        case "silence":
            basis = f"{SilenceModel.name} {by.silence_version}"
            return None if by.silence is None else by.silence.risk(features, policy.currency, basis)
        case "health":
            return health_of(policy, version, about)


def health_of(policy: RetentionPolicy, version: int, about: Known) -> Assessment | None:
    """Score what is missing to full health, by the scorecard of the customer's segment."""
    scorecard = scorecard_of(policy, about.segment)
    if scorecard is None:
        return None
    return health_risk(scorecard, about.member, f"health {version}")
