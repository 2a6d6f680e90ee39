"""Where questions are asked: one route per question, each answered by the reader."""

from hashlib import blake2b
from time import monotonic
from typing import Annotated, Any

import anyio
import orjson
from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Path, Query
from fastapi.params import Depends as Dependency
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from api import models as m
from api import questions as ask
from api.models import page_of
from api.problems import Problem, away
from api.questions import opaque, write_of
from domain.values import Id
from infra.read_models.reader import Listing, Reader, Superseded, UnknownToken
from projections.catalogue import BY_NAME
from projections.projection import Row

WAIT_STEP_SECONDS = 0.01

router = APIRouter()


class Asked:
    """A question: who asks whom, and how the answer is written down."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.reader: Reader = request.app.state.reader
        self.tenant: str = request.state.caller.tenant

    def answer(self, content: object) -> Response:
        """Answer, or tell that nothing has changed since the caller asked before."""
        body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
        etag = f'W/"{blake2b(body, digest_size=16).hexdigest()}"'
        known = self._request.headers.get("if-none-match", "")
        if etag in [tag.strip() for tag in known.split(",")]:
            return Response(status_code=304, headers={"ETag": etag})
        return Response(body, headers={"ETag": etag}, media_type="application/json")

    def one(self, found: Row | None, what: str) -> Response:
        """Answer with one thing, if there is such a thing."""
        if found is None:
            raise Problem(404, f"{what}.unknown", f"There is no such {what}.")
        return self.answer(found)

    def page(self, listing: Listing, kind: str = "k") -> Response:
        """Answer with a page, and where the next one begins."""
        following = None if listing.next is None else opaque(kind, listing.next)
        return self.answer({"items": listing.items, "next": following})


The = Annotated[Asked, Depends(Asked)]
PathId = Annotated[Id, Path(alias="id")]


def fresh(read_model: str | None = None) -> Dependency:
    """Let a read wait until its read model is as fresh as it was asked to be."""

    async def wait(request: Request, x_read_at_least: Annotated[str, Header()] = "") -> None:
        shown = x_read_at_least or request.query_params.get("at_least", "")
        awaited = read_model or request.path_params["read_model"]
        if shown and awaited in BY_NAME:
            await wait_for(request, shown, awaited)

    dependency: Dependency = Depends(wait)
    return dependency


async def wait_for(request: Request, shown: str, read_model: str) -> None:
    """Wait until a read model has taken a write into account, but not for ever."""
    reader, tenant = request.app.state.reader, request.state.caller.tenant
    deadline = monotonic() + request.app.state.runtime.settings.read_wait_seconds
    try:
        token = write_of(shown)
        while not await to_thread.run_sync(reader.is_fresh, tenant, token, read_model):
            if monotonic() >= deadline:
                raise away("read.not_fresh", "The answer is not as fresh as was asked; ask again.")
            await anyio.sleep(WAIT_STEP_SECONDS)
    except (ValueError, UnknownToken):
        raise Problem(400, "token.unknown", "No write has given out this token.") from None


def told(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """Say in OpenAPI what is answered."""
    return {200: {"model": model}, 304: {"description": "Nothing has changed."}}


# ---- Customers -----------------------------------------------------------------------------------


@router.get(
    "/v1/customers", responses=told(page_of(m.Customer)), dependencies=[fresh("customer_view")]
)
def customers(the: The, asked: Annotated[ask.Customers, Query()]) -> Response:
    """List customers, or find the one whom an identifier leads to."""
    identifier = asked.identifier()
    if identifier is not None:
        found = the.reader.customer_known_by(the.tenant, identifier)
        return the.page(Listing([found] if found else [], None))
    filters = {name: getattr(asked, name) for name in ("after", "limit", "stage", "tier")}
    return the.page(the.reader.customers(the.tenant, **filters))


@router.get("/v1/customers/{id}", responses=told(m.Customer), dependencies=[fresh("customer_view")])
def customer(the: The, id_: PathId, asked: Annotated[ask.CustomerAsOf, Query()]) -> Response:
    """Show the customer who stands for this id, as of now or as of an instant."""
    return the.one(the.reader.customer(the.tenant, id_, **asked.filters()), "customer")


@router.get(
    "/v1/customers/{id}/history",
    responses=told(page_of(m.HistoryEvent)),
    dependencies=[fresh("customer_view")],
)
def history(the: The, id_: PathId, asked: Annotated[ask.History, Query()]) -> Response:
    """Tell what happened to a customer, in order."""
    found = the.reader.history(the.tenant, id_, **asked.filters())
    if found is None:
        return the.one(None, "customer")
    return the.page(found, kind="p")


@router.get(
    "/v1/churn-alerts", responses=told(page_of(m.ChurnAlert)), dependencies=[fresh("churn_alerts")]
)
def churn_alerts(the: The, asked: Annotated[ask.ChurnAlerts, Query()]) -> Response:
    """List the customers who are silent for longer than is usual for them."""
    return the.page(the.reader.churn_alerts(the.tenant, **asked.filters()))


# ---- Leads ---------------------------------------------------------------------------------------


@router.get("/v1/leads", responses=told(page_of(m.Lead)), dependencies=[fresh("sales_pipeline")])
def leads(the: The, asked: Annotated[ask.Leads, Query()]) -> Response:
    """List leads."""
    return the.page(the.reader.leads(the.tenant, **asked.filters()))


@router.get("/v1/leads/{id}", responses=told(m.Lead), dependencies=[fresh("sales_pipeline")])
def lead(the: The, id_: PathId, _: Annotated[ask.Question, Query()]) -> Response:
    """Show a lead."""
    return the.one(the.reader.lead(the.tenant, id_), "lead")


@router.get(
    "/v1/pipeline/summary", responses=told(m.PipelineTotals), dependencies=[fresh("sales_pipeline")]
)
def pipeline_summary(the: The, asked: Annotated[ask.PipelineSummary, Query()]) -> Response:
    """Add up the leads by one of their properties, or by the period of the decision."""
    return the.answer({"items": the.reader.pipeline_summary(the.tenant, **asked.filters())})


# ---- Cases ---------------------------------------------------------------------------------------


@router.get("/v1/cases", responses=told(page_of(m.Case)), dependencies=[fresh("sla_clocks")])
def cases(the: The, asked: Annotated[ask.Cases, Query()]) -> Response:
    """List cases with their clocks as they stand at an instant, or now."""
    return the.page(the.reader.cases(the.tenant, **asked.filters()))


@router.get("/v1/cases/{id}", responses=told(m.Case), dependencies=[fresh("sla_clocks")])
def case(the: The, id_: PathId, asked: Annotated[ask.AtInstant, Query()]) -> Response:
    """Show a case with its clocks as they stand at an instant, or now."""
    return the.one(the.reader.case(the.tenant, id_, at=asked.at), "case")


@router.get("/v1/sla/summary", responses=told(m.SlaTotals), dependencies=[fresh("sla_clocks")])
def sla_summary(the: The, asked: Annotated[ask.AtInstant, Query()]) -> Response:
    """Count the targets that were met and missed, by priority."""
    return the.answer({"items": the.reader.sla_summary(the.tenant, at=asked.at)})


# ---- Changes -------------------------------------------------------------------------------------


@router.get("/v1/changes/{read_model}", responses=told(m.Changes), dependencies=[fresh()])
def changes(the: The, read_model: str, asked: Annotated[ask.Changes, Query()]) -> Response:
    """Give what changed since the last time, in order and without gaps: the feed of a follower."""
    if read_model not in BY_NAME:
        raise Problem(404, "read_model.unknown", f"There are: {', '.join(BY_NAME)}.")
    since, _, position = asked.after.partition(".")
    try:
        found = the.reader.changes(
            the.tenant,
            read_model,
            after=int(position or 0),
            limit=asked.limit,
            version=int(since) if since else None,
        )
    except Superseded as newer:
        reset = {"version": newer.version, "next": opaque("c", f"{newer.version}.0")}
        raise Problem(410, "cursor.superseded", str(newer), reset=reset) from None
    return the.answer(
        {
            "items": found.items,
            "next": opaque("c", f"{found.version}.{found.next}"),
            "caught_up": found.caught_up,
        }
    )
