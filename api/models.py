"""The shapes of the answers, for OpenAPI; those of rows are made of the read models' columns."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, create_model

from domain.values import Id
from infra.store.refused import RefusedMessage
from projections.churn_alerts import churn_alerts
from projections.customer_features import customer_features
from projections.customer_view import customer_view
from projections.projection import Column, Projection
from projections.sales_pipeline import sales_pipeline
from projections.save_queue import save_queue
from projections.sla_clocks import sla_clocks

PYTHON_TYPES: dict[str, Any] = {
    "text": str,
    "uuid": Id,
    "timestamptz": datetime,
    "bigint": int,
    "int": int,
    "boolean": bool,
    "double precision": float,
    "jsonb": Any,
}


class Answer(BaseModel):
    """Part of an answer: it has exactly these fields."""

    model_config = ConfigDict(extra="forbid")


class KeptEvent(Answer):
    """An event that was kept."""

    id: Id
    type: str
    stream: Id
    version: int


class Item(Answer):
    """What became of one message."""

    id: str
    status: Literal["accepted", "duplicate", "conflict", "rejected"]
    code: str
    sentence: str
    events: list[KeptEvent]


class Receipt(Answer):
    """What became of messages; a read that shows the token is at least as fresh."""

    items: list[Item]
    token: str


class Done(Item):
    """What became of a command; a read that shows the token is at least as fresh."""

    token: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    item: Item | None = None


class HistoryEvent(Answer):
    """Something that happened; the names follow CloudEvents."""

    position: int
    id: Id
    type: str
    stream: Id
    version: int
    subject: Id
    time: datetime
    recordedtime: datetime
    authid: str
    commandid: Id
    correlationid: str
    causationid: str
    data: dict[str, Any]


class PipelineTotal(Answer):
    """What the leads of one group and currency add up to; amounts in minor units."""

    group: str
    currency: str | None
    leads: int
    open: int
    won: int
    lost: int
    open_amount: int
    won_amount: int
    weighted_amount: int
    win_rate_percent: float | None
    mean_days_in_stage: float | None
    won_mean_cycle_days: float | None
    won_median_cycle_days: float | None
    lost_mean_cycle_days: float | None
    lost_median_cycle_days: float | None


class PipelineTotals(Answer):
    """The totals of every group."""

    items: list[PipelineTotal]


class SlaTotal(Answer):
    """How many targets were met and missed for cases of one priority."""

    priority: str | None
    cases: int
    open: int
    first_answer_met: int
    first_answer_breached: int
    resolution_met: int
    resolution_breached: int


class SlaTotals(Answer):
    """The totals of every priority."""

    items: list[SlaTotal]


RefusedItem = create_model(  # type: ignore[call-overload]
    "RefusedItem",
    __base__=Answer,
    **{n: (t, ...) for n, t in RefusedMessage.__annotations__.items()},
)


def row_of(projection: Projection, name: str, **more: object) -> type[BaseModel]:
    """Make the model of a read model's rows."""
    columns = {
        column: (type_of(each), ...)
        for column, each in projection.columns.items()
        if not each.inner
    }
    fields = {"id": (Id, ...), **columns, "position": (int, ...)}
    fields |= {column: (kind, ...) for column, kind in more.items()}
    model: type[BaseModel] = create_model(  # type: ignore[call-overload]
        name, __base__=Answer, __doc__=projection.question, **fields
    )
    return model


def type_of(column: Column) -> object:
    """Give the Python type of a column; one that is new without a value may have none."""
    kind = PYTHON_TYPES[column.type]
    return kind | None if column.new is None and kind is not Any else kind


Identifiers = list[dict[str, Any]]
CustomerRow = row_of(customer_view, "CustomerRow", identifiers=Identifiers)
Customer = row_of(customer_view, "Customer", identifiers=Identifiers, merged=list[Id])
Lead = row_of(sales_pipeline, "Lead")
CaseRow = row_of(sla_clocks, "CaseRow")
Case = row_of(sla_clocks, "Case", first_answer=str, resolution=str)
ChurnRow = row_of(churn_alerts, "ChurnRow")
FeaturesRow = row_of(customer_features, "FeaturesRow")
SaveQueueRow = row_of(save_queue, "SaveQueueRow")
ChurnAlert = row_of(churn_alerts, "ChurnAlert", silent_days=float, usual_gap_days=float, reason=str)


class Removed(Answer):
    """A row that is gone."""

    id: Id
    position: int
    removed: Literal[True]


class Changes(Answer):
    """What changed, in order; ask again with `next`, for ever."""

    items: list[
        CustomerRow | Lead | CaseRow | ChurnRow | FeaturesRow | SaveQueueRow | Removed  # type: ignore[valid-type]
    ]
    next: str
    caught_up: bool


def page_of(item: type[BaseModel]) -> type[BaseModel]:
    """Make the model of a page."""
    fields = {"items": (list[item], ...), "next": (str | None, ...)}  # type: ignore[valid-type]
    model: type[BaseModel] = create_model(  # type: ignore[call-overload]
        f"{item.__name__}Page", __base__=Answer, **fields
    )
    return model
