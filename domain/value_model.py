"""A fitted model as a fact: from which data, with which parameters, and how good it is."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from domain.events import Event
from domain.values import Instant, Label

Finite = Annotated[float, Field(allow_inf_nan=False)]


class ValueModelFitted(Event, name="value_model.fitted.v1"):
    """A model was fitted to what customers did in a period; time is in weeks, money in cents."""

    model: Label
    version: int
    data_from: Instant
    data_until: Instant
    parameters: dict[Label, Finite]
    log_likelihood: Finite
    customers: int
    iterations: int
    diagnostics: dict[Label, Finite]


ValueModelEvent = ValueModelFitted


@dataclass(frozen=True, slots=True)
class ValueModel:
    """The model as the next decision sees it: its last fit."""

    id: str
    fitted: ValueModelFitted | None = None


def evolve(model: ValueModel, event: ValueModelEvent) -> ValueModel:
    """What the model is after the event."""
    return ValueModel(model.id, event)


def fit(model: ValueModel, fitted: ValueModelFitted) -> list[ValueModelEvent]:
    """Keep a fit under the next version; the same data and the same result are nothing new."""
    last = model.fitted
    if last is None:
        return [fitted.model_copy(update={"version": 1})]
    if last == fitted.model_copy(update={"version": last.version}):
        return []
    return [fitted.model_copy(update={"version": last.version + 1})]
