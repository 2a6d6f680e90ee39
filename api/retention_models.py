"""The shapes of the answers about keeping customers, for OpenAPI."""

from datetime import datetime
from typing import Any, NamedTuple, get_type_hints

from pydantic import BaseModel, create_model

from api.models import Answer, row_of
from domain import customer_features
from domain.cohorts import Cohort
from domain.gamma_gamma import Spend
from domain.health import Share
from domain.purchase_history import History
from domain.retention_policy import RetentionPolicy
from domain.value_model import ValueModelFitted
from domain.values import Id
from projections.save_queue import save_queue


def model_of(kind: type[NamedTuple], **other: object) -> type[BaseModel]:
    """Make the model of a named tuple; some fields are told in another form."""
    fields = {name: (hint, ...) for name, hint in get_type_hints(kind).items()}
    fields |= {name: (hint, ...) for name, hint in other.items()}
    model: type[BaseModel] = create_model(  # type: ignore[call-overload]
        kind.__name__, __base__=Answer, __doc__=kind.__doc__, **fields
    )
    return model


Features = model_of(
    customer_features.Features,
    history=model_of(History) | None,
    spend=dict[str, model_of(Spend)],  # type: ignore[misc]
    products=dict[str, dict[str, dict[str, int]]],
    withdrawn=list[str],
    values=dict[str, float],
)
QueueRow = row_of(save_queue, "QueueRow", overdue=bool)


class Health(Answer):
    """0 is worst, 100 is best; the points of the shares sum to the score."""

    customer: Id
    at: datetime
    basis: str
    segment: str | None
    score: int | None
    trend: int | None
    shares: list[model_of(Share)]  # type: ignore[valid-type]


class QueueAnswer(Answer):
    """The open alerts, most at stake first."""

    items: list[QueueRow]  # type: ignore[valid-type]


class PolicyAnswer(Answer):
    """The policy that counts."""

    version: int
    policy: RetentionPolicy


class ModelsAnswer(Answer):
    """Every fit of every model, the first one first."""

    items: list[ValueModelFitted]


class Report(Answer):
    """All of it reckoned when it is asked; amounts in minor units."""

    defections: list[dict[str, Any]]
    save_rate_by_play: list[dict[str, Any]]
    precision_and_lead_time: list[dict[str, Any]]
    value_at_risk: list[dict[str, Any]]
    cohorts: list[model_of(Cohort)]  # type: ignore[valid-type]
