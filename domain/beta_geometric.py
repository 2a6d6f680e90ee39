"""BG/NBD and MBG/NBD: customers buy at random for a while, and may leave after any purchase.

BG/NBD (Fader, Hardie, Lee 2005) cannot lose a customer who has bought once: it is certain that
those are still there. MBG/NBD (Batislam and others 2007; Hoppe and Wagner 2007) lets them leave
right after their first purchase, too. Apart from that one chance the two are the same model.
"""

from dataclasses import dataclass
from math import exp, fsum, lgamma, log, log1p
from typing import ClassVar, Self

from domain.numerics import digamma, hypergeometric, log_beta
from domain.purchase_history import Grouped, History

NEAR_ONE = 1e-6
"""Where `a` is one, the expectation is a limit: it is taken a little beside."""


@dataclass(frozen=True, slots=True)
class BetaGeometric:
    """Purchase rates are gamma (r, alpha) among customers; chances to leave are beta (a, b)."""

    r: float
    alpha: float
    a: float
    b: float

    name: ClassVar[str] = ""
    first_chances: ClassVar[int] = 0
    """How often a customer may leave before the first repeat purchase: BG 0, MBG 1."""

    def log_likelihood(self, groups: Grouped) -> float:
        """Tell how well the parameters explain the histories."""
        r, alpha = self.r, self.alpha
        terms: list[float] = []
        for x, rows in groups.items():
            shape, constant, odds = r + x, self._log_constant(x), self._odds_of_leaving(x)
            for recency, age, customers in rows:
                at_end = log(alpha + age)
                left = odds * exp(shape * (at_end - log(alpha + recency))) if odds else 0.0
                terms.append(customers * (constant - shape * at_end + log1p(left)))
        return fsum(terms)

    def slope(self, groups: Grouped) -> list[float]:
        """Give the derivatives of the log-likelihood by r, alpha, a and b."""
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        by_r, by_alpha, by_a, by_b = [], [], [], []
        for x, rows in groups.items():
            shape, odds, chances = r + x, self._odds_of_leaving(x), x + self.first_chances
            customers, left = 0, 0.0
            for recency, age, alike in rows:
                customers += alike
                now, then = alpha + age, alpha + recency
                longer = log(now / then)
                gone = alike * (1.0 - 1.0 / (1.0 + odds * exp(shape * longer))) if odds else 0.0
                left += gone
                by_r.append(gone * longer - alike * log(now))
                by_alpha.append(-shape * ((alike - gone) / now + gone / then))
            by_r.append(customers * (digamma(shape) - digamma(r) + log(alpha)))
            by_alpha.append(customers * r / alpha)
            stayed = digamma(a + b) - digamma(a + b + chances)
            by_a.append(customers * stayed + (left / a))
            by_b.append(customers * (stayed + digamma(b + chances) - digamma(b)))
            by_b.append(-left / (b + chances - 1.0) if chances else 0.0)
        return [fsum(by_r), fsum(by_alpha), fsum(by_a), fsum(by_b)]

    @classmethod
    def start(cls, mean_age: float) -> Self:
        """Give parameters to begin a search with."""
        return cls(0.5, mean_age / 3, 1.0, 2.0)

    def p_alive(self, history: History) -> float:
        """Tell how likely the customer is still one."""
        x, recency, age = history
        odds = self._odds_of_leaving(x)
        if not odds:
            return 1.0
        exponent = (self.r + x) * log((self.alpha + age) / (self.alpha + recency))
        return 1.0 / (1.0 + odds * exp(min(exponent, 700.0)))

    def p_silent(self, history: History, span: float) -> float:
        """Tell how likely the customer buys nothing in a span of time from now on."""
        return 1.0 - self.p_alive(history) * (1.0 - self.p_pause(history, span))

    def p_pause(self, history: History, span: float) -> float:
        """Tell how likely a customer who is still one buys nothing in a span of time."""
        reached = self.alpha + history.age
        return exp((self.r + history.frequency) * log(reached / (reached + span)))

    def expected(self, span: float) -> float:
        """Tell how many repeat purchases a new customer makes in a span of time."""
        return self.expected_more(History(0, 0.0, 0.0), span)

    def expected_more(self, history: History, span: float) -> float:
        """Tell how many more purchases the customer makes in a span of time from now on."""
        a = self.a if abs(self.a - 1.0) > NEAR_ONE else 1.0 + NEAR_ONE
        x, b = history.frequency, self.b + self.first_chances
        reached = self.alpha + history.age
        series = hypergeometric(self.r + x, b + x, a + b + x - 1.0, span / (reached + span))
        paused = self.p_pause(history, span)
        return self.p_alive(history) * (a + b + x - 1.0) / (a - 1.0) * (1.0 - paused * series)

    def _log_constant(self, x: int) -> float:
        stayed = log_beta(self.a, self.b + x + self.first_chances) - log_beta(self.a, self.b)
        return lgamma(self.r + x) - lgamma(self.r) + self.r * log(self.alpha) + stayed

    def _odds_of_leaving(self, x: int) -> float:
        """Tell the odds that the last purchase was the last of all, before any silence."""
        chances = x + self.first_chances
        return self.a / (self.b + chances - 1.0) if chances else 0.0


class BgNbd(BetaGeometric):
    """Customers leave after a repeat purchase, never after their first one."""

    __slots__ = ()
    name = "bg_nbd"
    first_chances = 0


class MbgNbd(BetaGeometric):
    """Customers leave after any purchase."""

    __slots__ = ()
    name = "mbg_nbd"
    first_chances = 1
