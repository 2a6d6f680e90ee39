"""Pareto/NBD (Schmittlein, Morrison, Colombo 1987): customers may leave at any time, unseen."""

from dataclasses import astuple, dataclass
from math import exp, fsum, lgamma, log, log1p
from typing import ClassVar

from domain.numerics import TERMS_MAX, differences
from domain.purchase_history import Alike, Grouped, History

NEAR_ONE = 1e-6


@dataclass(frozen=True, slots=True)
class ParetoNbd:
    """Purchase rates are gamma (r, alpha) among customers; rates of leaving are gamma (s, beta)."""

    r: float
    alpha: float
    s: float
    beta: float

    name: ClassVar[str] = "pareto_nbd"

    def log_likelihood(self, groups: Grouped) -> float:
        """Tell how well the parameters explain the histories."""
        constant = self.r * log(self.alpha) + self.s * log(self.beta) - lgamma(self.r)
        terms: list[float] = []
        for x, rows in groups.items():
            shape, known = constant + lgamma(self.r + x), dict[float, float]()
            for recency, age, customers in rows:
                alive = -(self.r + x) * log(self.alpha + age) - self.s * log(self.beta + age)
                left = self._odds_of_having_left(x, recency, age, known)
                terms.append(customers * (shape + alive + log1p(left)))
        return fsum(terms)

    def slope(self, groups: Grouped) -> list[float]:
        """Give the derivatives of the log-likelihood by the parameters."""
        return differences(lambda at: ParetoNbd(*at).log_likelihood(groups), astuple(self))

    @classmethod
    def start(cls, mean_age: float) -> "ParetoNbd":
        """Give parameters to begin a search with."""
        return cls(0.5, mean_age / 3, 0.5, mean_age / 3)

    def p_alive(self, history: History) -> float:
        """Tell how likely the customer is still one."""
        return 1.0 / (1.0 + self._odds_of_having_left(*history, {}))

    def p_silent(self, history: History, span: float) -> float:
        """Tell how likely the customer buys nothing in a span of time from now on."""
        return 1.0 - self.p_alive(history) * (1.0 - self.p_pause(history, span))

    def p_pause(self, history: History, span: float) -> float:
        """Tell how likely a customer who is still one buys nothing in a span of time.

        What is known of such a customer is again a Pareto/NBD, at its beginning.
        """
        x, _, age = history
        from_now = ParetoNbd(self.r + x, self.alpha + age, self.s, self.beta + age)
        return exp(from_now.log_likelihood({0: [Alike(0.0, span, 1)]}))

    def expected(self, span: float) -> float:
        """Tell how many repeat purchases a new customer makes in a span of time."""
        return self.expected_more(History(0, 0.0, 0.0), span)

    def expected_more(self, history: History, span: float) -> float:
        """Tell how many more purchases the customer makes in a span of time from now on."""
        x, _, age = history
        s = self.s if abs(self.s - 1.0) > NEAR_ONE else 1.0 + NEAR_ONE
        reached = self.beta + age
        rate = (self.r + x) * reached / (self.alpha + age)
        stays = (1.0 - exp((s - 1.0) * log(reached / (reached + span)))) / (s - 1.0)
        return self.p_alive(history) * rate * stays

    def _odds_of_having_left(
        self, x: int, recency: float, age: float, known: dict[float, float]
    ) -> float:
        """Compare leaving between the last purchase and now with still being there.

        `known` keeps the series of this frequency, which depend on one point in time each.
        """
        r, alpha, s, beta = self.r, self.alpha, self.s, self.beta
        total = r + s + x
        later = max(alpha, beta)
        for at in (recency, age):
            if at not in known:
                known[at] = self._series(total, x, at)
        at_end = total * log((later + recency) / (later + age))
        left = known[recency] - known[age] * exp(at_end)
        scale = (r + x) * log(alpha + age) + s * log(beta + age) - total * log(later + recency)
        return s / total * max(left, 0.0) * exp(min(scale, 700.0))

    def _series(self, total: float, x: int, at: float) -> float:
        """Give 2F1(total, b; total + 1; z), by Euler's transformation, whose terms fall faster."""
        later, gap = max(self.alpha, self.beta), abs(self.alpha - self.beta)
        b = self.s + 1.0 if self.alpha >= self.beta else self.r + x
        z = gap / (later + at)
        term = series = 1.0
        upper, lower = total + 1.0 - b, total + 1.0
        for k in range(TERMS_MAX):
            term *= (upper + k) / (lower + k) * z
            series += term
            if term <= 1e-16 * series:
                return exp((1.0 - b) * log(1.0 - z)) * series
        raise ValueError("The series of Pareto/NBD does not converge.")
