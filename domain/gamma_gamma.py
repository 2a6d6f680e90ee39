"""Gamma-Gamma (Fader, Hardie 2013): how much a customer spends in one purchase on average.

It assumes that how much somebody spends says nothing about how often; `together` measures that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum, lgamma, log, sqrt
from typing import ClassVar, NamedTuple


class Spend(NamedTuple):
    """How many repeat purchases a customer made, and their mean amount."""

    purchases: int
    mean: float


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """Single amounts are gamma (p, rate); the rates are gamma (q, scale) among customers."""

    p: float
    q: float
    scale: float

    name: ClassVar[str] = "gamma_gamma"

    def log_likelihood(self, spends: Sequence[Spend]) -> float:
        """Tell how well the parameters explain the mean amounts."""
        p, q, scale = self.p, self.q, self.scale
        fixed = q * log(scale) - lgamma(q)
        by_count = {
            x: fixed + lgamma(p * x + q) - lgamma(p * x) + p * x * log(x)
            for x in {spend.purchases for spend in spends}
        }
        return fsum(
            by_count[x] + (p * x - 1.0) * log(mean) - (p * x + q) * log(scale + x * mean)
            for x, mean in spends
        )

    def expected(self, spend: Spend | None) -> float:
        """Give the amount to expect: between what all spend and what this customer has spent."""
        x, mean = spend or (0, 0.0)
        if self.p * x + self.q <= 1.0:
            return self.p * self.scale / self.q
        return self.p * (self.scale + x * mean) / (self.p * x + self.q - 1.0)


def usable(spends: Iterable[Spend]) -> list[Spend]:
    """Keep who bought again and paid for it, in a fixed order."""
    return sorted(spend for spend in spends if spend.purchases > 0 and spend.mean > 0.0)


def together(spends: Sequence[Spend]) -> float:
    """Give the correlation of how often and how much: the model needs it near zero."""
    count = len(spends)
    often = fsum(spend.purchases for spend in spends) / count
    much = fsum(spend.mean for spend in spends) / count
    both = fsum((s.purchases - often) * (s.mean - much) for s in spends)
    spread = fsum((s.purchases - often) ** 2 for s in spends) * fsum(
        (s.mean - much) ** 2 for s in spends
    )
    return both / sqrt(spread) if spread > 0.0 else 0.0
