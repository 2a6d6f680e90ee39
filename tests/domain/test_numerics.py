"""The numerical mathematics, against values known otherwise."""

from math import exp, inf, lgamma, log, pi

import pytest

from domain.numerics import (
    differences,
    digamma,
    hypergeometric,
    log_beta,
    minimise_positive,
)


def test_the_minimum_of_a_valley_is_found() -> None:
    found = minimise_positive(lambda p: (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2, (0.3, 3))
    assert found.converged
    assert found.point == pytest.approx((1, 1), abs=1e-4)


def test_a_slope_that_is_given_leads_to_the_same_minimum() -> None:
    def function(p):  # type: ignore[no-untyped-def]
        return p[0] - 3 * log(p[0]) + p[1] - 5 * log(p[1])

    searched = minimise_positive(function, (1, 1))
    given = minimise_positive(function, (1, 1), lambda p: [1 - 3 / p[0], 1 - 5 / p[1]])
    assert searched.point == pytest.approx((3, 5), rel=1e-6)
    assert given.point == pytest.approx((3, 5), rel=1e-6)


def test_a_function_without_a_minimum_does_not_converge() -> None:
    assert not minimise_positive(lambda p: -log(p[0]), (1,)).converged


def test_where_a_function_fails_is_no_minimum() -> None:
    def fails_below_two(p):  # type: ignore[no-untyped-def]
        if p[0] < 2:
            raise OverflowError
        return p[0] - 2.5 * log(p[0])

    assert minimise_positive(fails_below_two, (9,)).point == pytest.approx((2.5,), rel=1e-5)
    assert minimise_positive(lambda p: inf, (1,)).value == inf


def test_the_same_search_gives_the_same_bits() -> None:
    points = {
        minimise_positive(lambda p: p[0] - log(p[0]) + exp(p[1]) / p[1], (2, 2)).point
        for _ in range(3)
    }
    assert len(points) == 1


def test_special_functions() -> None:
    assert digamma(1) == pytest.approx(-0.5772156649015329, abs=1e-12)
    assert digamma(0.5) == pytest.approx(-1.9635100260214235, abs=1e-12)
    assert digamma(7.3) == pytest.approx(differences(lambda p: lgamma(p[0]), [7.3])[0], rel=1e-7)
    assert log_beta(0.5, 0.5) == pytest.approx(log(pi))
    assert hypergeometric(1, 1, 2, 0.5) == pytest.approx(2 * log(2), rel=1e-14)
    assert hypergeometric(2, 3, 3, 0.25) == pytest.approx(0.75**-2, rel=1e-14)


def test_a_series_that_does_not_converge_says_so() -> None:
    with pytest.raises(ValueError, match="does not converge"):
        hypergeometric(3, 3, 2, 0.99999)
