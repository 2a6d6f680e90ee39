"""Messages that were not kept: list them, try them again, or drop them."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import models as m
from api import questions as ask
from api.models import page_of
from api.problems import Problem
from api.publish import item, refuse, take_in, written
from api.questions import token_of
from api.reads import PathId, The, told
from infra.keys.keyring import NOBODY
from infra.read_models.reader import Listing
from infra.runtime import Runtime

router = APIRouter()


@router.get("/v1/refused", responses=told(page_of(m.RefusedItem)))
def refused(request: Request, the: The, asked: Annotated[ask.Refused, Query()]) -> Response:
    """List the messages that were not kept, with their reasons, oldest first."""
    runtime: Runtime = request.app.state.runtime
    found = runtime.refused.page(
        the.tenant, asked.after or NOBODY, asked.limit + 1, code=asked.code
    )
    items = [message._asdict() for message in found[: asked.limit]]
    return the.page(Listing(items, items[-1]["id"] if len(found) > asked.limit else None))


@router.post("/v1/refused/{id}/retry", responses={200: {"model": m.Done}})
def retry(request: Request, the: The, id_: PathId) -> Response:
    """Try a message again; once it is kept, it is not listed any more."""
    runtime: Runtime = request.app.state.runtime
    message = runtime.refused.open(the.tenant, id_)
    if message is None:
        raise unknown()
    [verdict] = take_in(request, [message])
    refuse(message, verdict)
    runtime.refused.discard(the.tenant, id_)
    return written(item(message, verdict) | {"token": token_of(verdict.token)}, 200)


@router.delete("/v1/refused/{id}", status_code=204)
def discard(request: Request, the: The, id_: PathId) -> Response:
    """Drop a message for good."""
    runtime: Runtime = request.app.state.runtime
    if not runtime.refused.discard(the.tenant, id_):
        raise unknown()
    return Response(status_code=204)


def unknown() -> Problem:
    """Tell that nothing is known of a message."""
    return Problem(404, "refused.unknown", "There is no such message.")
