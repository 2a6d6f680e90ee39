"""Shifted-beta-geometric (Fader, Hardie 2007): who renews a contract, year after year.

Everybody has a chance to leave at each renewal; the chances are beta (alpha, beta) among customers.
Retention rises with time because those who leave easily have left, not because anybody changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, fsum, log
from typing import ClassVar

from domain.numerics import hypergeometric, log_beta


@dataclass(frozen=True, slots=True)
class ShiftedBetaGeometric:
    """The model and its two parameters."""

    alpha: float
    beta: float

    name: ClassVar[str] = "sbg"

    def log_likelihood(self, survivors: Sequence[int]) -> float:
        """Tell how well the parameters explain how a cohort shrinks, from its size at first."""
        terms = [
            (before - after) * self._log_p_leaving(period)
            for period, (before, after) in enumerate(pairwise(survivors), 1)
            if before > after
        ]
        return fsum([*terms, survivors[-1] * log(self.survival(len(survivors) - 1))])

    def retention(self, period: int) -> float:
        """Give the share of those still there who renew at the end of a period, from 1."""
        return (self.beta + period - 1.0) / (self.alpha + self.beta + period - 1.0)

    def survival(self, periods: int) -> float:
        """Give the share of a cohort that is still there after some periods."""
        return exp(log_beta(self.alpha, self.beta + periods) - log_beta(self.alpha, self.beta))

    def residual_periods(self, renewals: int, discount: float) -> float:
        """Give the discounted periods to come of a customer who is about to decide to renew.

        `renewals` counts those made so far, `discount` is the rate of one period.
        """
        begun = self.beta + renewals
        ahead = hypergeometric(1.0, begun + 1.0, self.alpha + begun + 1.0, 1.0 / (1.0 + discount))
        return begun / (self.alpha + begun) * ahead

    def _log_p_leaving(self, period: int) -> float:
        begun = log_beta(self.alpha, self.beta)
        return log_beta(self.alpha + 1.0, self.beta + period - 1.0) - begun
