"""Where service levels are asked for: agreements, the wall, the queue, compliance, reviews."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import sla_models as m
from api import sla_questions as ask
from api.questions import Question, identifier_of
from api.reads import PathId, The, fresh, told
from infra.read_models.sla import SlaReader
from projections.sla_review import as_markdown

router = APIRouter()


def sla(request: Request) -> SlaReader:
    """Give what answers."""
    reader: SlaReader = request.app.state.sla
    return reader


@router.get("/v1/agreements", responses=told(m.Agreements), dependencies=[fresh("agreements")])
def agreements(the: The, request: Request, _: Annotated[Question, Query()]) -> Response:
    """List the agreements, in the order in which they are tried on a case."""
    return the.answer({"items": sla(request).agreements(the.tenant)})


@router.get("/v1/agreements/{id}", responses=told(m.Agreement), dependencies=[fresh("agreements")])
def agreement(the: The, request: Request, id_: PathId, _: Annotated[Question, Query()]) -> Response:
    """Show an agreement with all its versions."""
    return the.one(sla(request).agreement(the.tenant, id_), "agreement")


@router.get(
    "/v1/agreements/{id}/review",
    responses={
        200: {
            "model": m.Review,
            "content": {"text/markdown": {"schema": {"type": "string"}}},
        },
        304: {"description": "Nothing has changed."},
    },
    dependencies=[fresh("sla_clocks")],
)
def review(
    the: The, request: Request, id_: PathId, asked: Annotated[ask.Review, Query()]
) -> Response:
    """Say what was promised, what was kept, what it cost, and what would have been."""
    found = sla(request).review(the.tenant, id_, asked.at, asked.since)
    if found is None or asked.form == "json":
        return the.one(found, "agreement")
    return Response(as_markdown(found), media_type="text/markdown; charset=utf-8")


@router.get("/v1/sla/wall", responses=told(m.Wall), dependencies=[fresh("sla_clocks")])
def wall(the: The, request: Request, asked: Annotated[ask.Wall, Query()]) -> Response:
    """Show the clocks of open cases: running ones by time to breach, then the paused."""
    return the.answer({"items": sla(request).wall(the.tenant, **asked.filters())})


@router.get("/v1/sla/queue", responses=told(m.Queue), dependencies=[fresh("sla_clocks")])
def queue(the: The, request: Request, asked: Annotated[ask.Queue, Query()]) -> Response:
    """Say which case to take next: by tier, then time to breach, then age, each with the reason."""
    return the.answer({"items": sla(request).queue(the.tenant, **asked.filters())})


@router.get("/v1/sla/caller", responses=told(m.CallerPlace), dependencies=[fresh("sla_clocks")])
def caller(the: The, request: Request, asked: Annotated[ask.CallerPlace, Query()]) -> Response:
    """Say at once which tier somebody who calls has, and which place in the queue."""
    known = the.reader.customer_known_by(the.tenant, identifier_of(asked.named()))
    return the.answer(sla(request).caller(the.tenant, known, at=asked.at, tiers=asked.tiers))


@router.get("/v1/sla/compliance", responses=told(m.Compliance), dependencies=[fresh("sla_clocks")])
def compliance(the: The, request: Request, asked: Annotated[ask.Compliance, Query()]) -> Response:
    """Count what was promised, what was kept, how long it took, and what it cost."""
    return the.answer({"items": sla(request).compliance(the.tenant, **asked.filters())})


@router.get("/v1/sla/credits", responses=told(m.Credits), dependencies=[fresh("sla_credits")])
def credits_(the: The, request: Request, asked: Annotated[ask.Credits, Query()]) -> Response:
    """Show what agreements owe customers, period by period."""
    return the.answer({"items": sla(request).credits_(the.tenant, **asked.filters())})


@router.post("/v1/sla/dry-run", responses={200: {"model": m.WhatIf}})
def dry_run(the: The, request: Request, asked: ask.WhatIf) -> Response:
    """Let past cases run by other terms, and count what would have been; changes nothing."""
    how: dict[str, Any] = asked.model_dump(exclude={"terms"})
    return the.answer({"clocks": sla(request).what_if(the.tenant, asked.terms, **how)})
