"""How well a customer is: weighted components, each with its share of the score."""

from collections.abc import Sequence
from math import fsum
from typing import NamedTuple

from domain.assessment import Assessment, apportion, assessment, rounded
from domain.customer_value import Member
from domain.retention_policy import Component, Measure, RetentionPolicy, Scorecard


class Share(NamedTuple):
    """A component's grade, what it weighs, and how many points of the score are its."""

    name: str
    weight: int
    grade: float
    points: int


class Health(NamedTuple):
    """0 is worst, 100 is best; the shares sum to the score."""

    score: int
    shares: tuple[Share, ...]


def weighted(grades: Sequence[tuple[str, int, float]]) -> Health:
    """Weigh the grades of components."""
    weight = sum(each for _, each, _ in grades)
    parts = [each * grade / weight for _, each, grade in grades]
    score = rounded(fsum(parts))
    points = apportion(score, parts)
    shares = [Share(*grade, share) for grade, share in zip(grades, points, strict=True)]
    return Health(score, tuple(shares))


def health(scorecard: Scorecard, member: Member) -> Health | None:
    """Reckon the health of a customer; None when nothing at all can be told."""
    graded = [(c.name, c.weight, mean_grade(c, member)) for c in scorecard.components]
    known = [(name, weight, grade) for name, weight, grade in graded if grade is not None]
    return weighted(known) if known else None


def mean_grade(component: Component, member: Member) -> float | None:
    """Give the mean of a component's measures, without those that cannot be told."""
    grades = [g for measure in component.measures if (g := grade(measure, member)) is not None]
    return fsum(grades) / len(grades) if grades else None


def grade(measure: Measure, member: Member) -> float | None:
    """Grade a feature on the scale from worst to best."""
    value = member.number(measure.feature)
    if value is None:
        return measure.missing
    reached = (value - measure.worst) / (measure.best - measure.worst)
    return 100.0 * min(1.0, max(0.0, reached))


def scorecard_of(policy: RetentionPolicy, segment: str | None) -> Scorecard | None:
    """Give the scorecard of a segment, or the one for everybody else."""
    by_segment = {card.segment: card for card in policy.scorecards}
    return by_segment.get(segment) or by_segment.get(None)


def health_risk(scorecard: Scorecard, member: Member, basis: str) -> Assessment | None:
    """Tell what is missing to full health: every component's loss is a reason."""
    found = health(scorecard, member)
    if found is None:
        return None
    weight = sum(share.weight for share in found.shares)
    asked = {c.name: [m.feature for m in c.measures] for c in scorecard.components}
    parts = [
        (
            share.name,
            share.weight * (100.0 - share.grade) / weight,
            {"grade": share.grade, "weight": float(share.weight)}
            | {n: v for n in asked[share.name] if (v := member.number(n)) is not None},
        )
        for share in found.shares
    ]
    return assessment(basis, float(100 - found.score), parts)
