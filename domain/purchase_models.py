"""Fit a model to what customers did; a fit that explains them badly is refused with a reason.

Deterministic: the order in which customers come does not matter, and sums are exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from math import fsum
from typing import NamedTuple, Protocol

from domain.beta_geometric import BgNbd, MbgNbd
from domain.contract_retention import Contracts, ShiftedBetaGeometric, observed_survival
from domain.gamma_gamma import GammaGamma, Spend, together
from domain.numerics import Matrix, Minimum, minimise_positive
from domain.pareto_nbd import ParetoNbd
from domain.purchase_history import Grouped, History, customers_in, thinned
from domain.rejected import Rejected
from domain.silence_model import Seen, SilenceModel, learn, odds, ranks_well

CUSTOMERS_MIN = 100
REPEATERS_MIN = 30
"""Fewer say nothing about how customers differ."""

THINNED_FROM, THINNED_TO = 500, 8
"""From so many rows on, every eighth row alone is searched first, at an eighth of the cost: it
leads near the parameters and tells how the likelihood bends there."""

PARAMETER_RANGE = (1e-4, 1e5)
"""A parameter that runs away means that the data do not determine it."""

REPEATS_RATIO_MAX = 1.15
"""How far the expected number of repeat purchases may be from the real one, as a factor."""

TOGETHER_MAX = 0.3
"""How strongly amount and frequency may go together (correlation)."""

RANKS_WELL_MIN = 0.55
"""How often at least a silent customer must have been told from another (0.5 is chance)."""

SURVIVAL_GAP_MAX = 0.05
"""How far a fitted retention curve may be from the survivors that it was fitted to."""


class PurchaseModel(Protocol):
    """How customers buy and leave, when nobody tells us that they leave. Time is in weeks."""

    @property
    def name(self) -> str:
        """Give the name that facts refer to."""

    def log_likelihood(self, groups: Grouped) -> float:
        """Tell how well the parameters explain the histories."""

    def slope(self, groups: Grouped) -> list[float]:
        """Give the derivatives of the log-likelihood by the parameters."""

    def p_alive(self, history: History) -> float:
        """Tell how likely the customer is still one."""

    def p_pause(self, history: History, span: float) -> float:
        """Tell how likely a customer who is still one buys nothing in a span of time."""

    def p_silent(self, history: History, span: float) -> float:
        """Tell how likely the customer buys nothing in a span of time from now on."""

    def expected(self, span: float) -> float:
        """Tell how many repeat purchases a new customer makes in a span of time."""

    def expected_more(self, history: History, span: float) -> float:
        """Tell how many more purchases the customer makes in a span of time from now on."""


class Fit(NamedTuple):
    """A fitted model with what tells how good it is."""

    model: str
    parameters: tuple[float, ...]
    log_likelihood: float
    customers: int
    iterations: int
    diagnostics: Mapping[str, float]


MODELS: Mapping[str, type[BgNbd | MbgNbd | ParetoNbd]] = {
    model.name: model for model in (BgNbd, MbgNbd, ParetoNbd)
}


Kind = BgNbd | MbgNbd | ParetoNbd | GammaGamma | ShiftedBetaGeometric | SilenceModel
KINDS: Mapping[str, type[Kind]] = {
    **MODELS,
    GammaGamma.name: GammaGamma,
    ShiftedBetaGeometric.name: ShiftedBetaGeometric,
    SilenceModel.name: SilenceModel,
}


def purchase_model(name: str, parameters: Mapping[str, float]) -> PurchaseModel:
    """Give a purchase model by its name and those of its parameters."""
    return MODELS[name](**parameters)


def fit_purchases(name: str, groups: Grouped) -> Fit:
    """Fit a purchase model by maximum likelihood. Raises `Rejected` when it explains badly."""
    customers = customers_in(groups)
    repeaters = customers - sum(alike.customers for alike in groups.get(0, ()))
    must_be_many(customers, CUSTOMERS_MIN, "customers")
    must_be_many(repeaters, REPEATERS_MIN, "customers who bought again")
    kind = MODELS[name]
    weeks = fsum(a.age * a.customers for rows in groups.values() for a in rows) / customers

    start = astuple(kind.start(weeks))
    if sum(map(len, groups.values())) >= THINNED_FROM:
        nearby = likeliest(kind, thinned(groups, THINNED_TO), start)
        bent = [[each / THINNED_TO for each in row] for row in nearby.curvature]
        found = likeliest(kind, groups, nearby.point, bent)
    else:
        found = likeliest(kind, groups, start)
    fit = accepted(name, found, customers)
    ratio = repeats_ratio(kind(*fit.parameters), groups)
    if not 1 / REPEATS_RATIO_MAX <= ratio <= REPEATS_RATIO_MAX:
        raise Rejected(
            "value_model.poor_fit",
            f"The model {name} expects {ratio:.2f} times the repeat purchases that were made;"
            f" at most a factor of {REPEATS_RATIO_MAX} is accepted.",
        )
    return fit._replace(diagnostics={**fit.diagnostics, "repeats_ratio": ratio})


def fit_spend(spends: Sequence[Spend]) -> Fit:
    """Fit what purchases are worth. Raises `Rejected` when the model explains badly."""
    must_be_many(len(spends), REPEATERS_MIN, "customers who bought again")
    correlation = together(spends)
    if abs(correlation) > TOGETHER_MAX:
        raise Rejected(
            "value_model.poor_fit",
            f"Customers who buy often spend differently per purchase (correlation"
            f" {correlation:.2f}); the model assumes that they do not.",
        )
    mean = fsum(spend.mean for spend in spends) / len(spends)
    relative = [spend._replace(mean=spend.mean / mean) for spend in spends]
    found = minimise_positive(
        lambda at: -GammaGamma(*at).log_likelihood(relative), (2.0, 2.0, 1.0)
    )  # in means, so that nothing depends on whether amounts are in cents or in yen
    fit = accepted(GammaGamma.name, found, len(spends))
    p, q, scale = fit.parameters
    return fit._replace(
        parameters=(p, q, scale * mean),
        log_likelihood=GammaGamma(p, q, scale * mean).log_likelihood(spends),
        diagnostics={**fit.diagnostics, "correlation": correlation},
    )


def fit_silence(seen: Sequence[Seen], seen_share: float, asked_share: float) -> Fit:
    """Learn what silence has meant. Raises `Rejected` when it has not told anything.

    By the purchase model, `seen_share` of all stay silent for as long as was looked at, and
    `asked_share` for as long as is asked about: that is the shift between the two.
    """
    silent = sum(each.silent for each in seen)
    must_be_many(silent, REPEATERS_MIN, "customers who then bought nothing")
    must_be_many(len(seen) - silent, REPEATERS_MIN, "customers who then bought")
    found = learn(seen, odds(asked_share) - odds(seen_share))
    ranked = ranks_well([(found.model.p_silent(*each[:3]), each.silent) for each in seen])
    if not found.converged or ranked < RANKS_WELL_MIN:
        raise Rejected(
            "value_model.poor_fit",
            f"Silence, purchases and spending told a silent customer from another in {ranked:.0%}"
            f" of all pairs; chance is 50%, and {RANKS_WELL_MIN:.0%} are needed.",
        )
    diagnostics = {"ranks_well": ranked, "silent_share": silent / len(seen)}
    parameters = tuple(astuple(found.model))
    name = SilenceModel.name
    return Fit(name, parameters, found.log_likelihood, len(seen), found.steps, diagnostics)


def fit_retention(contracts: Contracts) -> Fit:
    """Fit who renews contracts. Raises `Rejected` when the curve is far from what happened."""
    must_be_many(contracts.all, CUSTOMERS_MIN, "contracts")
    survival = observed_survival(contracts, REPEATERS_MIN)
    if len(survival) < 3 or min(contracts.ended) < 0:
        raise Rejected(
            "value_model.poor_fit",
            "A retention curve needs contracts over two periods or more, never rising in number.",
        )
    found = minimise_positive(
        lambda at: -ShiftedBetaGeometric(*at).log_likelihood(contracts), (1.0, 1.0)
    )
    fit = accepted(ShiftedBetaGeometric.name, found, contracts.all)
    curve = ShiftedBetaGeometric(*fit.parameters)
    gap = max(abs(curve.survival(t) - share) for t, share in enumerate(survival))
    if gap > SURVIVAL_GAP_MAX:
        raise Rejected(
            "value_model.poor_fit",
            f"The retention curve is {gap:.1%} away from the real survivors somewhere.",
        )
    return fit._replace(diagnostics={**fit.diagnostics, "survival_gap": gap})


def likeliest(
    kind: type[BgNbd | MbgNbd | ParetoNbd],
    groups: Grouped,
    start: Sequence[float],
    curvature: Matrix | None = None,
) -> Minimum:
    """Search for the most likely parameters of a purchase model."""
    return minimise_positive(
        lambda at: -kind(*at).log_likelihood(groups),
        start,
        lambda at: [-each for each in kind(*at).slope(groups)],
        curvature,
    )


def accepted(name: str, found: Minimum, customers: int) -> Fit:
    """Take the end of a search as a fit. Raises `Rejected` when it ended nowhere."""
    low, high = PARAMETER_RANGE
    if not found.converged or not all(low < each < high for each in found.point):
        told = ", ".join(f"{each:.4g}" for each in found.point)
        raise Rejected(
            "value_model.poor_fit",
            f"The data do not determine the parameters of {name}: the search ended at {told}.",
        )
    diagnostics = {"slope": found.slope}
    return Fit(name, found.point, -found.value, customers, found.iterations, diagnostics)


def must_be_many(count: int, least: int, what: str) -> None:
    """Refuse to conclude anything from a handful."""
    if count < least:
        raise Rejected("value_model.too_few", f"There are {count} {what}; a fit needs {least}.")


def repeats_ratio(model: PurchaseModel, groups: Grouped) -> float:
    """Compare the repeat purchases that a model expects up to now with those made."""
    ages: dict[float, int] = {}
    for rows in groups.values():
        for alike in rows:
            ages[alike.age] = ages.get(alike.age, 0) + alike.customers
    expected = fsum(count * model.expected(age) for age, count in sorted(ages.items()))
    made = sum(x * alike.customers for x, rows in groups.items() for alike in rows)
    return expected / made


def named(fit: Fit) -> dict[str, float]:
    """Give the parameters of a fit by their names."""
    names = (each.name for each in fields(KINDS[fit.model]))
    return dict(zip(names, fit.parameters, strict=True))


# ---- What a customer is worth --------------------------------------------------------------------

STEP_WEEKS = 4.0
WEEKS_A_YEAR = 52.0


def lifetime_value(
    model: PurchaseModel,
    history: History,
    amount: float,
    horizon_weeks: float,
    yearly_discount: float,
) -> float:
    """Give the discounted worth of the purchases to come, at an expected amount each.

    What is bought within four weeks counts as bought at their end.
    """
    worth, bought, week = [], 0.0, 0.0
    while week < horizon_weeks:
        week = min(week + STEP_WEEKS, horizon_weeks)
        by_then = model.expected_more(history, week)
        discounted = (1.0 + yearly_discount) ** (-week / WEEKS_A_YEAR)
        worth.append((by_then - bought) * discounted * amount)
        bought = by_then
    return fsum(worth)
