"""The little numerical mathematics that the purchase models need; the same input, the same bits."""

from collections.abc import Callable, Sequence
from math import exp, fsum, inf, isfinite, lgamma, log, nan, sqrt
from typing import NamedTuple

Function = Callable[[Sequence[float]], float]
Slope = Callable[[Sequence[float]], Sequence[float]]
Matrix = list[list[float]]

ITERATIONS_MAX = 200
TERMS_MAX = 20_000
STEP_MAX = 2.0
"""How far one step may go in the logarithm of a parameter: a factor of about seven."""


class Minimum(NamedTuple):
    """Where a function is smallest, and whether the search really ended there."""

    point: tuple[float, ...]
    value: float
    slope: float
    iterations: int
    converged: bool
    curvature: Matrix
    """The inverse of how the function bends there, as far as it was learned on the way."""


def minimise_positive(
    function: Function,
    start: Sequence[float],
    slope: Slope | None = None,
    curvature: Matrix | None = None,
) -> Minimum:
    """Minimise a function of positive parameters, by searching over their logarithms."""

    def of_logarithms(logs: Sequence[float]) -> float:
        try:
            value = function([exp(each) for each in logs])
        except (OverflowError, ValueError, ZeroDivisionError):
            return inf
        return value if isfinite(value) else inf

    def slope_of_logarithms(logs: Sequence[float]) -> list[float]:
        if slope is None:
            return differences(of_logarithms, logs)
        try:
            there = [exp(each) for each in logs]
            return [at * along for at, along in zip(there, slope(there), strict=True)]
        except (OverflowError, ValueError, ZeroDivisionError):
            return [nan] * len(logs)  # nothing leads downhill from here: the search ends

    logs = [log(each) for each in start]
    found = minimise(of_logarithms, logs, slope_of_logarithms, curvature)
    return found._replace(point=tuple(exp(each) for each in found.point))


def minimise(
    function: Function,
    start: Sequence[float],
    gradient: Slope,
    curvature: Matrix | None = None,
    tolerance: float = 1e-7,
) -> Minimum:
    """Minimise a smooth function: BFGS with backtracking.

    `curvature` is what is known before of how the function bends (the inverse Hessian);
    `tolerance` bounds the slope, relative to the size of the value where the search began.
    """
    known = curvature is not None
    point, value = list(start), function(start)
    enough = tolerance * max(1.0, abs(value))
    slope = gradient(point)
    curvature = curvature or identity(len(point), 1.0 / max(1.0, norm(slope)))
    for iteration in range(ITERATIONS_MAX):
        if norm(slope) <= enough:
            return Minimum(tuple(point), value, norm(slope), iteration, True, curvature)
        direction = [-dot(row, slope) for row in curvature]
        if dot(direction, slope) >= 0:
            direction = [-each for each in slope]
        moved = backtrack(function, point, value, direction, dot(direction, slope))
        if moved is None:
            break
        step = [new - old for new, old in zip(moved[0], point, strict=True)]
        point, value = moved
        before, slope = slope, gradient(point)
        change = [new - old for new, old in zip(slope, before, strict=True)]
        curvature = updated(curvature, step, change, first=iteration == 0 and not known)
    return Minimum(tuple(point), value, norm(slope), iteration, False, curvature)


def differences(function: Function, point: Sequence[float], width: float = 1e-5) -> list[float]:
    """Give the slope in every direction by central differences."""
    slopes = []
    for index, centre in enumerate(point):
        ahead, behind, step = list(point), list(point), width * max(0.1, abs(centre))
        ahead[index], behind[index] = centre + step, centre - step
        slopes.append((function(ahead) - function(behind)) / (2 * step))
    return slopes


def backtrack(
    function: Function,
    point: Sequence[float],
    value: float,
    direction: Sequence[float],
    descent: float,
) -> tuple[list[float], float] | None:
    """Go as far in a direction as really leads downhill; None when nothing does."""
    share = min(1.0, STEP_MAX / max(abs(each) for each in direction))
    for _ in range(40):
        there = [at + share * along for at, along in zip(point, direction, strict=True)]
        found = function(there)
        if found < value and found <= value + 1e-4 * share * descent:
            return there, found
        share *= 0.5
    return None


def updated(curvature: Matrix, step: list[float], change: list[float], *, first: bool) -> Matrix:
    """Learn the curvature from one step (the inverse Hessian of BFGS)."""
    along = dot(step, change)
    if along <= 1e-14 * norm(step) * norm(change):
        return curvature
    if first:
        curvature = identity(len(step), along / dot(change, change))
    bent = [dot(row, change) for row in curvature]
    weight = (1.0 + dot(change, bent) / along) / along
    return [
        [
            curvature[i][j]
            + weight * step[i] * step[j]
            - (bent[i] * step[j] + step[i] * bent[j]) / along
            for j in range(len(step))
        ]
        for i in range(len(step))
    ]


def identity(size: int, scale: float) -> Matrix:
    """Give a diagonal matrix."""
    return [[scale if i == j else 0.0 for j in range(size)] for i in range(size)]


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    """Give the inner product of two vectors."""
    return fsum(a * b for a, b in zip(one, other, strict=True))


def norm(vector: Sequence[float]) -> float:
    """Give the length of a vector."""
    return sqrt(dot(vector, vector))


def solve(matrix: Sequence[Sequence[float]], vector: Sequence[float]) -> list[float]:
    """Solve a small system of linear equations (Gauss and Jordan, with pivots)."""
    rows = [[*row, value] for row, value in zip(matrix, vector, strict=True)]
    for i in range(len(rows)):
        pivot = max(range(i, len(rows)), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for r in range(len(rows)):
            if r != i:
                factor = rows[r][i] / rows[i][i]
                rows[r] = [a - factor * b for a, b in zip(rows[r], rows[i], strict=True)]
    return [row[-1] / row[i] for i, row in enumerate(rows)]


def log_beta(a: float, b: float) -> float:
    """Give the logarithm of the beta function."""
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def digamma(x: float) -> float:
    """Give the derivative of `lgamma`, for x > 0."""
    shifted = 0.0
    while x < 8.0:
        shifted -= 1.0 / x
        x += 1.0
    square = 1.0 / (x * x)
    tail = square * (
        1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132)))
    )
    return shifted + log(x) - 0.5 / x - tail


def hypergeometric(a: float, b: float, c: float, z: float) -> float:
    """Give Gauss's 2F1 for 0 <= z < 1, by its series."""
    total = term = 1.0
    for k in range(TERMS_MAX):
        term *= (a + k) * (b + k) / ((c + k) * (k + 1)) * z
        total += term
        if abs(term) <= 1e-16 * abs(total):
            return total
    raise ValueError("The hypergeometric series does not converge.")
