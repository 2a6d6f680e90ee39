"""Shifted-beta-geometric (Fader, Hardie 2007): who renews a contract, year after year.

Everybody has a chance to leave at each renewal; the chances are beta (alpha, beta) among customers.
Retention rises with time because those who leave easily have left, not because anybody changes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from math import exp, fsum, log
from typing import ClassVar, NamedTuple

from domain.numerics import hypergeometric, log_beta


class Contract(NamedTuple):
    """How often a contract was renewed, and whether it has ended."""

    renewals: int
    ended: bool


class Contracts(NamedTuple):
    """How many contracts ended after each number of renewals, and how many go on with it."""

    ended: Sequence[int]
    going_on: Sequence[int]

    @property
    def all(self) -> int:
        """Count them."""
        return sum(self.ended) + sum(self.going_on)


@dataclass(frozen=True, slots=True)
class ShiftedBetaGeometric:
    """The model and its two parameters."""

    alpha: float
    beta: float

    name: ClassVar[str] = "sbg"

    def log_likelihood(self, contracts: Contracts) -> float:
        """Tell how well the parameters explain which contracts ended, and when."""
        ended = [n * self._log_p_leaving(t) for t, n in enumerate(contracts.ended, 1) if n]
        rest = [n * log(self.survival(t)) for t, n in enumerate(contracts.going_on) if n]
        return fsum([*ended, *rest])

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


def contracts_of(
    paid: Iterable[date], today: date, period_days: int, grace_days: int
) -> list[Contract]:
    """Read contracts off the days on which their periods were paid, the newest one last.

    A contract has ended when a period and the days of grace went by unpaid; who pays after that
    begins another one. Two payments within half a period are for the same period.
    """
    found: list[Contract] = []
    last: date | None = None
    for day in sorted(each for each in paid if each <= today):
        if last is None or (day - last).days > period_days + grace_days:
            found = [*(each._replace(ended=True) for each in found), Contract(0, ended=False)]
        elif (day - last).days <= period_days / 2:
            continue
        else:
            found[-1] = Contract(found[-1].renewals + 1, ended=False)
        last = day
    if last is not None and (today - last).days > period_days + grace_days:
        found[-1] = found[-1]._replace(ended=True)
    return found


def counted(contracts: Iterable[Contract]) -> Contracts:
    """Count contracts that are alike."""
    counts = Counter(contracts)
    longest = 1 + max((each.renewals for each in counts), default=-1)
    return Contracts(
        [counts[Contract(t, ended=True)] for t in range(longest)],
        [counts[Contract(t, ended=False)] for t in range(longest)],
    )


def cohort(survivors: Sequence[int]) -> Contracts:
    """Take the size of one cohort at first and after each period, as papers print it."""
    ended = [before - after for before, after in pairwise(survivors)]
    return Contracts([*ended, 0], [*(0 for _ in ended), survivors[-1]])


def observed_survival(contracts: Contracts, least: int = 1) -> list[float]:
    """Give the share that was still there after 0, 1, 2 … renewals (Kaplan and Meier).

    It ends where fewer than `least` were asked: what a handful did is chance.
    """
    there, survival = contracts.all, [1.0]
    for ended, going_on in zip(contracts.ended, contracts.going_on, strict=True):
        asked = there - going_on  # those who go on have not been asked again
        if asked < least:
            break
        survival.append(survival[-1] * (1.0 - ended / asked))
        there = asked - ended
    return survival
