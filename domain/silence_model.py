"""What silence has meant so far: how likely a customer buys nothing, learned from the own past.

Purchase models assume how people buy; this one only looks. It takes everybody as of an earlier
day, sees who bought nothing from then on until now, and finds by logistic regression how silence,
purchases and spending told that in advance. That ranks customers; how many stay silent over the
longer time that is asked about is the purchase model's to say, which shifts all alike.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from math import exp, log, log1p
from typing import ClassVar, NamedTuple

from domain.assessment import Assessment, assessment
from domain.customer_features import Features
from domain.numerics import solve

STEPS_MAX = 30
RIDGE = 1e-6
"""Keeps the search stable when two of the signs tell the same."""

Signs = tuple[float, float, float, float]
"""What is looked at: logarithm of the silence, silence, logarithms of purchases and of spending."""


class Seen(NamedTuple):
    """A customer as of an earlier day, and whether nothing was bought from then on."""

    silence_weeks: float
    purchases: int
    spent: float
    silent: bool


@dataclass(frozen=True, slots=True)
class SilenceModel:
    """The log-odds of silence are linear in the signs; the typical ones serve explanation."""

    level: float
    log_silence: float
    silence: float
    log_purchases: float
    log_spent: float
    typical_log_silence: float
    typical_silence: float
    typical_log_purchases: float
    typical_log_spent: float

    name: ClassVar[str] = "silence"

    def p_silent(self, silence_weeks: float, purchases: int, spent: float) -> float:
        """Tell how likely the customer buys nothing within the horizon."""
        return chance(self.level + sum(self._beyond_typical(silence_weeks, purchases, spent)))

    def risk(self, features: Features, currency: str, basis: str) -> Assessment | None:
        """Score a customer and tell why: how each sign moves it away from the typical customer.

        Along the straight way from there to this customer every sign moves the score in proportion
        to its log-odds, so that the moves sum to the score exactly (Aumann and Shapley).
        """
        if features.history is None:
            return None
        weeks = features.history.age - features.history.recency
        spent = float(features.spent.get(currency, 0))
        moved = self._beyond_typical(weeks, features.purchases, spent)
        typical, whole = chance(self.level), sum(moved)
        score = chance(self.level + whole)
        steep = (score - typical) / whole if abs(whole) > 1e-9 else typical * (1.0 - typical)
        silence = {"silent_days": 7.0 * weeks}
        if features.purchase_gap_days is not None:
            silence["usual_gap_days"] = features.purchase_gap_days
        parts = [
            ("typical_customer", 100.0 * typical, {}),
            ("silence", 100.0 * steep * (moved[0] + moved[1]), silence),
            ("purchases", 100.0 * steep * moved[2], {"purchases": float(features.purchases)}),
            ("spending", 100.0 * steep * moved[3], {"spent": spent}),
        ]
        return assessment(basis, 100.0 * score, parts)

    def _beyond_typical(self, silence_weeks: float, purchases: int, spent: float) -> list[float]:
        _, *weights = astuple(self)
        found = signs(silence_weeks, purchases, spent)
        return [
            weight * (sign - typical)
            for weight, sign, typical in zip(weights[:4], found, weights[4:], strict=True)
        ]


def signs(silence_weeks: float, purchases: int, spent: float) -> Signs:
    """Give what is looked at."""
    return (log1p(silence_weeks), silence_weeks / 10.0, log(purchases), log1p(max(0.0, spent)))


def chance(log_odds: float) -> float:
    """Turn log-odds into a probability."""
    return 1.0 / (1.0 + exp(-max(-700.0, min(700.0, log_odds))))


def odds(share: float) -> float:
    """Turn a probability into log-odds."""
    return log(share / (1.0 - share))


class Found(NamedTuple):
    """The weights that were found, and whether the search ended."""

    model: SilenceModel
    log_likelihood: float
    steps: int
    converged: bool


def learn(everybody: Iterable[Seen], shift: float) -> Found:
    """Find the weights under which the past was most likely (Newton's method)."""
    ordered = sorted(everybody)
    rows = [(1.0, *signs(s.silence_weeks, s.purchases, s.spent)) for s in ordered]
    silent = [each.silent for each in ordered]
    weights, steps, moved = [0.0] * 5, 0, [1.0]
    while max(map(abs, moved)) >= 1e-9 and steps < STEPS_MAX:
        moved = solve(*bend_and_slope(rows, silent, weights))
        weights = [weight + move for weight, move in zip(weights, moved, strict=True)]
        steps += 1
    typical = [sum(row[i] for row in rows) / len(rows) for i in range(1, 5)]
    there = weights[0] + sum(w * t for w, t in zip(weights[1:], typical, strict=True))
    likelihood = sum(
        log(max(1e-300, p if was else 1.0 - p))
        for p, was in zip(chances(rows, weights), silent, strict=True)
    )
    model = SilenceModel(there + shift, *weights[1:], *typical)
    return Found(model, likelihood, steps, steps < STEPS_MAX)


def bend_and_slope(
    rows: Sequence[Sequence[float]], silent: Sequence[bool], weights: Sequence[float]
) -> tuple[list[list[float]], list[float]]:
    """Give how the log-likelihood bends, and its gradient."""
    size = len(weights)
    slope = [0.0] * size
    bend = [[RIDGE if i == j else 0.0 for j in range(size)] for i in range(size)]
    for row, was, p in zip(rows, silent, chances(rows, weights), strict=True):
        missed, spread = was - p, p * (1.0 - p)
        for i, value in enumerate(row):
            slope[i] += missed * value
            scaled = spread * value
            for j in range(i + 1):
                bend[i][j] += scaled * row[j]
    for i in range(size):
        for j in range(i):
            bend[j][i] = bend[i][j]
    return bend, slope


def chances(rows: Sequence[Sequence[float]], weights: Sequence[float]) -> list[float]:
    """Give the probability of silence for each row."""
    a, b, c, d, e = weights
    return [chance(a * r[0] + b * r[1] + c * r[2] + d * r[3] + e * r[4]) for r in rows]


def ranks_well(scored: Sequence[tuple[float, bool]]) -> float:
    """Tell how often a silent customer scores above one who bought (area under the ROC curve)."""
    groups: dict[float, list[int]] = {}
    for score, was in scored:
        groups.setdefault(score, [0, 0])[was] += 1
    below, pairs = 0, 0.0
    for score in sorted(groups):
        bought, silent = groups[score]
        pairs += silent * (below + 0.5 * bought)
        below += bought
    silent_all = len(scored) - below
    return pairs / (below * silent_all) if below and silent_all else 0.5
