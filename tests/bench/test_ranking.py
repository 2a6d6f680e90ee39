"""The judge of the churn report, judged by hand."""

import random

import pytest

from bench.ranking import Cell, by_score, figures, intervals, resampled


def test_a_perfect_score_and_its_reverse() -> None:
    cells = [Cell(10, 0), Cell(0, 10)]
    best, worst = figures(by_score([2.0, 1.0]), cells), figures(by_score([1.0, 2.0]), cells)
    assert best == (1.0, 1.0, 2.0)
    assert (worst.auc, worst.lift) == (0.0, 0.0)
    assert worst.average_precision == pytest.approx(0.5)


def test_a_score_that_says_nothing_is_chance() -> None:
    cells = [Cell(3, 1), Cell(1, 3), Cell(4, 0)]
    assert figures(by_score([1.0] * 3), cells) == pytest.approx((0.5, 2 / 3, 1.0))


def test_pairs_are_counted_as_by_hand() -> None:
    cells = [Cell(2, 1), Cell(1, 1), Cell(0, 2)]
    pairs = 2 * (1 + 2) + 2 * 0.5 + 1 * 2 + 0.5
    assert figures(by_score([3.0, 2.0, 1.0]), cells).auc == pytest.approx(pairs / 12)


def test_an_interval_tells_a_lead_from_luck() -> None:
    dice = random.Random(8)
    cells = [Cell(dice.random() < n / 400, 0) for n in range(400)]
    cells = [Cell(int(c.lost), 1 - int(c.lost)) for c in cells]
    knows, guesses = [float(n) for n in range(400)], [dice.random() for _ in range(400)]
    found = intervals(knows, {"guess": guesses, "same": knows}, cells, 60, lambda f: f.auc)
    assert found["guess"][0] > 0.1
    assert found["same"] == (0.0, 0.0)
    assert sum(map(sum, resampled(cells, dice))) == 400
