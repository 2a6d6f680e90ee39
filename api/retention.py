"""Where questions about keeping customers are asked: one route per question."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from api import retention_models as m
from api.models import SaveQueueRow, page_of
from api.problems import Problem
from api.questions import AtInstant, CustomerAsOf, Page, Question
from api.reads import Asked, PathId, fresh, told
from domain.churn_alert import Outcome
from domain.rejected import Rejected
from domain.values import Id, Label
from infra.read_models.reader import Listing
from infra.read_models.retention_reader import RetentionReader, Then

router = APIRouter()


class AskedOfRetention(Asked):
    """A question about keeping customers."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.retention = RetentionReader(request.app.state.runtime.pool)
        self.now = datetime.now(UTC)

    def then(self, asked: CustomerAsOf) -> Then:
        """Give the instants of a question; each is now unless it says otherwise."""
        return Then(asked.effective_at or self.now, asked.recorded_at or self.now)


The = Annotated[AskedOfRetention, Depends(AskedOfRetention)]


class Queue(AtInstant):
    """The open alerts, all or those of an agent."""

    agent: Label | None = None
    limit: int = Field(100, ge=1, le=1000)


class Alerts(Page):
    """Customers about whom there was an alert, by what became of the newest one."""

    customer: Id | None = None
    status: Literal["open", "settled"] | None = None
    outcome: Outcome | None = None


@router.get(
    "/v1/customers/{id}/features",
    responses=told(m.Features),
    dependencies=[fresh("customer_features")],
)
def features(the: The, id_: PathId, asked: Annotated[CustomerAsOf, Query()]) -> Response:
    """Show the numbers that rules and models go by, as of now or as of an instant."""
    return the.one(the.retention.features(the.tenant, id_, the.then(asked)), "customer")


@router.get(
    "/v1/customers/{id}/health",
    responses=told(m.Health),
    dependencies=[fresh("customer_features")],
)
def health(the: The, id_: PathId, asked: Annotated[CustomerAsOf, Query()]) -> Response:
    """Show how well a customer is, why, and whether that gets better."""
    try:
        found = the.retention.health(the.tenant, id_, the.then(asked))
    except Rejected as rejected:
        raise Problem(404, rejected.code, rejected.sentence) from None
    return the.one(found, "customer")


@router.get(
    "/v1/retention/queue", responses=told(m.QueueAnswer), dependencies=[fresh("save_queue")]
)
def queue(the: The, asked: Annotated[Queue, Query()]) -> Response:
    """List the open churn alerts, most at stake first."""
    at = asked.at or the.now
    return the.answer({"items": the.retention.queue(the.tenant, at, asked.agent, asked.limit)})


@router.get(
    "/v1/retention/alerts",
    responses=told(page_of(SaveQueueRow)),
    dependencies=[fresh("save_queue")],
)
def alerts(the: The, asked: Annotated[Alerts, Query()]) -> Response:
    """List customers with their newest churn alert, and those before it."""
    filters = asked.filters()
    limit = filters.pop("limit")
    found = the.retention.alerts(the.tenant, limit=limit + 1, **filters)
    following = found[limit - 1]["id"] if len(found) > limit else None
    return the.page(Listing(found[:limit], following))


@router.get("/v1/retention/policy", responses=told(m.PolicyAnswer))
def policy(the: The, _: Annotated[Question, Query()]) -> Response:
    """Show what was agreed on for keeping customers."""
    found = the.retention.policy(the.tenant, the.now)
    if found is None:
        raise Problem(404, "retention_policy.unknown", "There is no retention policy yet.")
    return the.answer(found)


@router.get("/v1/retention/models", responses=told(m.ModelsAnswer))
def models(the: The, _: Annotated[Question, Query()]) -> Response:
    """List every fit of every model, with its data range and how good it is."""
    return the.answer({"items": the.retention.models(the.tenant, the.now)})


@router.get("/v1/retention/report", responses=told(m.Report), dependencies=[fresh("save_queue")])
def report(the: The, asked: Annotated[AtInstant, Query()]) -> Response:
    """Tell who left and why, what was saved, how right alerts were, what is at risk, who stays."""
    return the.answer(the.retention.report(the.tenant, asked.at or the.now))
