"""A score that a person can check: whole points, and reasons whose points sum to it."""

from collections.abc import Sequence
from math import floor, fsum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.values import Label, Percent


class Reason(BaseModel):
    """One reason for a score: its share in points, and the numbers that it rests on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Label
    points: Percent
    numbers: dict[Label, Annotated[float, Field(allow_inf_nan=False)]]


class Assessment(BaseModel):
    """How likely a customer is lost, 0 to 100, what said so, and why, the weightiest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: Percent
    basis: Label
    """The model or scorecard and its version."""
    reasons: tuple[Reason, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if sum(reason.points for reason in self.reasons) != self.score:
            raise ValueError("the points of the reasons must sum to the score")
        return self


def assessment(
    basis: str, risk: float, parts: Sequence[tuple[str, float, dict[str, float]]]
) -> Assessment:
    """Turn a risk of 0 to 100 and the parts that it consists of into whole points."""
    score = rounded(risk)
    points = apportion(score, [part for _, part, _ in parts])
    reasons = [
        Reason(code=code, points=share, numbers={n: round(v, 4) for n, v in numbers.items()})
        for (code, _, numbers), share in zip(parts, points, strict=True)
    ]
    ordered = sorted(reasons, key=lambda reason: (-reason.points, reason.code))
    return Assessment(score=score, basis=basis, reasons=tuple(ordered))


def rounded(value: float) -> int:
    """Round to the nearest whole number, halves up."""
    return floor(value + 0.5)


def apportion(total: int, parts: Sequence[float]) -> list[int]:
    """Split a whole number in proportion to parts, without losing a point.

    Everybody gets the whole points of its share; what is left goes to the largest remainders, and
    among equal ones to the first.
    """
    weight = fsum(parts)
    if weight <= 0.0:
        return [total if index == 0 else 0 for index in range(len(parts))]
    exact = [total * part / weight for part in parts]
    whole = [floor(each) for each in exact]
    by_remainder = sorted(range(len(parts)), key=lambda i: (whole[i] - exact[i], i))
    for index in by_remainder[: total - sum(whole)]:
        whole[index] += 1
    return whole
