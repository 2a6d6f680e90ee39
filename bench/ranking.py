"""How well scores foretell what happened, with intervals: for scores of customers who are alike.

Customers with the same history have the same score, so they are counted together: a cell is a
history with the number of customers who were lost afterwards, and of those who stayed.
"""

import random
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple


class Cell(NamedTuple):
    """Customers who cannot be told apart by their score."""

    lost: int
    stayed: int


class Figures(NamedTuple):
    """How well a score ranks: all three are higher for a better score."""

    auc: float
    average_precision: float
    lift: float


def by_score(scores: Sequence[float]) -> list[list[int]]:
    """Group cells with the same score, the highest first."""
    groups: dict[float, list[int]] = {}
    for index, score in enumerate(scores):
        groups.setdefault(score, []).append(index)
    return [groups[score] for score in sorted(groups, reverse=True)]


def figures(ranked: Sequence[Sequence[int]], cells: Sequence[Cell], share: float = 0.1) -> Figures:
    """Judge a ranking; who shares a score shares its place, whatever the order in the file."""
    lost_all = sum(cell.lost for cell in cells)
    all_ = lost_all + sum(cell.stayed for cell in cells)
    lost = seen = 0
    pairs = precision = caught = 0.0
    room = share * all_
    for group in ranked:
        here = sum(cells[index].lost for index in group)
        size = here + sum(cells[index].stayed for index in group)
        if not size:
            continue
        stayed_below = (all_ - lost_all) - (seen - lost) - (size - here)
        pairs += here * (stayed_below + 0.5 * (size - here))
        caught += here * min(1.0, max(0.0, (room - seen) / size))
        lost, seen = lost + here, seen + size
        precision += here / lost_all * lost / seen
    return Figures(
        auc=pairs / (lost_all * (all_ - lost_all)),
        average_precision=precision,
        lift=(caught / room) / (lost_all / all_),
    )


def resampled(cells: Sequence[Cell], dice: random.Random) -> list[Cell]:
    """Draw as many customers as there are, with replacement."""
    limits = list(accumulate(count for cell in cells for count in cell))
    drawn = [0] * len(limits)
    for _ in range(limits[-1]):
        drawn[bisect_left(limits, dice.random() * limits[-1])] += 1
    return [Cell(*drawn[i : i + 2]) for i in range(0, len(drawn), 2)]


def intervals(
    ours: Sequence[float],
    others: Mapping[str, Sequence[float]],
    cells: Sequence[Cell],
    rounds: int,
    pick: Callable[[Figures], float],
) -> dict[str, tuple[float, float]]:
    """Give the 95 % interval of our figure, and of its lead over each of the others."""
    dice = random.Random(1997)
    ranked = {name: by_score(scores) for name, scores in {"ours": ours, **others}.items()}
    found: dict[str, list[float]] = {name: [] for name in ranked}
    for _ in range(rounds):
        drawn = resampled(cells, dice)
        told = {name: pick(figures(order, drawn)) for name, order in ranked.items()}
        for name, value in told.items():
            found[name].append(value if name == "ours" else told["ours"] - value)
    return {name: middle(sorted(values)) for name, values in found.items()}


def middle(ordered: Sequence[float]) -> tuple[float, float]:
    """Give the bounds between which 95 % of the values lie."""
    cut = int(0.025 * len(ordered))
    return ordered[cut], ordered[-1 - cut]
