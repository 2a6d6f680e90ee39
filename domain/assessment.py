"""A score that a person can check: whole points, and reasons whose points sum to it."""

from collections.abc import Sequence
from math import floor
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.values import Label, Percent


class Reason(BaseModel):
    """One reason for a score: its points, for or against, and the numbers that it rests on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Label
    points: Annotated[int, Field(ge=-1000, le=1000)]
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
    ordered = sorted(reasons, key=lambda reason: (-abs(reason.points), reason.code))
    return Assessment(score=score, basis=basis, reasons=tuple(ordered))


def rounded(value: float) -> int:
    """Round to the nearest whole number, halves up."""
    return floor(value + 0.5)


def apportion(total: int, parts: Sequence[float]) -> list[int]:
    """Round parts so that they sum to their rounded total: no point is lost.

    What is left after rounding down goes to the largest remainders, among equal ones to the first.
    """
    whole = [floor(part) for part in parts]
    by_remainder = sorted(range(len(parts)), key=lambda i: (whole[i] - parts[i], i))
    for index in by_remainder[: total - sum(whole)]:
        whole[index] += 1
    return whole
