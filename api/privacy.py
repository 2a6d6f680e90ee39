"""Erasing customers over HTTP: one key asks, another one approves; and the log's own checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from api.models import Answer
from api.problems import Problem
from api.questions import Strict
from api.reads import PathId, The, told
from commands.ports import Who
from domain.rejected import Rejected
from domain.values import Id
from infra.approvals import Approvals, Asked, Kind
from infra.audit.tree import EVENTS
from infra.privacy.erasure import ask, find
from infra.privacy.four_eyes import carry_out
from infra.runtime import Runtime

router = APIRouter()


class ErasureRequest(Strict):
    """Whom to erase, and why."""

    customer: Id
    reason: str = Field(min_length=1, max_length=500)


class Approval(Strict):
    """The digest of the words that were read."""

    digest: str = Field(pattern="^[0-9a-f]{64}$")


class RequestShown(Answer):
    """Something that one person has asked and another must approve."""

    id: Id
    kind: Kind
    what: dict[str, Any]
    digest: str
    asked_by: str
    asked_at: datetime
    expires_at: datetime
    approved_by: str | None
    done_at: datetime | None


class Outcome(Answer):
    """What became of a request."""

    id: Id
    outcome: str


class Requests(Answer):
    """The newest requests."""

    items: list[RequestShown]


class Certificate(Answer):
    """A signed certificate."""

    id: Id
    certificate: str


class Signed(Answer):
    """A signed checkpoint of the log, and what checks its signature."""

    checkpoint: str
    key: str


@router.post("/v1/privacy/erasures", responses={200: {"model": RequestShown}})
def erase(request: Request, the: The, wanted: ErasureRequest) -> Response:
    """Ask that a customer be erased for good; another key must approve it."""
    with refusals():
        asked = ask(runtime_of(request), who_of(request), wanted.customer, wanted.reason)
    return the.answer(shown(asked))


@router.get("/v1/privacy/requests", responses=told(Requests))
def requests(request: Request, the: The) -> Response:
    """List what was asked, word for word, and what became of it; the newest first."""
    found = Approvals(runtime_of(request).pool).page(the.tenant, LISTED)
    return the.answer({"items": [shown(each) for each in found]})


@router.post("/v1/privacy/requests/{id}/approval", responses={200: {"model": Outcome}})
def approve(request: Request, the: The, id_: PathId, approval: Approval) -> Response:
    """Approve what another key has asked, and carry it out."""
    runtime = runtime_of(request)
    approvals = Approvals(runtime.pool)
    with refusals():
        asked = approvals.get(the.tenant, id_)
        if asked is not None and asked.kind not in BY_TENANTS:
            raise Rejected("request.forbidden", f"{asked.kind} is approved on the command line.")
        approved = approvals.approve(who_of(request), id_, approval.digest)
        return the.answer({"id": id_, "outcome": carry_out(runtime, approved)})


@router.get("/v1/privacy/certificates/{id}", responses=told(Certificate))
def certificate(request: Request, the: The, id_: PathId) -> Response:
    """Give the signed certificate of an erasure."""
    found = find(runtime_of(request), the.tenant, id_)
    known = found and found.certificate and {"id": id_, "certificate": found.certificate}
    return the.one(known or None, "certificate")


@router.get("/v1/audit/checkpoint", responses=told(Signed))
def checkpoint(request: Request, the: The) -> Response:
    """Give the newest signed checkpoint of the log."""
    audit = runtime_of(request).audit
    head = audit.trees[EVENTS].head()
    known = head and {"checkpoint": head.note, "key": audit.signer.key(EVENTS)}
    return the.one(known, "checkpoint")


LISTED = 100
BY_TENANTS: tuple[Kind, ...] = ("erasure", "hold.release", "schedules")
"""What keys of a tenant may approve; all else is for people who work on the installation."""


def shown(asked: Asked) -> dict[str, Any]:
    """Show a request."""
    return {name: getattr(asked, name) for name in RequestShown.model_fields}


def runtime_of(request: Request) -> Runtime:
    """Give what the process shares."""
    runtime: Runtime = request.app.state.runtime
    return runtime


def who_of(request: Request) -> Who:
    """Tell on whose behalf a call is made."""
    who: Who = request.state.caller.who
    return who


@contextmanager
def refusals() -> Iterator[None]:
    """Answer a refusal with its sentence."""
    try:
        yield
    except Rejected as no:
        status = 404 if no.code.endswith(".unknown") else 409
        raise Problem(status, no.code, no.sentence) from None
